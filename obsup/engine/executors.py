"""Where parts are sent from: the seam is concurrent.futures.Executor."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from obsup.errors import WrongUsage

P = ParamSpec("P")
T = TypeVar("T")


class InlineExecutor(Executor):
    """Runs each call at once, in the caller's thread: for debuggers and for the smallest machines."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run *fn* now and return a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as exc:  # noqa: BLE001 - a future carries whatever its call raised
            future.set_exception(exc)
        return future


def open_executor(spec: str, jobs: int) -> Executor:
    """Return the executor that *spec* names (threads, inline), for *jobs* parts at once. Raises WrongUsage."""
    if spec == "threads":
        return ThreadPoolExecutor(jobs, thread_name_prefix="part")
    if spec == "inline":
        return InlineExecutor()
    raise WrongUsage(
        f"there is no executor {spec!r}", "there is: threads, inline", "choose one with --executor"
    )

"""Executors in this process: threads, or the calling thread. Other processes and hosts are in ``backends``."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class InlineExecutor(Executor):
    """Runs each call immediately in the calling thread: for debuggers and very small machines."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run *fn* and return a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as exc:  # noqa: BLE001 - a future passes on whatever its call raised
            future.set_exception(exc)
        return future


def open_executor(spec: str, jobs: int) -> Executor:
    """Return the executor that *spec* names (threads or inline), for *jobs* parts at once."""
    return InlineExecutor() if spec == "inline" else ThreadPoolExecutor(jobs, thread_name_prefix="part")

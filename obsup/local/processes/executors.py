"""Executors in this process: threads, or the calling thread. Other processes are in ``pool``."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from obsup.local.platform.processes import check_thread_room

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


class _Threads(ThreadPoolExecutor):
    """Threads, fewer than asked for if a limit of this process allows no more: those that run do the work."""

    def _adjust_thread_count(self) -> None:
        try:
            if len(self._threads) < self._max_workers:  # this is called for every task
                check_thread_room()
            super()._adjust_thread_count()
        except RuntimeError:
            if not self._threads:
                raise


def open_threads(count: int, name: str) -> Executor:
    """Return *count* threads named *name*, or the calling thread if no other one can be started."""
    threads = _Threads(count, thread_name_prefix=name)
    try:
        threads.submit(int)  # starts the first one
    except RuntimeError:
        return InlineExecutor()
    return threads


def open_executor(spec: str, jobs: int) -> Executor:
    """Return the executor that *spec* names (threads or inline), for *jobs* parts at once."""
    return InlineExecutor() if spec == "inline" else open_threads(jobs, "part")

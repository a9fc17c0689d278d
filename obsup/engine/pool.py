"""The hands that many uploads share: parts of large files and small files mingle, so that the line is full."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

from obsup.engine.climb import Climb
from obsup.engine.crew import check_crew
from obsup.engine.dispatch import dispatch
from obsup.engine.executors import HERE, InlineExecutor, open_executor
from obsup.engine.finish import Finished
from obsup.engine.flight import Flight
from obsup.engine.order import MOST, Order
from obsup.engine.progress import Tally
from obsup.engine.sender import Sender
from obsup.engine.shares import LARGE, Shares
from obsup.engine.single import put_file
from obsup.engine.task import Task
from obsup.engine.worker import PartJob, send_part
from obsup.model import Receipt, SourceStat

T = TypeVar("T")
Keep = Callable[[Receipt], None]


class Pool(Protocol):
    """Runs uploads of small and of large files side by side. ``flight`` is to hear what becomes of their parts."""

    flight: Flight
    large: int  # how many large files may be under way at once
    has_small: bool  # whether small files wait: set by who has them

    def room(self) -> int:
        """Return how many small files may be under way now, beside the large ones."""
        ...

    def start_small(self, call: Callable[[Sender], T]) -> Future[T]:
        """Call *call* where a small file is sent from, with whom to send it by."""
        ...

    def start_large(self, call: Callable[[Sender], T]) -> Future[T]:
        """Call *call* in a thread that waits for its parts, with whom to send them by."""
        ...

    def close(self, *, wait: bool) -> None:
        """Let the workers go; where not *wait*, without waiting for what is under way."""
        ...


class LocalPool:
    """Threads of this process, or its own: a Pool that shares the store, the rate limit and the stop signal."""

    def __init__(self, order: Order) -> None:
        most = MOST if order.tries_jobs else order.jobs_at_first
        self._shares = Shares(Flight(most, climb=Climb(most=most) if order.tries_jobs else None))
        self.flight = self._shares.flight
        self._executor = open_executor(order.executor, most)
        is_inline = isinstance(self._executor, InlineExecutor)
        self.large = 1 if is_inline else LARGE
        self.has_small = False
        self._waiting: Executor = (
            InlineExecutor() if is_inline else ThreadPoolExecutor(LARGE, thread_name_prefix="file")
        )

    def room(self) -> int:
        """See Pool."""
        return self._shares.of_small()

    def start_small(self, call: Callable[[Sender], T]) -> Future[T]:
        """See Pool."""
        return self._executor.submit(call, Here())

    def start_large(self, call: Callable[[Sender], T]) -> Future[T]:
        """See Pool."""
        return self._waiting.submit(call, _Shared(self._executor, self._shares, self._large_window))

    def _large_window(self) -> int:
        return self._shares.of_large(has_small=self.has_small)

    def close(self, *, wait: bool) -> None:
        """See Pool."""
        self._waiting.shutdown(wait=wait, cancel_futures=True)
        self._executor.shutdown(wait=wait, cancel_futures=True)


class Here:
    """Sends in the very thread that asks: it is one of the pool's own."""

    def send_parts(self, task: Task, tally: Tally, jobs: Iterator[PartJob], keep: Keep) -> None:  # noqa: ARG002
        """See Sender. Parts of a small file are those that an earlier run left over."""
        send = partial(InlineExecutor().submit, partial(send_part, store=task.store, manner=task.manner))
        dispatch(jobs, send, window=lambda: 1, stop=task.stop, keep=keep)

    def put_file(self, task: Task, stat: SourceStat) -> Finished:
        """See Sender."""
        return put_file(task, stat)


class _Shared(Here):
    """Has parts sent by an executor that others use too."""

    def __init__(self, executor: Executor, shares: Shares, window: Callable[[], int]) -> None:
        self._executor = executor
        self._shares = shares
        self._window = window

    def send_parts(self, task: Task, tally: Tally, jobs: Iterator[PartJob], keep: Keep) -> None:  # noqa: ARG002
        """See Sender."""
        send = partial(self._executor.submit, partial(send_part, store=task.store, manner=task.manner))
        with self._shares.taken():
            dispatch(jobs, send, window=self._window, stop=task.stop, keep=keep)


def open_pool(task: Task) -> Pool:
    """Return the pool that the order of *task* asks for. Raises as ``check_crew`` and ``open_workers`` do."""
    check_crew(task)
    if task.order.executor in HERE:
        return LocalPool(task.order)
    from obsup.engine.remote_pool import RemotePool

    return RemotePool(task)

"""The hands that many uploads share: parts of large files and small files mingle, so that the line is full."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from obsup import events
from obsup.engine.job.context import Task
from obsup.engine.job.executor_spec import HERE
from obsup.engine.job.progress import Tally
from obsup.engine.job.request import MOST, Order
from obsup.engine.job.result import Finished
from obsup.engine.send.concurrency import Flight
from obsup.engine.send.concurrency_probe import Climb
from obsup.engine.send.dispatcher import POLL_S, dispatch
from obsup.engine.send.executors import InlineExecutor, open_executor
from obsup.engine.send.part import PartJob, send_part
from obsup.engine.send.remote_workers import RemoteCrew, open_remote_crew
from obsup.engine.send.sender import Sender
from obsup.engine.send.whole_object import put_file
from obsup.engine.send.workers import check_crew
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

    return RemotePool(task)


class RemotePool:
    """A Pool over a RemoteCrew. Threads here take the steps of each file; only what is sent goes to the workers."""

    def __init__(self, task: Task) -> None:
        self._crew = open_remote_crew(task, observe=events.ignore)
        self._shares = Shares(Flight(self._crew.size))
        self.flight = self._shares.flight
        self.large = LARGE
        self.has_small = False
        self._small = ThreadPoolExecutor(2 * self._crew.size, thread_name_prefix="small")
        self._large = ThreadPoolExecutor(LARGE, thread_name_prefix="file")
        self._sender = _Elsewhere(self._crew, self._shares, self._large_window)

    def room(self) -> int:
        """See Pool: another lies ready for each worker, for the way there takes time."""
        return 2 * self._shares.of_small()

    def start_small(self, call: Callable[[Sender], T]) -> Future[T]:
        """See Pool."""
        return self._small.submit(call, self._sender)

    def start_large(self, call: Callable[[Sender], T]) -> Future[T]:
        """See Pool."""
        return self._large.submit(call, self._sender)

    def _large_window(self) -> int:
        return self._shares.of_large(has_small=self.has_small)

    def close(self, *, wait: bool) -> None:
        """See Pool."""
        self._small.shutdown(wait=wait, cancel_futures=True)
        self._large.shutdown(wait=wait, cancel_futures=True)
        self._crew.leave(wait=wait)


class _Elsewhere:
    """Has parts and small files sent by workers elsewhere, which many uploads share."""

    def __init__(self, crew: RemoteCrew, shares: Shares, window: Callable[[], int]) -> None:
        self._crew = crew
        self._shares = shares
        self._window = window

    def send_parts(
        self, task: Task, tally: Tally, jobs: Iterator[PartJob], keep: Callable[[Receipt], None]
    ) -> None:
        """See Sender. Which file a part is of is known here, and so who is to hear of it."""
        send = partial(self._crew.send, observe=tally)
        with self._shares.taken():
            dispatch(jobs, send, window=self._window, stop=task.stop, keep=keep)

    def put_file(self, task: Task, stat: SourceStat) -> Finished:
        """See Sender."""
        future = self._crew.put(replace(task.order, source=task.source), stat, task.observe)
        while not wait([future], timeout=POLL_S).done:
            task.stop.cut()
        finished = future.result()
        task.observe(events.PartStored(1, stat.size))
        return finished


# Large files under way at once: while one begins or ends, which takes a few answers, others fill the line.
LARGE = 8


class Shares:
    """Shares out how many may be in flight among large files and the small ones together."""

    def __init__(self, flight: Flight) -> None:
        self.flight = flight
        self._lock = threading.Lock()
        self._large = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Count as one large file while inside."""
        with self._lock:
            self._large += 1
        try:
            yield
        finally:
            with self._lock:
                self._large -= 1

    def of_large(self, *, has_small: bool) -> int:
        """Return how many parts of one large file may be submitted now."""
        return max(1, self.flight.window // (self._large + has_small or 1))

    def of_small(self) -> int:
        """Return how many small files may be in flight now."""
        return max(1, self.flight.allowed // (self._large + 1))

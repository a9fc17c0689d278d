"""The hands that many uploads share: parts of large files and small files mingle, so that the line is full."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.context import UploadContext
from obsup.engine.job.executor_spec import LOCAL_EXECUTORS
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import MAX_JOBS, UploadRequest
from obsup.engine.job.result import Finished
from obsup.engine.send.concurrency import ConcurrencyLimit
from obsup.engine.send.concurrency_probe import ConcurrencyProbe
from obsup.engine.send.dispatcher import POLL_S, dispatch
from obsup.engine.send.executors import InlineExecutor, open_executor
from obsup.engine.send.part import PartToSend, send_part
from obsup.engine.send.sender import PartSender
from obsup.engine.send.whole_object import put_file
from obsup.engine.send.workers import check_workers
from obsup.model import Receipt, SourceStat

if TYPE_CHECKING:
    from obsup.engine.send.remote_workers import RemoteWorkers

T = TypeVar("T")
Keep = Callable[[Receipt], None]


class Pool(Protocol):
    """Runs uploads of small and of large files side by side. ``concurrency`` is to hear what becomes of their parts."""

    concurrency: ConcurrencyLimit
    large: int  # how many large files may be under way at once
    has_small: bool  # whether small files wait: set by who has them

    def room(self) -> int:
        """Return how many small files may be under way now, beside the large ones."""
        ...

    def start_small(self, call: Callable[[PartSender], T]) -> Future[T]:
        """Call *call* where a small file is sent from, with whom to send it by."""
        ...

    def start_large(self, call: Callable[[PartSender], T]) -> Future[T]:
        """Call *call* in a thread that waits for its parts, with whom to send them by."""
        ...

    def close(self, *, wait: bool) -> None:
        """Let the workers go; where not *wait*, without waiting for what is under way."""
        ...


class LocalPool:
    """Threads of this process, or its own: a Pool that shares the store, the rate limit and the stop signal."""

    def __init__(self, order: UploadRequest) -> None:
        most = MAX_JOBS if order.probes_jobs else order.jobs_at_first
        self._shares = FairShare(
            ConcurrencyLimit(most, probe=ConcurrencyProbe(most=most) if order.probes_jobs else None)
        )
        self.concurrency = self._shares.concurrency
        self._executor = open_executor(order.executor, most)
        is_inline = isinstance(self._executor, InlineExecutor)
        self.large = 1 if is_inline else LARGE_FILE_PARTS
        self.has_small = False
        self._waiting: Executor = (
            InlineExecutor() if is_inline else ThreadPoolExecutor(LARGE_FILE_PARTS, thread_name_prefix="file")
        )

    def room(self) -> int:
        """See Pool."""
        return self._shares.of_small()

    def start_small(self, call: Callable[[PartSender], T]) -> Future[T]:
        """See Pool."""
        return self._executor.submit(call, InlineSender())

    def start_large(self, call: Callable[[PartSender], T]) -> Future[T]:
        """See Pool."""
        return self._waiting.submit(call, _SharedSender(self._executor, self._shares, self._large_window))

    def _large_window(self) -> int:
        return self._shares.of_large(has_small=self.has_small)

    def close(self, *, wait: bool) -> None:
        """See Pool."""
        self._waiting.shutdown(wait=wait, cancel_futures=True)
        self._executor.shutdown(wait=wait, cancel_futures=True)


class InlineSender:
    """Sends in the very thread that asks: it is one of the pool's own."""

    def send_parts(
        self,
        task: UploadContext,
        tally: ProgressTally,  # noqa: ARG002 - only some senders use it
        parts: Iterator[PartToSend],
        on_receipt: Keep,
    ) -> None:
        """See PartSender. Parts of a small file are those that an earlier run left over."""
        send = partial(
            InlineExecutor().submit, partial(send_part, store=task.store, send_options=task.send_options)
        )
        dispatch(parts, send, window=lambda: 1, stop=task.stop, on_receipt=on_receipt)

    def put_file(self, task: UploadContext, stat: SourceStat) -> Finished:
        """See PartSender."""
        return put_file(task, stat)


class _SharedSender(InlineSender):
    """Has parts sent by an executor that others use too."""

    def __init__(self, executor: Executor, shares: FairShare, window: Callable[[], int]) -> None:
        self._executor = executor
        self._shares = shares
        self._window = window

    def send_parts(
        self,
        task: UploadContext,
        tally: ProgressTally,  # noqa: ARG002 - only some senders use it
        parts: Iterator[PartToSend],
        on_receipt: Keep,
    ) -> None:
        """See PartSender."""
        send = partial(
            self._executor.submit, partial(send_part, store=task.store, send_options=task.send_options)
        )
        with self._shares.taken():
            dispatch(parts, send, window=self._window, stop=task.stop, on_receipt=on_receipt)


def open_pool(task: UploadContext) -> Pool:
    """Return the pool that the order of *task* asks for. Raises as ``check_workers`` and ``open_workers`` do."""
    check_workers(task)
    if task.request.executor in LOCAL_EXECUTORS:
        return LocalPool(task.request)

    return RemotePool(task)


class RemotePool:
    """A Pool over a RemoteWorkers. Threads here take the steps of each file; only what is sent goes to the workers."""

    def __init__(self, task: UploadContext) -> None:
        from obsup.engine.send.remote_workers import open_remote_workers

        self._workers = open_remote_workers(task, observe=events.ignore)
        self._shares = FairShare(ConcurrencyLimit(self._workers.size))
        self.concurrency = self._shares.concurrency
        self.large = LARGE_FILE_PARTS
        self.has_small = False
        self._small = ThreadPoolExecutor(2 * self._workers.size, thread_name_prefix="small")
        self._large = ThreadPoolExecutor(LARGE_FILE_PARTS, thread_name_prefix="file")
        self._sender = _RemoteSender(self._workers, self._shares, self._large_window)

    def room(self) -> int:
        """See Pool: another lies ready for each worker, for the way there takes time."""
        return 2 * self._shares.of_small()

    def start_small(self, call: Callable[[PartSender], T]) -> Future[T]:
        """See Pool."""
        return self._small.submit(call, self._sender)

    def start_large(self, call: Callable[[PartSender], T]) -> Future[T]:
        """See Pool."""
        return self._large.submit(call, self._sender)

    def _large_window(self) -> int:
        return self._shares.of_large(has_small=self.has_small)

    def close(self, *, wait: bool) -> None:
        """See Pool."""
        self._small.shutdown(wait=wait, cancel_futures=True)
        self._large.shutdown(wait=wait, cancel_futures=True)
        self._workers.close(wait=wait)


class _RemoteSender:
    """Has parts and small files sent by workers elsewhere, which many uploads share."""

    def __init__(self, workers: RemoteWorkers, shares: FairShare, window: Callable[[], int]) -> None:
        self._workers = workers
        self._shares = shares
        self._window = window

    def send_parts(
        self,
        task: UploadContext,
        tally: ProgressTally,
        parts: Iterator[PartToSend],
        on_receipt: Callable[[Receipt], None],
    ) -> None:
        """See PartSender. Which file a part is of is known here, and so who is to hear of it."""
        send = partial(self._workers.send, observe=tally)
        with self._shares.taken():
            dispatch(parts, send, window=self._window, stop=task.stop, on_receipt=on_receipt)

    def put_file(self, task: UploadContext, stat: SourceStat) -> Finished:
        """See PartSender."""
        future = self._workers.put(replace(task.request, source=task.source), stat, task.observe)
        while not wait([future], timeout=POLL_S).done:
            task.stop.cut()
        finished = future.result()
        task.observe(events.PartStored(1, stat.size))
        return finished


# Large files under way at once: while one begins or ends, which takes a few answers, others fill the line.
LARGE_FILE_PARTS = 8


class FairShare:
    """Shares out how many may be in flight among large files and the small ones together."""

    def __init__(self, concurrency: ConcurrencyLimit) -> None:
        self.concurrency = concurrency
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
        return max(1, self.concurrency.window // (self._large + has_small or 1))

    def of_small(self) -> int:
        """Return how many small files may be in flight now."""
        return max(1, self.concurrency.allowed // (self._large + 1))

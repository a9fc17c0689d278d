"""Worker pool shared by all files of a batch: parts of large files and whole small files run side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, wait
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from obsup import events
from obsup.engine.job.context import UploadContext
from obsup.engine.job.executor_spec import LOCAL_EXECUTORS
from obsup.engine.job.job_limit import large_files_within_limits
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.result import Finished
from obsup.engine.job.stop import StopSignal
from obsup.engine.plan.concurrency import ConcurrencyLimit
from obsup.engine.plan.concurrency_probe import ConcurrencyProbe
from obsup.engine.send.dispatcher import POLL_S, SubmitPart, dispatch
from obsup.engine.send.part import PartToSend
from obsup.engine.send.sender import OnReceipt, PartSender, SendParts
from obsup.engine.send.whole_object import put_elsewhere, put_file
from obsup.engine.send.workers import check_workers, submit_to
from obsup.local.processes.executors import InlineExecutor, open_executor, open_threads
from obsup.model import SourceStat, Stored, Target
from obsup.store.http.body import BodyDigests, OpenBody

if TYPE_CHECKING:
    from obsup.engine.send.remote_workers import RemoteWorkers

T = TypeVar("T")

# Large files in flight at once: while one is initiated or completed, others use the bandwidth.
MAX_LARGE_FILES = 8
# Small files in flight at remote workers, whose number may grow: a thread waits for each.
MAX_SMALL_FILES = 1024


class FairShare:
    """Divides the allowed concurrency among large files and small files.

    ``has_small_files`` tells whether small files are waiting; the owner of the queue sets it.
    """

    def __init__(self, concurrency: ConcurrencyLimit) -> None:
        self.concurrency = concurrency
        self.has_small_files = False
        self._lock = threading.Lock()
        self._large_files = 0

    @contextmanager
    def large_file(self) -> Iterator[None]:
        """Count one large file while inside."""
        with self._lock:
            self._large_files += 1
        try:
            yield
        finally:
            with self._lock:
                self._large_files -= 1

    def large_window(self) -> int:
        """Return how many parts of one large file may be submitted now."""
        return max(1, self.concurrency.window // (self._large_files + self.has_small_files or 1))

    def small_files(self) -> int:
        """Return how many small files may be in flight now."""
        return max(1, self.concurrency.allowed // (self._large_files + 1))


FileThreads = tuple[Executor, PartSender]
"""Threads for the steps of whole files, and what sends the content of a file in them."""


class Pool:
    """Runs uploads of small and of large files side by side.

    ``concurrency`` must observe the part events of all files. At most ``max_large_files`` may be started at once.
    """

    def __init__(
        self,
        shares: FairShare,
        *,
        small: FileThreads,
        large: FileThreads,
        max_large_files: int = MAX_LARGE_FILES,
        files_per_slot: int = 1,
        workers: RemoteWorkers | None = None,
    ) -> None:
        self.shares = shares
        self.concurrency = shares.concurrency
        self.max_large_files = max_large_files
        self.small = small
        self.large = large
        self._files_per_slot = files_per_slot
        self.workers = workers

    def small_file_limit(self) -> int:
        """Return how many small files may be in flight now, in addition to the large files."""
        return self._files_per_slot * self.shares.small_files()

    def close(self, *, wait: bool) -> None:
        """Shut down the workers; if *wait*, wait for the uploads in flight."""
        for executor, _sender in (self.large, self.small):
            executor.shutdown(wait=wait, cancel_futures=True)
        if self.workers is not None:
            self.workers.close(wait=wait)


def send_inline(
    context: UploadContext, _tally: ProgressTally, parts: Iterator[PartToSend], on_receipt: OnReceipt
) -> None:
    """Send the parts in the calling thread. A small file has some only if an earlier run left a multipart upload."""
    send = submit_to(InlineExecutor(), context)
    dispatch(parts, send, window=lambda: 1, stop=context.stop, on_receipt=on_receipt)


INLINE = PartSender(send_inline)


def shared_by_large_files(
    shares: FairShare, submit_for: Callable[[UploadContext, ProgressTally], SubmitPart]
) -> SendParts:
    """Return what sends parts with workers that large files share; *submit_for* returns what submits those of one."""

    def send_parts(
        context: UploadContext, tally: ProgressTally, parts: Iterator[PartToSend], on_receipt: OnReceipt
    ) -> None:
        send = submit_for(context, tally)
        with shares.large_file():
            dispatch(parts, send, window=shares.large_window, stop=context.stop, on_receipt=on_receipt)

    return send_parts


def open_pool(context: UploadContext) -> Pool:
    """Return the pool that the request asks for. Raises as ``check_workers`` and ``open_remote_workers`` do."""
    check_workers(context)
    if context.request.executor in LOCAL_EXECUTORS:
        return _local_pool(context.request)
    from obsup.engine.send.remote_workers import open_remote_workers

    return _remote_pool(open_remote_workers(context, observe=events.ignore))


def _local_pool(request: UploadRequest) -> Pool:
    probe = ConcurrencyProbe(most=request.max_jobs) if request.probes_jobs else None
    shares = FairShare(ConcurrencyLimit(request.max_jobs, probe=probe))
    executor = open_executor(request.executor, request.max_jobs)
    sender = PartSender(shared_by_large_files(shares, lambda context, _tally: submit_to(executor, context)))
    small = (executor, INLINE)
    if isinstance(executor, InlineExecutor):
        return Pool(shares, small=small, large=(executor, sender), max_large_files=1)
    at_once = large_files_within_limits(MAX_LARGE_FILES, request.max_jobs)
    large = (open_threads(at_once, "large"), sender)
    return Pool(shares, small=small, large=large, max_large_files=at_once)


def _remote_pool(workers: RemoteWorkers) -> Pool:
    """Return a pool whose threads run the steps of each file here; *workers* send its parts, or all of it."""
    shares = FairShare(ConcurrencyLimit(max(1, workers.size), follow=lambda: workers.size))
    send_parts = shared_by_large_files(shares, lambda _context, tally: partial(workers.send, observe=tally))
    sender = PartSender(send_parts, partial(_put_remotely, workers))
    at_once = large_files_within_limits(MAX_LARGE_FILES, workers.size)
    return Pool(
        shares,
        small=(open_threads(MAX_SMALL_FILES, "small"), sender),
        large=(open_threads(at_once, "large"), sender),
        max_large_files=at_once,
        files_per_slot=2,  # one waits at each worker while another is sent, because the way there takes time
        workers=workers,
    )


def _put_remotely(workers: RemoteWorkers, context: UploadContext, stat: SourceStat) -> Finished:
    request = context.request
    if request.presign and request.options.no_overwrite:
        # Each attempt first looks for the object, which a worker that has only a URL cannot.
        return put_file(context, stat)
    if request.presign:

        def put(
            _target: Target, open_body: OpenBody, headers: Mapping[str, str], digests: BodyDigests
        ) -> Stored:
            open_body().close()
            return _wait_for(workers.put_presigned(context, stat, headers, digests), context.stop)

        return put_elsewhere(context, stat, put)
    finished = _wait_for(workers.put(context, stat), context.stop)
    context.observe(events.PartStored(1, stat.size))
    return finished


def _wait_for(future: Future[T], stop: StopSignal) -> T:
    while not wait([future], timeout=POLL_S).done:
        stop.check_in_flight()
    return future.result()

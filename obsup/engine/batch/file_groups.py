"""Small files in groups at other processes: more interpreters on this machine, or the workers of --executor.

One process uses only one core for many small files, and handing a file to another process costs more than sending it.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from obsup import events
from obsup.engine.batch.group_worker import (
    STOP,
    STOP_NOW,
    FileGroup,
    GroupResult,
    GroupTask,
    WorkerSetup,
    set_up_worker,
    start_worker,
    upload_group,
    upload_group_remotely,
)
from obsup.engine.batch.known_files import PendingFile, take_files
from obsup.engine.batch.outcome import FileOutcome
from obsup.engine.batch.pool import Pool
from obsup.engine.batch.request import BatchRequest
from obsup.engine.batch.small_file import SmallFileSigner
from obsup.engine.job.connection import StoreSettings
from obsup.engine.job.context import UploadContext
from obsup.engine.job.executor_spec import LOCAL_EXECUTORS
from obsup.engine.job.stop import StopSignal
from obsup.engine.proof.object_options import lock_headers
from obsup.engine.send.backends import WorkerCall
from obsup.engine.verify.object_lock import locks_later
from obsup.errors import ObsupError
from obsup.local.platform.processes import usable_cores
from obsup.rate import Rate
from obsup.units import MIB

if TYPE_CHECKING:
    from obsup.engine.send.remote_workers import RemoteWorkers
    from obsup.local.processes.pool import ProcessPool

# Small files that must be waiting: starting the processes takes about as long as sending these.
MIN_FILES = 400
# More processes would wait for the driver, which alone walks the sources and writes the journal.
MAX_PROCESSES = 6
# The outcome of a file is known only when its group is done, so groups are limited.
MAX_GROUP_FILES, MAX_GROUP_BYTES = 64, 2 * MIB
# Small files that a call in a Dask or MPI worker sends at once.
JOBS_PER_CALL = 4
# Failures of groups whose cause is shown when their files are sent one by one.
_EXPECTED = (BrokenExecutor, CancelledError, ImportError, ObsupError, OSError)


class GroupWorkers(Protocol):
    """Other processes that upload groups. ``is_open``: small files are left to them."""

    is_open: bool

    def group_size(self, waiting: int, in_flight: int) -> int:
        """Return how many of *waiting* files the next group may have, with *in_flight* groups; 0 for no group yet."""

    def submit(self, files: tuple[PendingFile, ...], jobs: int) -> Future[GroupResult]:
        """Submit a group; *jobs* is the total of files in flight. Raises BrokenExecutor."""

    def failure_of(self, future: Future[GroupResult]) -> BaseException | None:
        """Return why the files of a group that ended must be sent again, None if they need not."""

    def forward_stop(self) -> None:
        """Stop what runs, if the batch was stopped."""


class FileGroups:
    """Groups of small files at *workers*, if there are any. Only the driver's thread may use it.

    ``in_flight`` are the groups.
    """

    def __init__(self, workers: GroupWorkers | None, observe: events.Observer = events.ignore) -> None:
        self._workers = workers
        self._observe = observe
        self._is_noted = False
        self.in_flight: dict[Future[GroupResult], tuple[PendingFile, ...]] = {}

    @property
    def is_open(self) -> bool:
        """Whether small files are left to the workers."""
        return self._workers is not None and self._workers.is_open

    def submit(self, pending: deque[PendingFile], jobs: Callable[[], int]) -> Future[GroupResult] | None:
        """Submit the next files of *pending*. Return None if they accept no other group now, or none at all."""
        if not pending or self._workers is None:
            return None
        max_files = self._workers.group_size(len(pending), len(self.in_flight))
        if not max_files:
            return None
        files = take_files(pending, min(max_files, MAX_GROUP_FILES), MAX_GROUP_BYTES)
        try:
            future = self._workers.submit(tuple(files), jobs())
        except BrokenExecutor:
            pending.extendleft(reversed(files))
            self._workers.is_open = False
            return None
        self.in_flight[future] = tuple(files)
        return future

    def collect(
        self, future: Future[GroupResult], pending: deque[PendingFile], left: deque[PendingFile]
    ) -> tuple[FileOutcome, ...]:
        """Return the outcomes of a group. Its unstarted files return to *pending*; *left* are for this process.

        All its files are if the group failed, because its process died for example: this process reports what fails.
        """
        assert self._workers is not None
        files = self.in_flight.pop(future)
        failure = self._workers.failure_of(future)
        if failure is not None:
            self._note_unexpected(failure)
            left.extend(files)
            return ()
        result = future.result()
        for event in result.reported:
            self._observe(event)
        left.extend(result.left)
        pending.extendleft(reversed(result.unstarted))
        return result.outcomes

    def forward_stop(self) -> None:
        """Stop the groups in flight, if the batch was stopped."""
        if self._workers is not None:
            self._workers.forward_stop()

    def _note_unexpected(self, failure: BaseException) -> None:
        """Note the first failure that is not one of a process, a worker, the network or a file."""
        if self._is_noted or isinstance(failure, _EXPECTED):
            return
        self._is_noted = True
        text = f"a group of small files failed with {type(failure).__name__}: its files are sent one by one"
        self._observe(events.Noted(text))


def _failure_of(future: Future[GroupResult]) -> BaseException | None:
    return CancelledError() if future.cancelled() else future.exception()


class ExtraProcesses:
    """More Python processes on this machine.

    They are started once enough small files wait, and only if they share nothing with the driver except the number of
    files in flight: a rate limit, or one file at a time, needs a single process. CPU seconds for 20,000 files of 4 KiB:
    without them 9.0 in one process, which can use one core; with them 0.9 in the driver and 8.6 in processes.
    """

    def __init__(self, request: BatchRequest, settings: StoreSettings, stop: StopSignal) -> None:
        self.is_open = False
        self._stop = stop
        jobs = request.shared.template.max_jobs
        # At most one per job: each sends at least one file at a time.
        self._count = min(usable_cores(), MAX_PROCESSES, jobs)
        self._setup = _worker_setup(request, settings, max(1, jobs // self._count))
        self._pool: ProcessPool | None = None
        self._starting: list[Future[None]] = []

    def _start(self) -> None:
        """Start the processes. Returns before they accept groups."""
        from obsup.local.processes.pool import ProcessPool  # few batches are large enough

        try:
            self._pool = ProcessPool(self._count, (set_up_worker, self._setup))
            # One call for each process starts them all now.
            self._starting = [self._pool.submit(start_worker, None) for _ in range(self._count)]
        except BrokenExecutor:  # this process alone does the work
            self._count = 0

    def group_size(self, waiting: int, in_flight: int) -> int:
        """See GroupWorkers: one group in progress and one waiting per process."""
        if self._pool is None and self._count > 1 and waiting >= MIN_FILES:
            self._start()
        started = [future for future in self._starting if future.done()]
        if started:
            self._starting = []
            self.is_open = not any(future.exception() for future in started)
        if not self.is_open or in_flight >= 2 * self._count:
            return 0
        return 1 + (waiting - 1) // (3 * self._count)

    def submit(self, files: tuple[PendingFile, ...], jobs: int) -> Future[GroupResult]:
        assert self._pool is not None
        return self._pool.submit(upload_group, FileGroup(files, max(1, jobs // self._count)))

    def failure_of(self, future: Future[GroupResult]) -> BaseException | None:
        """See GroupWorkers: after a failure, this process sends all later files."""
        failure = _failure_of(future)
        self.is_open = self.is_open and failure is None
        return failure

    def forward_stop(self) -> None:
        """See GroupWorkers."""
        if self._pool is not None and self._stop.reason is not None:
            self._pool.set_state(STOP_NOW if self._stop.is_over else STOP)

    def close(self, *, wait: bool) -> None:
        """End the processes; without *wait* they abort what is in flight and end as soon as they can."""
        if self._pool is None:
            return
        if not wait:
            self._pool.set_state(STOP_NOW)
        self._pool.close(wait=wait)


class RemoteGroups:
    """The workers of the pool: local processes, Dask, MPI. Each call sends the files of a group.

    They wait for full groups, because each costs the driver about the same, unless a worker has nothing to do.
    """

    def __init__(
        self,
        request: BatchRequest,
        workers: RemoteWorkers,
        limit: Callable[[], int],
        signer: SmallFileSigner | None = None,
    ) -> None:
        self.is_open = True
        self._workers = workers
        self._signer = signer
        self._limit = limit
        # Without --jobs for them, Dask and MPI hide the time of a request behind others.
        jobs = 1 if workers.is_local else JOBS_PER_CALL
        self._setup = pickle.dumps(_worker_setup(request, workers.settings, jobs))

    def group_size(self, waiting: int, in_flight: int) -> int:
        """See GroupWorkers: one group in progress and one waiting per worker, fewer after throttling."""
        if not self.is_open or in_flight >= self._limit():
            return 0
        idle = self._workers.size - in_flight
        if idle > 0:
            return max(1, waiting // idle)
        # Without workers, a call waits for them: it ends the batch if none joins in time.
        return MAX_GROUP_FILES if waiting >= MAX_GROUP_FILES or not in_flight else 0

    def submit(self, files: tuple[PendingFile, ...], jobs: int) -> Future[GroupResult]:  # noqa: ARG002 - one at a time
        def make_call(rate: Rate | None, is_local: bool) -> WorkerCall:
            task = GroupTask(self._setup, files, rate, is_local)
            return upload_group_remotely, task if self._signer is None else _signed(task, self._signer)

        return self._workers.submit(make_call)

    def failure_of(self, future: Future[GroupResult]) -> BaseException | None:
        """See GroupWorkers: the object that one of the files has become may be another one than the driver sees."""
        failure = _failure_of(future)
        if failure is not None:
            return failure
        result = future.result()
        if result.lacks_requests:
            # Every file would be sent twice: there, and then as a task, which the driver verifies.
            self.is_open = False
        made = next((one.result for one in result.outcomes if one.result is not None), None)
        try:
            if made is not None:
                self._workers.objects.check(result.worker, made.target, made)
        except ObsupError as exc:
            return exc
        return None

    def forward_stop(self) -> None:
        """See GroupWorkers: nothing to do. A group ends within the grace period, or counts as unfinished."""


def _signed(task: GroupTask, signer: SmallFileSigner) -> GroupTask:
    """Return *task* with the URLs of its files. The driver looks at objects, so a file has none if that decides."""
    checksum = signer.checksum
    signed = [signer.sign(file, checksum) for file, decision, _ in task.files if decision == "send"]
    return replace(task, presigned=tuple(one for one in signed if one is not None))


def open_groups(
    context: UploadContext, request: BatchRequest, pool: Pool, observe: events.Observer, resources: ExitStack
) -> FileGroups:
    """Return the groups that the request allows; without groups, each small file is one task or request.

    *resources* end the processes.
    """
    template = request.shared.template
    # With --no-overwrite, an object that exists may be our own whose response was lost. Only its sender can tell.
    if template.options.no_overwrite:
        return FileGroups(None)
    if template.executor == "threads" and context.limit is None:
        processes = ExtraProcesses(request, context.connection.worker_settings, context.stop)
        resources.callback(lambda: processes.close(wait=not context.stop.is_over))
        return FileGroups(processes, observe)
    if template.executor in LOCAL_EXECUTORS or pool.workers is None:
        return FileGroups(None)
    # A worker does not know what the driver knows of the file, or of the store at the end.
    if template.verify_source or locks_later(context) or (template.presign and _looks_at_objects(context)):
        return FileGroups(None)
    signer = SmallFileSigner(context, request.shared) if template.presign else None
    return FileGroups(RemoteGroups(request, pool.workers, pool.small_file_limit, signer), observe)


def _looks_at_objects(context: UploadContext) -> bool:
    """Return whether an upload in one request sends other requests, too, for which a worker has no URL."""
    template = context.request
    is_locked = bool(lock_headers(context.dialect, context.requested_headers))
    return template.strict_options or is_locked or context.encryption is not None


def _worker_setup(request: BatchRequest, settings: StoreSettings, jobs: int) -> WorkerSetup:
    probes = request.shared.template.probes_jobs
    return WorkerSetup(request.shared, settings, jobs, probes, request.reports_requests)

"""Upload groups of small files in another process, and what travels between it and the driver.

No keys travel: the process finds its own credentials. Only the driver writes the journal.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from functools import lru_cache
from pathlib import Path

from msgspec.structs import replace

from obsup import events
from obsup.engine.batch.file_upload import FileUploader
from obsup.engine.batch.known_files import PendingFile
from obsup.engine.batch.outcome import FileOutcome
from obsup.engine.batch.pool import INLINE
from obsup.engine.batch.request import SharedRequest
from obsup.engine.job.connection import Connection, StoreSettings, connect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.stop import StopSignal
from obsup.engine.plan.concurrency import ConcurrencyLimit
from obsup.engine.plan.concurrency_probe import ConcurrencyProbe
from obsup.engine.send.remote_task import (
    limit_of_thread,
    name_of_worker,
    presigned_connection,
    record_event,
    recording_events,
    set_thread_limit,
    sharing_limit,
    with_host,
)
from obsup.engine.send.worker_failures import may_be_of_worker, report_throttling
from obsup.errors import ObsupError, SourceUnreadable, Stopped, WrongUsage
from obsup.local.processes.executors import open_threads
from obsup.local.processes.worker import listen
from obsup.local.source.identity import is_same_file, stat_source
from obsup.local.walk.walk import FoundFile
from obsup.rate import Rate
from obsup.store.presigned import PresignedRequest
from obsup.store.retrying import sleep
from obsup.value import Value

# The states that the driver sets in all its processes.
STOP, STOP_NOW = 1, 2
# Files in flight at first, if the number is probed.
INITIAL_JOBS = 2
# The driver sets STOP_NOW when its own grace period is over.
GRACE_S = 3600.0
# A worker that cannot be stopped starts no more files of a group after this time.
MAX_GROUP_S = 2.0
# Threads that send the files of all groups in a process whose driver is on another host.
MAX_THREADS = 32


class WorkerSetup(Value):
    """What a process needs to upload files of a batch; ``jobs`` is the largest number of files in flight.

    ``probes_jobs`` if it may use fewer where more do not pay. ``reports_requests`` as in BatchRequest.
    """

    shared: SharedRequest
    settings: StoreSettings
    jobs: int
    probes_jobs: bool
    reports_requests: bool


class FileGroup(Value):
    """Small files for another process, of which ``jobs`` may be in flight at once."""

    files: tuple[PendingFile, ...]
    jobs: int


class GroupResult(Value):
    """The outcomes of a group, and the files of it that are left to the driver: it retries them unless it stops.

    ``unstarted`` are those for which there was no time. ``worker`` is as in WorkerReport. ``lacks_requests``: the
    signed URL of a file is not enough, because the response does not verify its object.
    """

    outcomes: tuple[FileOutcome, ...]
    left: tuple[PendingFile, ...]
    reported: tuple[events.Event, ...]
    unstarted: tuple[PendingFile, ...] = ()
    worker: str = ""
    lacks_requests: bool = False


def _connect(setup: WorkerSetup, observe: events.Observer, wait: Callable[[float], bool]) -> Connection:
    """Connect without retries. The driver retries: one file that waits here would delay the whole group."""
    settings = replace(setup.settings, retry_for_s=0.0)
    return connect(settings, observe=observe, sleep=wait, reports_requests=setup.reports_requests)


def _for_each(
    files: Iterable[PendingFile],
    upload: Callable[[PendingFile], None],
    threads: Executor | None,
    count: int,
    *,
    is_over: Callable[[], bool],
) -> tuple[PendingFile, ...]:
    """Upload *files* in this thread and up to *count* - 1 of *threads* until *is_over*; return those not started."""
    waiting = deque(files)

    def upload_next_files() -> None:
        while not is_over():
            try:
                pending = waiting.popleft()
            except IndexError:
                return
            upload(pending)

    others = [threads.submit(upload_next_files) for _ in range(count - 1)] if threads is not None else []
    upload_next_files()
    for future in others:
        if not future.cancel():
            future.result()
    return tuple(waiting)


class ProcessWorker:
    """Uploads the groups of one batch in this process."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._stop = StopSignal(grace_s=GRACE_S)
        self._events: list[events.Event] = []
        probe = ConcurrencyProbe(min(INITIAL_JOBS, setup.jobs), setup.jobs) if setup.probes_jobs else None
        self._concurrency = ConcurrencyLimit(setup.jobs, probe=probe)
        connection = _connect(setup, self._observe, self._stop.sleep)
        context = UploadContext(connection, setup.shared.template, self._observe, self._stop)
        self._file_uploader = FileUploader(context, setup.shared, concurrency=self._concurrency)
        self._threads = open_threads(setup.jobs, "small")
        listen(self._set_state)

    def upload(self, group: FileGroup) -> GroupResult:
        """Upload the files of *group*, several at once, and return the outcomes."""
        outcomes: list[FileOutcome] = []
        left: list[PendingFile] = []

        def upload(pending: PendingFile) -> None:
            outcome = self._file_uploader.upload(pending, INLINE)
            error = outcome.error
            if error is not None and error.retryable and self._stop.reason is None:
                left.append(pending)
                report_throttling(error, self._slow_down)
            else:
                outcomes.append(outcome)

        count = min(group.jobs, self._concurrency.allowed, len(group.files))
        waiting = _for_each(
            group.files, upload, self._threads, count, is_over=lambda: self._stop.reason is not None
        )
        reported, self._events = self._events, []
        return GroupResult(tuple(outcomes), (*left, *waiting), tuple(reported))

    def _slow_down(self, event: events.Event) -> None:
        self._concurrency(event)
        self._events.append(event)

    def _observe(self, event: events.Event) -> None:
        """Keep the events that the driver needs: retries, notes, and requests if it reports them; no progress."""
        inner = events.of_one(event)
        if isinstance(inner, events.Requested | events.Retried | events.Noted):
            self._events.append(event)

    def _set_state(self, state: int) -> None:
        """Stop because the driver set STOP or STOP_NOW."""
        self._stop.request_stop(Stopped("the batch was stopped"), at_once=state == STOP_NOW)


class GroupTask(Value):
    """A group for a worker of --executor. ``setup`` is a pickled WorkerSetup, the same for all groups of a batch.

    ``rate`` is this call's share of the rate limit. ``is_local``: the worker sees the files of the driver's host.
    ``presigned`` are the URLs of the files with --presign.
    """

    _hidden = ("setup",)

    setup: bytes
    files: tuple[PendingFile, ...]
    rate: Rate | None
    is_local: bool
    presigned: tuple[PresignedRequest, ...] = ()


class RemoteGroupWorker:
    """Uploads the groups of one batch for a driver that may be on another host. Thread-safe."""

    def __init__(self, setup: WorkerSetup) -> None:
        template = replace(setup.shared.template, executor="threads", jobs=setup.jobs)
        self._shared = replace(setup.shared, template=template)
        self._settings = replace(setup.settings, retry_for_s=0.0)
        self._is_presigned = template.presign
        self._file_uploader = (
            self._open(_connect(setup, record_event, sleep)) if not template.presign else None
        )
        self._jobs = setup.jobs
        self._threads = open_threads(MAX_THREADS, "small") if setup.jobs > 1 else None

    def upload(self, task: GroupTask) -> GroupResult:
        """Upload the files of *task*, as many at once as the setup allows, and return their outcomes."""
        end_s = time.monotonic() + MAX_GROUP_S
        outcomes: list[FileOutcome] = []
        left: list[PendingFile] = []
        recorded: list[events.Event] = []
        signed = {one.address.key for one in task.presigned}
        lacking: list[PendingFile] = []
        limit, file_uploader = set_thread_limit(task.rate), self._file_uploader or self._open_presigned(task)

        def upload(pending: PendingFile) -> None:
            with recording_events(recorded, most=None), sharing_limit(limit):
                outcome = self._upload_file(file_uploader, pending, is_local=task.is_local)
            if outcome is not None and self._is_left(outcome.error):
                key = self._shared.prefix.below(pending.file.name).key
                if isinstance(outcome.error, WrongUsage) and key in signed:
                    lacking.append(pending)
                outcome = None
            if outcome is None:
                left.append(pending)
            else:
                outcomes.append(_as_driver_sees(outcome, pending.file))

        count = min(self._jobs, len(task.files))
        waiting = _for_each(
            task.files,
            upload,
            self._threads,
            count,
            is_over=lambda: bool(outcomes or left) and time.monotonic() >= end_s,
        )
        return GroupResult(
            tuple(outcomes), tuple(left), tuple(recorded), waiting, name_of_worker(), bool(lacking)
        )

    def _open(self, connection: Connection) -> FileUploader:
        context = UploadContext(
            connection, self._shared.template, record_event, StopSignal(), limit_of_thread
        )
        return FileUploader(context, self._shared, concurrency=events.ignore)

    def _open_presigned(self, task: GroupTask) -> FileUploader:
        """Return an uploader that can send only what the driver has signed."""
        return self._open(presigned_connection(self._settings, *task.presigned))

    def _upload_file(
        self, file_uploader: FileUploader, pending: PendingFile, *, is_local: bool
    ) -> FileOutcome | None:
        """Upload one file; return None unless it certainly is the file that the driver found."""
        file = pending.file if is_local else _as_seen_here(pending.file)
        if file is None:
            return None
        outcome = file_uploader.upload(pending._replace(file=file), INLINE)
        report_throttling(outcome.error, record_event)
        return outcome

    def _is_left(self, error: ObsupError | None) -> bool:
        """Return whether the driver must do it after this *error*: another worker, or this one later, may succeed.

        What a presigned URL does not do, only the driver can.
        """
        return error is not None and (self._is_presigned or error.retryable or may_be_of_worker(error))


def _as_seen_here(file: FoundFile) -> FoundFile | None:
    """Return the file with its identity on this host; None unless it certainly is the file that the driver found."""
    try:
        stat = stat_source(Path(file.path), file.link_free)
    except SourceUnreadable:
        return None
    return replace(file, stat=stat) if is_same_file(file.stat, stat) else None


def _as_driver_sees(outcome: FileOutcome, file: FoundFile) -> FileOutcome:
    """Return the outcome with the device number of the driver's host; an error names this host."""
    if outcome.error is not None:
        return replace(outcome, error=with_host(outcome.error))
    if outcome.result is None or outcome.result.source is None:
        return outcome
    source = replace(outcome.result.source, device=file.stat.device)
    return replace(outcome, result=replace(outcome.result, source=source))


_workers: list[ProcessWorker] = []


def set_up_worker(setup: WorkerSetup) -> None:
    """Connect, before the first group. Raises as ``connect`` does."""
    _workers.append(ProcessWorker(setup))


def start_worker(_argument: None) -> None:
    """Do nothing: the process that runs this has started, and is set up."""


def upload_group(group: FileGroup) -> GroupResult:
    """Upload the files of *group* in this process."""
    return _workers[0].upload(group)


_lock = threading.Lock()


@lru_cache(maxsize=4)
def _remote_worker(setup: bytes) -> RemoteGroupWorker:
    return RemoteGroupWorker(pickle.loads(setup))


def upload_group_remotely(task: GroupTask) -> GroupResult:
    """Upload the files of *task* in this process, which keeps its connection for the next group of the batch.

    Raises ObsupError if it cannot connect, without credentials for example: another worker may.
    """
    with _lock:
        worker = _remote_worker(task.setup)
    return worker.upload(task)

"""Upload groups of small files in another process of this machine, and what travels between it and the driver.

No secret travels: the process finds its own credentials. Only the driver writes the journal.
"""

from __future__ import annotations

from collections import deque

from msgspec.structs import replace

from obsup import events
from obsup.engine.batch.file_upload import FileUploader
from obsup.engine.batch.known_files import PendingFile
from obsup.engine.batch.outcome import FileOutcome
from obsup.engine.batch.pool import InlineSender
from obsup.engine.batch.request import SharedRequest
from obsup.engine.job.connection import StoreSettings, connect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.stop import StopSignal
from obsup.engine.plan.concurrency import ConcurrencyLimit
from obsup.engine.plan.concurrency_probe import ConcurrencyProbe
from obsup.errors import ObsupError, Stopped, Throttled
from obsup.local.processes.executors import open_threads
from obsup.local.processes.worker import listen
from obsup.value import Value

# The states that the driver sets in all its processes.
STOP, STOP_NOW = 1, 2
# Files in flight at first, if the number is probed.
INITIAL_JOBS = 2
# The driver sets STOP_NOW when its own grace period is over.
GRACE_S = 3600.0


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
    """The outcomes of a group, and the files of it that are left to the driver: it retries them unless it stops."""

    outcomes: tuple[FileOutcome, ...]
    left: tuple[PendingFile, ...]
    reported: tuple[events.Event, ...]


class ProcessWorker:
    """Uploads the groups of one batch in this process."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._stop = StopSignal(grace_s=GRACE_S)
        self._events: list[events.Event] = []
        probe = ConcurrencyProbe(min(INITIAL_JOBS, setup.jobs), setup.jobs) if setup.probes_jobs else None
        self._concurrency = ConcurrencyLimit(setup.jobs, probe=probe)
        # The driver retries: one file that waits here would delay the whole group.
        settings = replace(setup.settings, retry_for_s=0.0)
        connection = connect(
            settings,
            observe=self._observe,
            sleep=self._stop.sleep,
            reports_requests=setup.reports_requests,
        )
        context = UploadContext(connection, setup.shared.template, self._observe, self._stop)
        self._file_uploader = FileUploader(context, setup.shared, concurrency=self._concurrency)
        self._threads = open_threads(setup.jobs, "small")
        listen(self._set_state)

    def upload(self, group: FileGroup) -> GroupResult:
        """Upload the files of *group*, several at once, and return the outcomes."""
        pending = deque(group.files)
        outcomes: list[FileOutcome] = []
        left: list[PendingFile] = []

        def upload_next_files() -> None:
            sender = InlineSender()
            while self._stop.reason is None:
                try:
                    file = pending.popleft()
                except IndexError:
                    return
                outcome = self._file_uploader.upload(file, sender)
                error = outcome.error
                if error is not None and error.retryable and self._stop.reason is None:
                    left.append(file)
                    self._note_throttling(error)
                else:
                    outcomes.append(outcome)

        thread_count = max(1, min(group.jobs, self._concurrency.allowed, len(group.files)))
        futures = [self._threads.submit(upload_next_files) for _ in range(thread_count - 1)]
        upload_next_files()
        for future in futures:
            future.result()
        reported, self._events = self._events, []
        return GroupResult(tuple(outcomes), (*left, *pending), tuple(reported))

    def _note_throttling(self, error: ObsupError) -> None:
        if isinstance(error, Throttled):
            event = events.Retried(None, 1, error.what, 0.0, throttled=True)
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


_workers: list[ProcessWorker] = []


def set_up_worker(setup: WorkerSetup) -> None:
    """Connect, before the first group. Raises as ``connect`` does."""
    _workers.append(ProcessWorker(setup))


def start_worker(_argument: None) -> None:
    """Do nothing: the process that runs this has started, and is set up."""


def upload_group(group: FileGroup) -> GroupResult:
    """Upload the files of *group* in this process."""
    return _workers[0].upload(group)

"""More Python processes on this machine for many small files, because one process uses only one core for them.

They are started once enough small files wait, and only if they share nothing with the driver except the number of files
in flight: a rate limit, or one file at a time, needs a single process. Measured on two idle cores with 10,000 files of
4 KiB, medians of three interleaved runs: 2,900 files per second with them, 940 without.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import BrokenExecutor, Future
from typing import TYPE_CHECKING

from obsup import events
from obsup.engine.batch.known_files import PendingFile, take_files
from obsup.engine.batch.outcome import FileOutcome
from obsup.engine.batch.process_worker import (
    STOP,
    STOP_NOW,
    FileGroup,
    GroupResult,
    WorkerSetup,
    set_up_worker,
    start_worker,
    upload_group,
)
from obsup.engine.batch.request import BatchRequest
from obsup.engine.job.connection import StoreSettings
from obsup.engine.job.stop import StopSignal
from obsup.errors import ObsupError
from obsup.local.platform.processes import usable_cores
from obsup.units import MIB

if TYPE_CHECKING:
    from obsup.local.processes.pool import ProcessPool

# Small files that must be waiting: starting the processes takes about as long as sending these.
MIN_FILES = 400
# More processes would wait for the driver, which alone walks the sources and writes the journal.
MAX_PROCESSES = 6
# The outcome of a file is known only when its group is done, so groups are limited.
MAX_GROUP_FILES, MAX_GROUP_BYTES = 64, 2 * MIB


class BatchProcesses:
    """Uploads groups of small files in other processes. Only the driver's thread may use it.

    ``in_flight`` are the groups that were submitted; ``is_open`` if the processes accept groups.
    """

    def __init__(
        self,
        request: BatchRequest,
        settings: StoreSettings,
        stop: StopSignal,
        *,
        is_limited: bool,
        observe: events.Observer = events.ignore,
    ) -> None:
        self._request = request
        self._settings = settings
        self._stop = stop
        self._observe = observe
        self._count = 0 if is_limited else _process_count(request)
        self._setup = _worker_setup(request, settings, self._count)
        self._backend: ProcessPool | None = None
        self._starting: list[Future[None]] = []
        self.is_open = False
        self.in_flight: dict[Future[GroupResult], FileGroup] = {}

    def start(self) -> None:
        """Start the processes, unless they are useless or started already. Returns before they accept groups."""
        if self._backend is not None or self._count < 2:
            return
        from obsup.local.processes.pool import ProcessPool  # few batches are large enough

        try:
            self._backend = ProcessPool(self._count, (set_up_worker, self._setup))
            # One call for each process starts them all now.
            self._starting = [self._backend.submit(start_worker, None) for _ in range(self._count)]
        except BrokenExecutor:  # this process alone does the work
            self._count = 0

    def has_room(self) -> bool:
        """Return whether another group may be submitted: one in progress and one waiting per process."""
        if not self.is_open and self._count:
            errors = [future.exception() for future in self._starting if future.done()]
            self.is_open = bool(errors) and not any(errors)
            self._count = 0 if any(errors) else self._count
        return self.is_open and len(self.in_flight) < 2 * self._count

    def submit(self, pending: deque[PendingFile], *, jobs: int) -> Future[GroupResult] | None:
        """Submit the next files of *pending*; *jobs* is the total in flight. Return None if the processes are gone."""
        assert self._backend is not None
        max_files = min(MAX_GROUP_FILES, 1 + (len(pending) - 1) // (3 * self._count))
        files = take_files(pending, max_files, MAX_GROUP_BYTES)
        group = FileGroup(tuple(files), max(1, jobs // self._count))
        try:
            future = self._backend.submit(upload_group, group)
        except BrokenExecutor:
            self._requeue(group.files, pending)
            return None
        self.in_flight[future] = group
        return future

    def collect(
        self, future: Future[GroupResult], pending: deque[PendingFile], left: deque[PendingFile]
    ) -> tuple[FileOutcome, ...]:
        """Return the outcomes of a group. Append the files that are left to this process to *left*.

        If the process of the group died, all its files return to *pending*.
        """
        group = self.in_flight.pop(future)
        try:
            result = future.result()
        except (BrokenExecutor, ObsupError, OSError):
            self._requeue(group.files, pending)
            return ()
        for event in result.reported:
            self._observe(event)
        left.extend(result.left)
        return result.outcomes

    def _requeue(self, files: tuple[PendingFile, ...], pending: deque[PendingFile]) -> None:
        """Leave *files*, and all later ones, to this process."""
        pending.extendleft(reversed(files))
        self.is_open, self._count = False, 0

    def forward_stop(self) -> None:
        """Stop the processes if the batch was stopped."""
        if self._backend is not None and self._stop.reason is not None:
            self._backend.set_state(STOP_NOW if self._stop.is_over else STOP)

    def close(self, *, wait: bool) -> None:
        """End the processes; without *wait* they abort what is in flight and end as soon as they can."""
        if self._backend is None:
            return
        if not wait:
            self._backend.set_state(STOP_NOW)
        self._backend.close(wait=wait)


def _worker_setup(request: BatchRequest, settings: StoreSettings, count: int) -> WorkerSetup:
    template = request.shared.template
    return WorkerSetup(
        request.shared,
        settings,
        max(1, template.max_jobs // max(1, count)),
        template.probes_jobs,
        request.reports_requests,
    )


def _process_count(request: BatchRequest) -> int:
    """Return how many processes a batch may use in addition to the driver: one per core, at most one per job."""
    template = request.shared.template
    # With --no-overwrite, an object that exists may be our own whose response was lost. Only its sender can tell.
    if template.executor != "threads" or template.options.no_overwrite:
        return 0
    return min(usable_cores(), MAX_PROCESSES, template.max_jobs)

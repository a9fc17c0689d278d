"""More Python processes on this machine for many small files, because one process uses only one core for them.

They are started once enough small files wait, and only if they share nothing with the driver except the number of files
in flight: a rate limit, or one file at a time, needs a single process. Measured on two idle cores with 10,000 files of
4 KiB, medians of three interleaved runs: 2,900 files per second with them, 940 without.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
from typing import Any

from obsup import events
from obsup.engine.batch.known_files import PendingFile
from obsup.engine.batch.outcome import FileOutcome
from obsup.engine.batch.process_worker import (
    RUN,
    STOP,
    STOP_NOW,
    FileGroup,
    GroupResult,
    WorkerSetup,
    check_worker,
    start_worker,
    upload_group,
)
from obsup.engine.batch.request import BatchRequest
from obsup.engine.job.connection import StoreSettings
from obsup.engine.job.stop import StopSignal
from obsup.errors import ObsupError
from obsup.units import MIB

# Small files that must be waiting: starting the processes takes about as long as sending these.
MIN_FILES = 400
# More processes would wait for the driver, which alone walks the sources and writes the journal.
MAX_PROCESSES = 6
# The outcome of a file is known only when its group is done, so groups are limited.
MAX_GROUP_FILES, MAX_GROUP_BYTES = 64, 2 * MIB


class ProcessPool:
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
        self._executor: Executor | None = None
        self._stop_flag: Any = None
        self._starting: list[Future[None]] = []
        self.is_open = False
        self.in_flight: dict[Future[GroupResult], FileGroup] = {}

    def start(self) -> None:
        """Start the processes, unless they are useless or started already. Returns before they accept groups."""
        if self._executor is not None or self._count < 2:
            return
        # Imported here because few batches are large enough.
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        from obsup.engine.send.backends import safe_import_path

        template = self._request.shared.template
        setup = WorkerSetup(
            self._request.shared,
            self._settings,
            max(1, template.max_jobs // self._count),
            template.probes_jobs,
            self._request.reports_requests,
        )
        context = get_context("spawn")
        try:
            with safe_import_path():
                self._stop_flag = context.Value("b", RUN, lock=False)
                self._executor = ProcessPoolExecutor(
                    self._count,
                    mp_context=context,
                    initializer=start_worker,
                    initargs=(self._stop_flag, setup),
                )
                with _sigint_blocked():  # not earlier: starting Python's resource tracker unblocks it
                    # One call for each process starts them all now.
                    self._starting = [self._executor.submit(check_worker) for _ in range(self._count)]
        except (OSError, BrokenExecutor):  # for example no shared memory: this process alone does the work
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
        assert self._executor is not None
        files = [pending.popleft()]
        size = files[0].file.stat.size
        max_files = min(MAX_GROUP_FILES, 1 + len(pending) // (3 * self._count))
        while pending and len(files) < max_files and size < MAX_GROUP_BYTES:
            files.append(pending.popleft())
            size += files[-1].file.stat.size
        group = FileGroup(tuple(files), max(1, jobs // self._count))
        try:
            future = self._executor.submit(upload_group, group)
        except BrokenExecutor:
            self._requeue(group.files, pending)
            return None
        self.in_flight[future] = group
        return future

    def collect(
        self, future: Future[GroupResult], pending: deque[PendingFile], retries: deque[PendingFile]
    ) -> tuple[FileOutcome, ...]:
        """Return the outcomes of a group. Append the files that this process has to retry to *retries*.

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
        retries.extend(result.retries)
        return result.outcomes

    def _requeue(self, files: tuple[PendingFile, ...], pending: deque[PendingFile]) -> None:
        """Leave *files*, and all later ones, to this process."""
        pending.extendleft(reversed(files))
        self.is_open, self._count = False, 0

    def forward_stop(self) -> None:
        """Stop the processes if the batch was stopped."""
        if self._stop_flag is not None and self._stop.reason is not None:
            self._set_stop_flag(is_immediate=self._stop.is_over)

    def _set_stop_flag(self, *, is_immediate: bool) -> None:
        self._stop_flag.value = STOP_NOW if is_immediate else STOP

    def close(self, *, wait: bool) -> None:
        """End the processes; without *wait* they abort what is in flight and end as soon as they can."""
        if self._executor is None:
            return
        if not wait:
            self._set_stop_flag(is_immediate=True)
        self._executor.shutdown(wait=wait, cancel_futures=True)


def _process_count(request: BatchRequest) -> int:
    """Return how many processes a batch may use in addition to the driver: one per core, at most one per job."""
    template = request.shared.template
    # With --no-overwrite, an object that exists may be our own whose response was lost. Only its sender can tell.
    if template.executor != "threads" or template.options.no_overwrite:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_PROCESSES, template.max_jobs)


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT in processes that are started inside: the driver receives it and stops them in order."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

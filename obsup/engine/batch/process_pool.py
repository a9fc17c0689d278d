"""More interpreters on this machine for many small files: one alone keeps no more than one core busy.

They are opened once so many very small files wait that it pays, and only where nothing has to be shared with them but
the number in flight: with a rate limit, or with one file at a time, a single interpreter is fast enough.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from obsup import events
from obsup.engine.batch.known_files import Job
from obsup.engine.batch.outcome import FileOutcome
from obsup.engine.batch.request import BatchRequest
from obsup.engine.job.connection import StoreSettings
from obsup.engine.job.request import MAX_JOBS
from obsup.engine.job.stop import StopSignal
from obsup.errors import ObsupError
from obsup.model import Target
from obsup.units import MIB

if TYPE_CHECKING:
    from obsup.engine.batch.process_worker import FileGroup, GroupResult

# So many very small files have to wait: to start interpreters takes about as long as to send these.
MIN_FILES = 400
# More of them than this find nothing to do: the driver alone walks and keeps the journal.
MAX_PROCESSES = 6
# Nobody hears of a file before its bundle is done: so many files, and bytes, are one at most.
MAX_GROUP_FILES, MAX_GROUP_BYTES = 64, 2 * MIB


class ProcessPool:
    """Carries bundles of very small files in other interpreters. Only the driver's thread may use it."""

    def __init__(
        self,
        order: BatchRequest,
        settings: StoreSettings,
        stop: StopSignal,
        *,
        is_limited: bool,
        observe: events.Observer = events.ignore,
    ) -> None:
        self._order = order
        self._settings = settings
        self._stop = stop
        self._observe = observe
        self._count = _count_for(order) if not is_limited else 0
        self._executor: Executor | None = None
        self._word: Any = None
        self._ready: list[Future[None]] = []
        self.is_open = False
        self.under_way: dict[Future[GroupResult], FileGroup] = {}

    def open(self) -> None:
        """Begin to start them, where they can be of use and that was not done."""
        if self._executor is not None or self._count < 2:
            return
        # InlineSender, and not above: few batches are so large, and all would wait for it.
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        from obsup.engine.batch import process_worker

        each = self._order.each
        most = MAX_JOBS if each.probes_jobs else each.jobs_at_first
        post = process_worker.WorkerSetup(
            self._order.common,
            self._settings,
            max(1, most // self._count),
            each.probes_jobs,
            self._order.tells_requests,
        )
        spawned = get_context("spawn")
        try:
            self._word = spawned.Value("b", process_worker.GO_ON, lock=False)
            self._executor = ProcessPoolExecutor(
                self._count,
                mp_context=spawned,
                initializer=process_worker.start_worker,
                initargs=(self._word, post),
            )
            with _no_interrupts():
                # One call for each: so each is started now.
                self._ready = [self._executor.submit(process_worker.check_worker) for _ in range(self._count)]
        except (OSError, BrokenExecutor):  # no shared memory, no more processes: there is this interpreter
            self._count = 0

    @property
    def has_room(self) -> bool:
        """Whether another bundle may be handed over: one more lies ready for each interpreter."""
        if not self.is_open and self._count:
            done = [one.exception() for one in self._ready if one.done()]
            self.is_open = bool(done) and not any(done)
            self._count = 0 if any(done) else self._count
        return self.is_open and len(self.under_way) < 2 * self._count

    def hand_over(self, waiting: deque[Job], *, jobs: int) -> Future[GroupResult] | None:
        """Take the next files from *waiting* and have them carried, *jobs* at once in all. None where nobody can."""
        from obsup.engine.batch import process_worker

        assert self._executor is not None
        files, size = [waiting.popleft()], 0
        most = min(MAX_GROUP_FILES, 1 + len(waiting) // (3 * self._count))
        while waiting and len(files) < most and size < MAX_GROUP_BYTES:
            files.append(waiting.popleft())
            size += files[-1][0].stat.size
        given = process_worker.FileGroup(tuple(files), max(1, jobs // self._count))
        try:
            future = self._executor.submit(process_worker.send_group, given)
        except BrokenExecutor:
            self._give_back(given.files, waiting)
            return None
        self.under_way[future] = given
        return future

    def outcomes(
        self, future: Future[GroupResult], place: Target, waiting: deque[Job], again: deque[Job]
    ) -> Iterator[FileOutcome]:
        """Yield what came of the files of a bundle; those that are to be tried again go to *again*.

        Where its interpreter died, all go back to *waiting*.
        """
        given = self.under_way.pop(future)
        try:
            delivery = future.result()
        except (BrokenExecutor, ObsupError, OSError):
            self._give_back(given.files, waiting)
            return
        for event in delivery.said:
            self._observe(event)
        again.extend(given.files[number] for number in delivery.again)
        yield from delivery.outcomes(given, place)

    def _give_back(self, files: tuple[Job, ...], waiting: deque[Job]) -> None:
        """Have this interpreter send *files*, and all others from now on."""
        waiting.extendleft(reversed(files))
        self.is_open, self._count = False, 0

    def heed(self) -> None:
        """Pass on where the work is to stop."""
        if self._word is not None and self._stop.reason is not None:
            self._tell(at_once=self._stop.is_over)

    def _tell(self, *, at_once: bool) -> None:
        from obsup.engine.batch import process_worker

        self._word.value = process_worker.STOP_AT_ONCE if at_once else process_worker.STOP

    def close(self, *, wait: bool) -> None:
        """Let them go; where not *wait*, they end as soon as they can."""
        if self._executor is None:
            return
        if not wait:
            self._tell(at_once=True)
        self._executor.shutdown(wait=wait, cancel_futures=True)


def _count_for(order: BatchRequest) -> int:
    """Return how many interpreters a batch may have beside the driver's: as many as there are cores, or jobs."""
    each = order.each
    # An object that must not be replaced may be our own, of which nobody heard: only who sent it can tell.
    if each.executor != "threads" or each.options.no_overwrite:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MAX_PROCESSES, MAX_JOBS if each.probes_jobs else each.jobs_at_first)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Keep SIGINT from processes that are started inside: it is the driver's, which tells them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

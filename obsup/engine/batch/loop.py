"""The run of a batch: the loop that keeps the pool busy with files, and takes in what came of them."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from obsup import events
from obsup.engine.batch.file_upload import FileUploader
from obsup.engine.batch.known_files import Job, KnownFiles
from obsup.engine.batch.outcome import BatchSummary, FileOutcome
from obsup.engine.batch.pool import Pool
from obsup.engine.batch.process_pool import MIN_FILES, ProcessPool
from obsup.engine.batch.request import BatchRequest
from obsup.engine.batch.small_file import MAX_SMALL_FILE
from obsup.engine.job.stop import StopSignal
from obsup.engine.send.dispatcher import POLL_S, drain
from obsup.engine.send.sender import PartSender
from obsup.errors import (
    BadConfiguration,
    Busy,
    Denied,
    NotFinished,
    ObsupError,
    OutOfTime,
    Refused,
    SourceUnreadable,
    Stopped,
    WorkerLost,
)
from obsup.local.walk.prefetch import PrefetchedWalk
from obsup.local.walk.walk import Entry, SkippedFile, UnreadableFile
from obsup.units import KIB

# So many files wait to be begun at most; then the walk does.
MAX_PENDING = 10_000
# Files that are very small go to a worker together: to hand one over costs as much as to send it.
GROUP_FILES, GROUP_BYTES = 8, 256 * KIB
# So many files in a row that the store did not take, and none that it took, and the others are not begun.
MAX_FAILURES_IN_A_ROW = 64
CODES_OF_ALL_FILES = (
    "NoSuchBucket",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "InvalidSecurityToken",
    "SecurityTokenExpired",
    "RequestTimeTooSkewed",
)

Report = Callable[[FileOutcome], None]
_Post = list[Entry] | BaseException | Future[Any] | None


class BatchLoop:
    """The loop of the driver: keeps the pool busy with files, and takes in what came of them."""

    def __init__(
        self,
        order: BatchRequest,
        file_uploader: FileUploader,
        records: KnownFiles,
        pool: Pool,
        beside: ProcessPool,
        *,
        stop: StopSignal,
        observe: events.Observer,
        report: Report,
    ) -> None:
        self._file_uploader = file_uploader
        self._records = records
        self._pool = pool
        self._beside = beside
        self._place = order.place
        self._stop = stop
        self._observe = observe
        self._report = report
        self._fails_fast = order.fail_fast
        self._posts: queue.SimpleQueue[_Post] = queue.SimpleQueue()
        self._ahead = PrefetchedWalk(order.entries(), self._posts.put, observe)
        self._lists_due = 0
        self._is_walked = False
        self._met = 0
        self._tiny: deque[Job] = deque()
        self._small: deque[Job] = deque()
        self._large: deque[Job] = deque()
        self._under_way: dict[Future[list[FileOutcome]], list[Job]] = {}
        self._small_under_way = 0
        self._in_a_row = 0
        self._summary = BatchSummary()

    def drive(self) -> BatchSummary:
        """Return once every file has come to an end, or the work is to stop."""
        self._ahead.start()
        try:
            while not self._stop.is_over:
                if self._stop.reason is None:
                    self._launch()
                self._beside.heed()
                if (
                    not self._under_way
                    and not self._beside.under_way
                    and (self._stop.reason is not None or self._is_done)
                ):
                    break
                self._take_in()
        finally:
            self._ahead.stop()
        self._summary.ended_by = self._summary.ended_by or self._stop.reason
        for jobs in self._under_way.values():
            self._give_up(jobs)
        for bundle in self._beside.under_way.values():
            self._give_up(bundle.files)
        if self._summary.ended_by is None and self._summary.files != self._met:
            raise AssertionError(f"{self._met} files were met, and {self._summary.files} came to an end")
        return self._summary

    @property
    def _is_done(self) -> bool:
        return self._is_walked and not self._tiny and not self._small and not self._large

    def _launch(self) -> None:
        """Begin as many files as may be under way."""
        large_under_way = len(self._under_way) - self._small_under_way
        while self._large and large_under_way < self._pool.large:
            self._start([self._large.popleft()], self._pool.start_large)
            large_under_way += 1
        self._pool.has_small = bool(self._small or self._tiny)
        self._share()
        while (queue := self._waiting()) and self._small_under_way < self._room():
            self._small_under_way += 1
            self._start(self._together(queue), self._pool.start_small)
            self._drain()
        while self._lists_due and len(self._tiny) + len(self._small) + len(self._large) < MAX_PENDING:
            self._lists_due -= 1
            self._ahead.taken()

    def _waiting(self) -> deque[Job]:
        """Return the small files that this interpreter is to send next."""
        return self._small or (self._small if self._beside.is_open else self._tiny)

    def _room(self) -> int:
        """Return how many small files this interpreter may have under way: half of all where others have some too."""
        room = self._pool.room()
        return max(1, room // 2) if self._beside.under_way else room

    def _share(self) -> None:
        """Hand very small files over to other interpreters, where so many wait that it pays."""
        if len(self._tiny) >= MIN_FILES:
            self._beside.open()
        while self._tiny and self._beside.has_room:
            jobs = self._pool.room() - min(self._small_under_way, self._room() if self._small else 0)
            future = self._beside.hand_over(self._tiny, jobs=jobs)
            if future is None:
                return
            future.add_done_callback(self._posts.put)

    def _together(self, waiting: deque[Job]) -> list[Job]:
        """Return the next small files that go to a worker together: one where few are left, so that all are busy."""
        jobs = [waiting.popleft()]
        size = jobs[0][0].stat.size
        most = min(GROUP_FILES, 1 + len(waiting) // (4 * self._pool.room()))
        while waiting and len(jobs) < most and size + waiting[0][0].stat.size <= GROUP_BYTES:
            jobs.append(waiting.popleft())
            size += jobs[-1][0].stat.size
        return jobs

    def _start(
        self,
        jobs: list[Job],
        start: Callable[[Callable[[PartSender], list[FileOutcome]]], Future[list[FileOutcome]]],
    ) -> None:
        future = start(partial(self._carry, jobs))
        self._under_way[future] = jobs
        future.add_done_callback(self._posts.put)

    def _carry(self, jobs: list[Job], sender: PartSender) -> list[FileOutcome]:
        """Carry these files, one after the other, where the pool runs this; less where the work is to stop."""
        outcomes = []
        for found, decision in jobs:
            if self._stop.reason is not None:
                break
            outcome = self._file_uploader.carry(found, decision, sender)
            self._records.keep([outcome])
            outcomes.append(outcome)
        return outcomes

    def _take_in(self) -> None:
        """Wait a little for anything to happen, and take it in."""
        for post in drain(self._posts, POLL_S):
            self._open(post)

    def _drain(self) -> None:
        """Take in what has happened."""
        for post in drain(self._posts):
            self._open(post)

    def _open(self, post: _Post) -> None:
        if isinstance(post, Future) and post in self._beside.under_way:
            self._unpack(post)
        elif isinstance(post, Future):
            jobs = self._under_way.pop(post)
            self._small_under_way -= self._file_uploader.is_small(jobs[0][0])
            for outcome in post.result():
                self._end(outcome)
        elif isinstance(post, list):
            self._lists_due += 1
            self._met += len(post)
            for entry in post:
                self._sort(entry)
        elif isinstance(post, ObsupError):
            self._end_all(post, "the walk over the sources came to a bad end")
        elif post is None:
            self._is_walked = True
        else:
            raise post

    def _unpack(self, future: Future[Any]) -> None:
        """Take in what came of a bundle; what is to be tried again is tried here."""
        outcomes = list(self._beside.outcomes(future, self._place, self._tiny, self._small))
        self._records.keep(outcomes)
        for outcome in outcomes:
            self._end(outcome)

    def _sort(self, entry: Entry) -> None:
        """Put a file where it is sent from, or say at once what came of it."""
        if self._stop.reason is not None:
            return
        if isinstance(entry, SkippedFile):
            self._end(FileOutcome(entry.path, entry.name, passed=entry.reason))
            return
        if isinstance(entry, UnreadableFile):
            self._end(FileOutcome(entry.path, entry.name, error=entry.error))
            return
        size = entry.stat.size
        try:
            decision = self._records.decision(entry)
        except SourceUnreadable as exc:
            self._end(FileOutcome(entry.path, entry.name, size, error=exc))
            return
        if decision == "skip":
            self._end(FileOutcome(entry.path, entry.name, size, skipped="proved before"))
        else:
            small = self._tiny if size <= MAX_SMALL_FILE else self._small
            (small if self._file_uploader.is_small(entry) else self._large).append((entry, decision))

    def _end(self, outcome: FileOutcome) -> None:
        """Count the file, and tell of it."""
        self._summary.add(outcome)
        self._observe(outcome.event)
        self._report(outcome)
        if outcome.error is None:
            self._in_a_row = 0
            return
        self._in_a_row += affects_all_files(outcome.error)
        if self._in_a_row >= MAX_FAILURES_IN_A_ROW:
            self._end_all(outcome.error, f"{MAX_FAILURES_IN_A_ROW} files in a row failed alike")
        elif self._fails_fast:
            self._end_all(None, "another file failed, and --fail-fast was asked for")

    def _end_all(self, why: ObsupError | None, word: str) -> None:
        """Begin no more files; those under way end soon, or are kept as they are."""
        if self._summary.ended_by is None and self._stop.reason is None:
            self._summary.ended_by = why
            self._stop.ask(Stopped(word, "progress is kept"))

    def _give_up(self, jobs: Sequence[Job]) -> None:
        """Say of files that are still under way that they are not finished."""
        for found, _fate in jobs:
            why = self._stop.reason or Stopped("the work was to stop")
            self._end(FileOutcome(found.path, found.name, found.stat.size, error=why))


def affects_all_files(error: ObsupError) -> bool:
    """Return whether what befell one file is likely to befall every other: no line, no keys, no bucket."""
    if isinstance(error, (Busy, Stopped, WorkerLost, OutOfTime)):
        return False
    if isinstance(error, (NotFinished, BadConfiguration)):
        return True
    code = error.refusal.code if error.refusal is not None else ""
    return isinstance(error, (Denied, Refused)) and (not code or code in CODES_OF_ALL_FILES)

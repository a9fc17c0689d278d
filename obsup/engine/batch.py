"""Many files through the same engine: one pool for all their parts, one journal, one outcome a file."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from obsup import events
from obsup.engine.batch_order import BatchOrder, FileOutcome, Summary
from obsup.engine.carrier import Carrier
from obsup.engine.connect import Connection
from obsup.engine.dispatch import POLL_S
from obsup.engine.lookahead import Lookahead
from obsup.engine.pool import Pool, open_pool
from obsup.engine.records import Fate, open_records
from obsup.engine.sender import Sender
from obsup.engine.stop import StopSignal
from obsup.engine.task import Task
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
from obsup.local.lock import UploadLock
from obsup.local.source import Gate
from obsup.local.sources import Entry, Found, Passed, Unfit
from obsup.units import KIB

# So many files wait to be begun at most; then the walk does.
WAITING = 10_000
# Files that are very small go to a worker together: to hand one over costs as much as to send it.
TOGETHER, TOGETHER_SIZE = 8, 256 * KIB
# So many files in a row that the store did not take, and none that it took, and the others are not begun.
IN_A_ROW = 64
OF_ALL = (
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
_Job = tuple[Found, Fate]
_Post = list[Entry] | BaseException | Future[list[FileOutcome]] | None


class Batch:
    """Carries out one BatchOrder at an open store. *limit* is that of Uploader; *observe* hears of every file."""

    def __init__(
        self,
        connection: Connection,
        order: BatchOrder,
        *,
        observe: events.Observer = events.ignore,
        stop: StopSignal | None = None,
        limit: Gate | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._order = order
        self._observe = observe
        self._stop = stop or StopSignal()
        self._limit = limit
        self._clock = clock

    def run(self, report: Report) -> Summary:
        """Upload all; *report* hears of each file as it ends. Return what came of all.

        Raises ObsupError for what stands against all of them, before anything is sent.
        """
        begun, order, stop = time.monotonic(), self._order, self._stop
        with ExitStack() as held:
            held.enter_context(
                UploadLock(
                    replace(order.place, key=f"{order.place.key} ({order.stands_for})"),
                    wait=order.each.if_running == "wait",
                    stopped=lambda: stop.reason is not None,
                )
            )
            records = held.enter_context(open_records(order, self._connection, self._observe))
            pool = open_pool(
                Task(self._connection, order.each, self._observe, stop, self._limit, self._clock)
            )
            held.callback(lambda: pool.close(wait=not stop.is_over))
            carrier = Carrier(
                self._connection,
                order,
                records,
                flight=pool.flight,
                observe=self._observe,
                stop=stop,
                limit=self._limit,
                clock=self._clock,
            )
            summary = _Run(order, carrier, pool, stop=stop, observe=self._observe, report=report).drive()
        summary.seconds = time.monotonic() - begun
        return summary


class _Run:
    """The loop of the driver: keeps the pool busy with files, and takes in what came of them."""

    def __init__(
        self,
        order: BatchOrder,
        carrier: Carrier,
        pool: Pool,
        *,
        stop: StopSignal,
        observe: events.Observer,
        report: Report,
    ) -> None:
        self._carrier = carrier
        self._pool = pool
        self._stop = stop
        self._observe = observe
        self._report = report
        self._fails_fast = order.fail_fast
        self._posts: queue.SimpleQueue[_Post] = queue.SimpleQueue()
        self._ahead = Lookahead(order.entries(), self._posts.put, observe)
        self._lists_due = 0
        self._is_walked = False
        self._small: deque[_Job] = deque()
        self._large: deque[_Job] = deque()
        self._under_way: dict[Future[list[FileOutcome]], list[_Job]] = {}
        self._small_under_way = 0
        self._in_a_row = 0
        self._summary = Summary()

    def drive(self) -> Summary:
        """Return once every file has come to an end, or the work is to stop."""
        self._ahead.start()
        try:
            while not self._stop.is_over:
                if self._stop.reason is None:
                    self._launch()
                if not self._under_way and (self._stop.reason is not None or self._is_done):
                    break
                self._take_in()
        finally:
            self._ahead.stop()
        self._summary.ended_by = self._summary.ended_by or self._stop.reason
        for jobs in self._under_way.values():
            self._give_up(jobs)
        return self._summary

    @property
    def _is_done(self) -> bool:
        return self._is_walked and not self._small and not self._large

    def _launch(self) -> None:
        """Begin as many files as may be under way."""
        large_under_way = len(self._under_way) - self._small_under_way
        while self._large and large_under_way < self._pool.large:
            self._start([self._large.popleft()], self._pool.start_large)
            large_under_way += 1
        self._pool.has_small = bool(self._small)
        while self._small and self._small_under_way < self._pool.room():
            self._small_under_way += 1
            self._start(self._together(), self._pool.start_small)
            self._drain()
        while self._lists_due and len(self._small) + len(self._large) < WAITING:
            self._lists_due -= 1
            self._ahead.taken()

    def _together(self) -> list[_Job]:
        """Return the next small files that go to a worker together: one where few are left, so that all are busy."""
        jobs = [self._small.popleft()]
        size = jobs[0][0].stat.size
        most = min(TOGETHER, 1 + len(self._small) // (4 * self._pool.room()))
        while self._small and len(jobs) < most and size + self._small[0][0].stat.size <= TOGETHER_SIZE:
            jobs.append(self._small.popleft())
            size += jobs[-1][0].stat.size
        return jobs

    def _start(
        self,
        jobs: list[_Job],
        start: Callable[[Callable[[Sender], list[FileOutcome]]], Future[list[FileOutcome]]],
    ) -> None:
        future = start(partial(self._carry, jobs))
        self._under_way[future] = jobs
        future.add_done_callback(self._posts.put)

    def _carry(self, jobs: list[_Job], sender: Sender) -> list[FileOutcome]:
        """Carry these files, one after the other, where the pool runs this; less where the work is to stop."""
        outcomes = []
        for found, fate in jobs:
            if self._stop.reason is not None:
                break
            outcomes.append(self._carrier.carry(found, fate, sender))
        return outcomes

    def _take_in(self) -> None:
        """Wait a little for anything to happen, and take it in."""
        try:
            post = self._posts.get(timeout=POLL_S)
        except queue.Empty:
            return
        self._open(post)
        self._drain()

    def _drain(self) -> None:
        """Take in what has happened."""
        while not self._posts.empty():
            self._open(self._posts.get())

    def _open(self, post: _Post) -> None:
        if isinstance(post, Future):
            jobs = self._under_way.pop(post)
            self._small_under_way -= self._carrier.is_small(jobs[0][0])
            for outcome in post.result():
                self._end(outcome)
        elif isinstance(post, list):
            self._lists_due += 1
            for entry in post:
                self._place(entry)
        elif isinstance(post, ObsupError):
            self._end_all(post, "the walk over the sources came to a bad end")
        elif post is None:
            self._is_walked = True
        else:
            raise post

    def _place(self, entry: Entry) -> None:
        """Put a file where it is sent from, or say at once what came of it."""
        if self._stop.reason is not None:
            return
        if isinstance(entry, Passed):
            self._end(FileOutcome(entry.path, entry.name, passed=entry.reason))
            return
        if isinstance(entry, Unfit):
            self._end(FileOutcome(entry.path, entry.name, error=entry.error))
            return
        size = entry.stat.size
        try:
            fate = self._carrier.fate(entry)
        except SourceUnreadable as exc:
            self._end(FileOutcome(entry.path, entry.name, size, error=exc))
            return
        if fate == "skip":
            self._end(FileOutcome(entry.path, entry.name, size, skipped="proved before"))
        else:
            (self._small if self._carrier.is_small(entry) else self._large).append((entry, fate))

    def _end(self, outcome: FileOutcome) -> None:
        """Count the file, and tell of it."""
        self._summary.add(outcome)
        self._observe(outcome.event)
        self._report(outcome)
        if outcome.error is None:
            self._in_a_row = 0
            return
        self._in_a_row += befalls_all(outcome.error)
        if self._in_a_row >= IN_A_ROW:
            self._end_all(outcome.error, f"{IN_A_ROW} files in a row failed alike")
        elif self._fails_fast:
            self._end_all(None, "another file failed, and --fail-fast was asked for")

    def _end_all(self, why: ObsupError | None, word: str) -> None:
        """Begin no more files; those under way end soon, or are kept as they are."""
        if self._summary.ended_by is None and self._stop.reason is None:
            self._summary.ended_by = why
            self._stop.ask(Stopped(word, "progress is kept"))

    def _give_up(self, jobs: list[_Job]) -> None:
        """Say of files that are still under way that they are not finished."""
        for found, _fate in jobs:
            why = self._stop.reason or Stopped("the work was to stop")
            self._end(FileOutcome(found.path, found.name, found.stat.size, error=why))


def befalls_all(error: ObsupError) -> bool:
    """Return whether what befell one file is likely to befall every other: no line, no keys, no bucket."""
    if isinstance(error, (Busy, Stopped, WorkerLost, OutOfTime)):
        return False
    if isinstance(error, (NotFinished, BadConfiguration)):
        return True
    code = error.refusal.code if error.refusal is not None else ""
    return isinstance(error, (Denied, Refused)) and (not code or code in OF_ALL)

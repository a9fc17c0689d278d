"""The main loop of a batch: starts uploads while the pool has room, and collects their outcomes."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from obsup.engine.batch.file_groups import FileGroups
from obsup.engine.batch.known_files import KnownFiles, PendingFile, take_files
from obsup.engine.batch.outcome import ALREADY_UPLOADED, BatchSummary, FileOutcome
from obsup.engine.batch.pool import FileThreads, Pool
from obsup.engine.batch.request import BatchRequest
from obsup.engine.batch.small_file import MAX_SMALL_FILE_BYTES
from obsup.engine.job.context import UploadContext
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

# The walk pauses while this many files wait to be started.
MAX_PENDING_FILES = 10_000
# A thread gets several small files at once: handing over one costs as much as sending it.
MAX_GROUP_FILES, MAX_GROUP_BYTES = 8, 256 * KIB
# After this many failures in a row that would affect every file, no more files are started.
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
UploadFile = Callable[[PendingFile, PartSender, Callable[[Sequence[FileOutcome]], None]], FileOutcome]
"""Uploads one file in any thread, or compares it with its object. It may record the outcome in the journal."""
_Message = list[Entry] | BaseException | Future[Any] | None
"""Entries of the walk, None at its end, the exception that ended it, or the future of an upload that is done."""


class BatchLoop:
    """Starts the uploads of a batch and collects their outcomes. Runs in the driver's thread."""

    def __init__(
        self,
        context: UploadContext,
        request: BatchRequest,
        report: Report,
        upload: UploadFile,
        known_files: KnownFiles,
        pool: Pool,
        groups: FileGroups,
    ) -> None:
        self._shared = request.shared
        self._fail_fast = request.fail_fast
        self._lists_unstarted = request.lists_unstarted
        self._upload_file = upload
        self._known_files = known_files
        self._pool = pool
        self._groups = groups
        self._stop = context.stop
        self._observe = context.observe
        self._report = report
        self._inbox: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        self._walk = PrefetchedWalk(request.entries(), self._inbox.put, context.observe)
        self._unacknowledged_lists = 0
        self._is_walk_done = False
        self._entry_count = 0
        # Files for SmallFileUploader, other files that fit one request, and files that are sent in parts.
        self._small: deque[PendingFile] = deque()
        self._medium: deque[PendingFile] = deque()
        self._large: deque[PendingFile] = deque()
        self._in_flight: dict[Future[list[FileOutcome]], list[PendingFile]] = {}
        self._large_in_flight = 0
        self._failures_in_a_row = 0
        self._summary = BatchSummary()

    def run(self) -> BatchSummary:
        """Return once every file has an outcome, or the batch was stopped."""
        self._walk.start()
        try:
            while not self._stop.is_over:
                if self._stop.reason is None:
                    self._start_uploads()
                elif self._lists_unstarted:
                    self._continue_walk()
                self._groups.forward_stop()
                is_idle = not self._in_flight and not self._groups.in_flight
                if is_idle and (self._is_done if self._stop.reason is None else self._is_listed):
                    break
                self._handle_messages(wait_s=POLL_S)
        finally:
            self._walk.stop()
        self._summary.ended_by = self._summary.ended_by or self._stop.reason
        for files in self._in_flight.values():
            self._end_unfinished(files)
        for group in self._groups.in_flight.values():
            self._end_unfinished(group)
        self._report_unstarted(file for queue in self._queues for file, *_ in queue)
        if self._summary.ended_by is None and self._summary.files != self._entry_count:
            raise AssertionError(f"{self._entry_count} files were found, but {self._summary.files} ended")
        return self._summary

    @property
    def _is_done(self) -> bool:
        return self._is_walk_done and not any(self._queues)

    @property
    def _is_listed(self) -> bool:
        """Whether the walk need not continue after a stop."""
        return self._is_walk_done or not self._lists_unstarted

    @property
    def _queues(self) -> tuple[deque[PendingFile], ...]:
        return self._small, self._medium, self._large

    def _start_uploads(self) -> None:
        """Start as many uploads as the pool has room for, and let the walk continue if few files wait."""
        while self._large and self._large_in_flight < self._pool.max_large_files:
            self._large_in_flight += 1
            self._start([self._large.popleft()], self._pool.large)
        self._pool.shares.has_small_files = bool(self._medium or self._small)
        self._submit_groups()
        while (pending := self._next_queue()) and self._small_in_flight < self._small_file_limit():
            self._start(self._take_group(pending), self._pool.small)
            self._handle_messages()
        if sum(map(len, self._queues)) < MAX_PENDING_FILES:
            self._continue_walk()

    def _continue_walk(self) -> None:
        while self._unacknowledged_lists:
            self._unacknowledged_lists -= 1
            self._walk.taken()

    def _next_queue(self) -> deque[PendingFile]:
        """Return the queue from which this process sends next; the small files belong to the others, if there are."""
        return self._medium if self._medium or self._groups.is_open else self._small

    @property
    def _small_in_flight(self) -> int:
        return len(self._in_flight) - self._large_in_flight

    def _small_file_limit(self) -> int:
        """Return how many uploads of small files this process may have in flight: half if others have some, too."""
        limit = self._pool.small_file_limit()
        return max(1, limit // 2) if self._groups.in_flight else limit

    def _submit_groups(self) -> None:
        """Submit small files to other processes as long as they have room."""
        while (future := self._groups.submit(self._small, self._jobs_of_groups)) is not None:
            future.add_done_callback(self._inbox.put)

    def _jobs_of_groups(self) -> int:
        """Return how many small files other processes may have in flight."""
        reserved = self._small_file_limit() if self._medium else 0
        return self._pool.small_file_limit() - min(self._small_in_flight, reserved)

    def _take_group(self, pending: deque[PendingFile]) -> list[PendingFile]:
        """Take the next files for one thread: only one if few are left, so that all threads are busy."""
        max_files = min(MAX_GROUP_FILES, 1 + (len(pending) - 1) // (4 * self._pool.small_file_limit()))
        return take_files(pending, max_files, MAX_GROUP_BYTES)

    def _start(self, files: list[PendingFile], threads: FileThreads) -> None:
        executor, sender = threads
        future = executor.submit(self._upload, files, sender)
        self._in_flight[future] = files
        future.add_done_callback(self._inbox.put)

    def _upload(self, files: list[PendingFile], sender: PartSender) -> list[FileOutcome]:
        """Upload these files one after the other, in a thread of the pool; fewer if the batch is stopped."""
        outcomes = []
        for pending in files:
            if self._stop.reason is not None:
                break
            outcomes.append(self._upload_file(pending, sender, self._known_files.record))
        return outcomes

    def _handle_messages(self, *, wait_s: float = 0.0) -> None:
        """Handle what has happened; if nothing has, wait for it up to *wait_s* seconds."""
        for message in drain(self._inbox, wait_s):
            self._handle(message)

    def _handle(self, message: _Message) -> None:
        if isinstance(message, Future):
            self._collect(message)
        elif isinstance(message, list):
            self._unacknowledged_lists += 1
            self._entry_count += len(message)
            for entry in message:
                self._add(entry)
        elif isinstance(message, ObsupError):
            self._is_walk_done = True
            self._end_batch(message, "listing the source files failed")
        elif message is None:
            self._is_walk_done = self._summary.is_walk_done = True
        else:
            raise message

    def _collect(self, future: Future[Any]) -> None:
        """Count the outcomes of an upload, or of a group of another process."""
        if future in self._groups.in_flight:
            outcomes: Iterable[FileOutcome] = self._groups.collect(future, self._small, self._medium)
            self._known_files.record(outcomes)
        else:
            files = self._in_flight.pop(future)
            self._large_in_flight -= not self._shared.fits_one_request(files[0].file.stat.size)
            outcomes = ended = future.result()
            self._report_unstarted(file for file, *_ in files[len(ended) :])
        for outcome in outcomes:
            self._end(outcome)

    def _add(self, entry: Entry) -> None:
        """Add a file to a queue, or end it at once if it need not or cannot be sent."""
        if self._stop.reason is not None:
            self._report_unstarted([entry])
            return
        if isinstance(entry, SkippedFile):
            self._end(FileOutcome(entry.path, entry.name, ignore_reason=entry.reason))
            return
        if isinstance(entry, UnreadableFile):
            self._end(FileOutcome(entry.path, entry.name, error=entry.error))
            return
        size = entry.stat.size
        try:
            pending = self._known_files.decide(entry)
        except SourceUnreadable as exc:
            self._end(FileOutcome.of(entry, error=exc))
            return
        if pending.decision == "skip":
            self._end(FileOutcome.of(entry, skip_reason=ALREADY_UPLOADED))
        elif not self._shared.fits_one_request(size):
            self._large.append(pending)
        elif size > MAX_SMALL_FILE_BYTES:
            self._medium.append(pending)
        else:
            self._small.append(pending)

    def _end(self, outcome: FileOutcome) -> None:
        """Count and report the outcome of a file, and end the batch if too many failed."""
        self._summary.add(outcome)
        self._observe(outcome.event)
        self._report(outcome)
        if outcome.error is None:
            self._failures_in_a_row = 0
            return
        self._failures_in_a_row += affects_all_files(outcome.error)
        if self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            self._end_batch(
                outcome.error, f"{MAX_FAILURES_IN_A_ROW} files in a row failed for the same reason"
            )
        elif self._fail_fast:
            self._end_batch(None, "another file failed, and --fail-fast was given")

    def _end_batch(self, error: ObsupError | None, reason: str) -> None:
        """Start no more files. Those in flight may end within the grace period, or keep their progress."""
        if self._summary.ended_by is None and self._stop.reason is None:
            self._summary.ended_by = error
            self._stop.request_stop(Stopped(reason, "Stored files and parts are kept"))

    def _report_unstarted(self, entries: Iterable[Entry]) -> None:
        """Report what should have been sent when the batch was stopped."""
        for entry in entries:
            if self._lists_unstarted and not isinstance(entry, SkippedFile):
                self._report(FileOutcome(entry.path, entry.name, is_started=False))

    def _end_unfinished(self, files: Iterable[PendingFile]) -> None:
        """Count and report files that were in flight when the batch was stopped."""
        for pending in files:
            error = self._stop.reason or Stopped("the batch was stopped")
            self._end(FileOutcome.of(pending.file, error=error))


def affects_all_files(error: ObsupError) -> bool:
    """Return whether this error would probably hit every other file too: no network, no credentials, no bucket."""
    if isinstance(error, (Busy, Stopped, WorkerLost, OutOfTime)):
        return False
    if isinstance(error, (NotFinished, BadConfiguration)):
        return True
    code = error.refusal.code if error.refusal is not None else ""
    return isinstance(error, (Denied, Refused)) and (not code or code in CODES_OF_ALL_FILES)

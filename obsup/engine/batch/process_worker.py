"""Many small files at once, carried by another interpreter of this machine: what travels there and back.

No secret travels: the interpreter finds its own credentials. Only the driver writes the journal.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from msgspec.structs import replace

from obsup import events
from obsup.engine.batch.file_upload import FileUploader
from obsup.engine.batch.known_files import Job
from obsup.engine.batch.outcome import FileOutcome
from obsup.engine.batch.pool import InlineSender
from obsup.engine.batch.request import SharedRequest
from obsup.engine.batch.small_file import result_of
from obsup.engine.job.connection import StoreSettings, connect
from obsup.engine.job.stop import StopSignal
from obsup.engine.proof.object_proof import Verified
from obsup.engine.send.backends import end_with_parent
from obsup.engine.send.concurrency import ConcurrencyLimit
from obsup.engine.send.concurrency_probe import ConcurrencyProbe
from obsup.errors import ObsupError, Stopped, Throttled
from obsup.model import Stored, Target
from obsup.value import Value

# What the driver tells all interpreters, by one number that they share with it.
GO_ON, STOP, STOP_AT_ONCE = 0, 1, 2
POLL_S = 0.1
# So many are in flight at first, where the number is tried out.
INITIAL_JOBS = 2
# The driver has a grace of its own, and says when it is over.
GRACE_S = 3600.0


class WorkerSetup(Value):
    """What an interpreter is told at its beginning: the batch, the store, and the most ``jobs`` in flight at once.

    ``probes_jobs``: fewer are where more do not pay. ``tells_requests``: the driver wants to hear of every request.
    """

    common: SharedRequest
    settings: StoreSettings
    jobs: int
    probes_jobs: bool
    tells_requests: bool


class FileGroup(Value):
    """Small files for another interpreter, of which ``jobs`` may be in flight at once."""

    files: tuple[Job, ...]
    jobs: int


# Of a file that simply arrived: its place in the bundle, what the store answered, what proved it, and the seconds.
Arrived = tuple[int, Stored, Verified, float]


class GroupResult(Value):
    """What came of a bundle: of files that simply arrived the least that tells of it, of others all.

    ``again`` are those that are to be tried again, by who has the patience.
    """

    arrived: tuple[Arrived, ...]
    others: tuple[FileOutcome, ...]
    again: tuple[int, ...]
    said: tuple[events.Event, ...]

    def outcomes(self, bundle: FileGroup, place: Target) -> Iterator[FileOutcome]:
        """Yield what came of each file of *bundle*; there is nothing of those that were not begun."""
        for number, stored, verified, seconds in self.arrived:
            found = bundle.files[number][0]
            result = result_of(place.below(found.name), found.stat.size, stored, verified, seconds)
            yield FileOutcome(found.path, found.name, found.stat.size, result, stat=found.stat)
        yield from self.others


class ProcessWorker:
    """All that an interpreter needs to carry the files of one batch."""

    def __init__(self, word: Any, post: WorkerSetup) -> None:
        self._word = word
        self._post = post
        self._stop = StopSignal(grace_s=GRACE_S)
        self._said: list[events.Event] = []
        self._concurrency = ConcurrencyLimit(
            post.jobs,
            probe=ConcurrencyProbe(min(INITIAL_JOBS, post.jobs), post.jobs) if post.probes_jobs else None,
        )
        # One file that waits for its next try would hold a whole bundle up: that is the driver's to do.
        impatient = replace(post.settings, retry_for_s=0.0)
        connection = connect(impatient, observe=self._hear, sleep=self._stop.sleep)
        self._file_uploader = FileUploader(
            connection, post.common, concurrency=self._concurrency, observe=self._hear, stop=self._stop
        )
        self._threads = ThreadPoolExecutor(post.jobs, thread_name_prefix="small")
        threading.Thread(target=self._listen, name="word", daemon=True).start()

    def carry(self, bundle: FileGroup) -> GroupResult:
        """Carry the files of *bundle*, and return what came of each."""
        waiting = deque(enumerate(bundle.files))
        arrived: list[Arrived] = []
        others: list[FileOutcome] = []
        again: list[int] = []

        def work() -> None:
            here = InlineSender()
            while self._stop.reason is None:
                try:
                    number, (found, decision) = waiting.popleft()
                except IndexError:
                    return
                outcome = self._file_uploader.carry(found, decision, here)
                result, error = outcome.result, outcome.error
                if error is not None and error.retryable and self._stop.reason is None:
                    again.append(number)
                    self._told_to_slow_down(error)
                elif result is None or outcome.skipped or outcome.stat != found.stat or result.upload_id:
                    others.append(outcome)
                else:
                    arrived.append((number, result.stored, result.verified, result.seconds))

        count = max(1, min(bundle.jobs, self._concurrency.allowed, len(bundle.files)))
        helpers = [self._threads.submit(work) for _ in range(count - 1)]
        work()
        for helper in helpers:
            helper.result()
        said, self._said = self._said, []
        return GroupResult(tuple(arrived), tuple(others), tuple(again), tuple(said))

    def _told_to_slow_down(self, error: ObsupError) -> None:
        if isinstance(error, Throttled):
            event = events.Retried(None, 1, error.what, 0.0, throttled=True)
            self._concurrency(event)
            self._said.append(event)

    def _hear(self, event: events.Event) -> None:
        """Keep what the driver is to hear: requests only where they are asked for, and no progress."""
        inner = events.of_one(event)
        is_asked_for = isinstance(inner, events.Requested) and self._post.tells_requests
        if is_asked_for or isinstance(inner, events.Retried | events.Noted):
            self._said.append(event)

    def _listen(self) -> None:
        """Stop when the driver says so."""
        while self._word.value != STOP_AT_ONCE:
            if self._word.value == STOP:
                self._stop.ask(Stopped("the work was to stop"))
            time.sleep(POLL_S)
        self._stop.ask(Stopped("the work was to stop"), at_once=True)


_given: list[Any] = []


def start_worker(word: Any, post: WorkerSetup) -> None:
    """Begin as an interpreter of *post*; *word* is a number that the driver changes when the work is to stop."""
    end_with_parent()
    _given[:] = (word, post)


@cache
def _worker() -> ProcessWorker:
    return ProcessWorker(*_given)


def check_worker() -> None:
    """Be there, with all that a bundle needs. Raises as ``connect`` does."""
    _worker()


def send_group(bundle: FileGroup) -> GroupResult:
    """Carry the files of *bundle*, several at once, and return what came of each; fewer where the work is to stop."""
    return _worker().carry(bundle)

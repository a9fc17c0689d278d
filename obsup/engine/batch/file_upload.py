"""One file of a batch, carried by the same steps as a file of its own."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from obsup import events
from obsup.engine.batch.known_files import Decision
from obsup.engine.batch.outcome import FileOutcome
from obsup.engine.batch.request import SharedRequest
from obsup.engine.batch.small_file import MAX_SMALL_FILE, SmallFileUploader
from obsup.engine.job.connection import Connection
from obsup.engine.job.executor_spec import LOCAL_EXECUTORS
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.stop import StopSignal
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE
from obsup.engine.send.sender import PartSender
from obsup.engine.upload.uploader import Uploader
from obsup.errors import Busy, ObsupError, SourceUnreadable
from obsup.local.source.file import Gate, stat_source
from obsup.local.state.checkpoint_path import default_path
from obsup.local.walk.walk import FoundFile
from obsup.model import SourceStat

# More than any upload has parts: part numbers of different files stay apart.
_STRIDE = 1 << 14


class FileUploader:
    """Uploads single files of one batch, from any thread; says what came of each and never raises for one.

    *concurrency* hears of the parts of all, under numbers of their own; *observe* of each file's events.
    """

    def __init__(
        self,
        connection: Connection,
        common: SharedRequest,
        *,
        concurrency: events.Observer,
        observe: events.Observer,
        stop: StopSignal,
        limit: Gate | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._common = common
        self._lean = (
            SmallFileUploader(connection, common, stop=stop, limit=limit)
            if common.each.executor in LOCAL_EXECUTORS
            else None
        )
        self._concurrency = concurrency
        self._observe = observe
        self._stop = stop
        self._limit = limit
        self._clock = clock
        self._numbers = itertools.count()

    def is_small(self, found: FoundFile) -> bool:
        """Return whether the file goes by one request."""
        return found.stat.size <= min(self._common.each.part_size or DEFAULT_PART_SIZE, DEFAULT_PART_SIZE)

    def carry(self, found: FoundFile, decision: Decision, sender: PartSender) -> FileOutcome:
        """Upload the file, and return what came of it."""
        ear = _EventCollector(found, next(self._numbers) * _STRIDE, self._concurrency, self._observe)
        if decision == "send" and self._lean is not None and found.stat.size <= MAX_SMALL_FILE:
            outcome = self._lean.put(found, ear)
            if outcome is not None:
                return outcome
        tally = ProgressTally(None, ear)
        uploader = Uploader(
            self._connection.observed_by(tally),
            self._order_of(found, compares=decision == "compare"),
            tally=tally,
            stop=self._stop,
            limit=self._limit,
            sender=sender,
            clock=self._clock,
        )
        try:
            result = uploader.run()
        except Busy as exc:
            if self._common.each.if_running == "skip":
                return FileOutcome(found.path, found.name, found.stat.size, skipped="another obsup holds it")
            return FileOutcome(found.path, found.name, found.stat.size, error=exc)
        except ObsupError as exc:
            return FileOutcome(found.path, found.name, found.stat.size, error=exc)
        was_there = decision == "compare" and not result.sent_parts
        return FileOutcome(
            found.path,
            found.name,
            result.size,
            result,
            skipped="identical" if was_there else "",
            stat=_as_found(found),
        )

    def _order_of(self, found: FoundFile, *, compares: bool) -> UploadRequest:
        place, each, folder = self._common.place, self._common.each, self._common.folder
        source, target = Path(found.path), place.below(found.name)
        return replace(
            each,
            source=source,
            target=target,
            checkpoint=default_path(source, target, folder) if folder is not None else None,
            part_size=self._part_size(found),
            skip_identical=compares,
        )

    def _part_size(self, found: FoundFile) -> int | None:
        """Return the part size to ask for: none of a small file, unless a URL is to be signed for its one part."""
        each = self._common.each
        if not self.is_small(found):
            return each.part_size
        return DEFAULT_PART_SIZE if each.presign and each.executor not in LOCAL_EXECUTORS else None


def _as_found(found: FoundFile) -> SourceStat | None:
    """Return the identity of the file where it is still the one that the walk met: then it is that which was sent."""
    try:
        return found.stat if stat_source(Path(found.path)) == found.stat else None
    except SourceUnreadable:
        return None


class _EventCollector:
    """Hears one upload, and tells of whose it is."""

    def __init__(
        self, found: FoundFile, first: int, concurrency: events.Observer, observe: events.Observer
    ) -> None:
        self._found = found
        self._first = first
        self._concurrency = concurrency
        self._observe = observe

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.PartSent):
            self._concurrency(events.PartSent(self._first + event.number, event.sent))
        elif isinstance(event, events.PartStored):
            self._concurrency(events.PartStored(self._first + event.number, event.size))
        elif isinstance(event, events.Retried):
            number = None if event.number is None else self._first + event.number
            self._concurrency(replace(event, number=number))
        if isinstance(event, events.PartSent | events.PartStored) and self._found.stat.size <= MAX_SMALL_FILE:
            return  # it comes and goes too fast to be told of
        if isinstance(event, events.OneFile):
            self._observe(events.OfFile(self._found.name, self._found.stat.size, event))

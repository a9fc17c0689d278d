"""One file of a batch, carried by the same steps as a file of its own."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from obsup import events
from obsup.engine.batch.known_files import Fate
from obsup.engine.batch.outcome import FileOutcome
from obsup.engine.batch.request import Common
from obsup.engine.batch.small_file import LEAN, Lean
from obsup.engine.job.connection import Connection
from obsup.engine.job.executor_spec import HERE
from obsup.engine.job.progress import Tally
from obsup.engine.job.request import Order
from obsup.engine.job.stop import StopSignal
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE
from obsup.engine.send.sender import Sender
from obsup.engine.upload.uploader import Uploader
from obsup.errors import Busy, ObsupError, SourceUnreadable
from obsup.local.source.file import Gate, stat_source
from obsup.local.state.checkpoint_path import default_path
from obsup.local.walk.walk import Found
from obsup.model import SourceStat

# More than any upload has parts: part numbers of different files stay apart.
_STRIDE = 1 << 14


class Carrier:
    """Uploads single files of one batch, from any thread; says what came of each and never raises for one.

    *flight* hears of the parts of all, under numbers of their own; *observe* of each file's events.
    """

    def __init__(
        self,
        connection: Connection,
        common: Common,
        *,
        flight: events.Observer,
        observe: events.Observer,
        stop: StopSignal,
        limit: Gate | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._common = common
        self._lean = (
            Lean(connection, common, stop=stop, limit=limit) if common.each.executor in HERE else None
        )
        self._flight = flight
        self._observe = observe
        self._stop = stop
        self._limit = limit
        self._clock = clock
        self._numbers = itertools.count()

    def is_small(self, found: Found) -> bool:
        """Return whether the file goes by one request."""
        return found.stat.size <= min(self._common.each.part_size or DEFAULT_PART_SIZE, DEFAULT_PART_SIZE)

    def carry(self, found: Found, fate: Fate, sender: Sender) -> FileOutcome:
        """Upload the file, and return what came of it."""
        ear = _Ear(found, next(self._numbers) * _STRIDE, self._flight, self._observe)
        if fate == "send" and self._lean is not None and found.stat.size <= LEAN:
            outcome = self._lean.put(found, ear)
            if outcome is not None:
                return outcome
        tally = Tally(None, ear)
        uploader = Uploader(
            self._connection.heard_by(tally),
            self._order_of(found, compares=fate == "compare"),
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
        was_there = fate == "compare" and not result.sent_parts
        return FileOutcome(
            found.path,
            found.name,
            result.size,
            result,
            skipped="identical" if was_there else "",
            stat=_as_found(found),
        )

    def _order_of(self, found: Found, *, compares: bool) -> Order:
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

    def _part_size(self, found: Found) -> int | None:
        """Return the part size to ask for: none of a small file, unless a URL is to be signed for its one part."""
        each = self._common.each
        if not self.is_small(found):
            return each.part_size
        return DEFAULT_PART_SIZE if each.presign and each.executor not in HERE else None


def _as_found(found: Found) -> SourceStat | None:
    """Return the identity of the file where it is still the one that the walk met: then it is that which was sent."""
    try:
        return found.stat if stat_source(Path(found.path)) == found.stat else None
    except SourceUnreadable:
        return None


class _Ear:
    """Hears one upload, and tells of whose it is."""

    def __init__(self, found: Found, first: int, flight: events.Observer, observe: events.Observer) -> None:
        self._found = found
        self._first = first
        self._flight = flight
        self._observe = observe

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.PartSent):
            self._flight(events.PartSent(self._first + event.number, event.sent))
        elif isinstance(event, events.PartStored):
            self._flight(events.PartStored(self._first + event.number, event.size))
        elif isinstance(event, events.Retried):
            number = None if event.number is None else self._first + event.number
            self._flight(replace(event, number=number))
        if isinstance(event, events.PartSent | events.PartStored) and self._found.stat.size <= LEAN:
            return  # it comes and goes too fast to be told of
        if isinstance(event, events.OneFile):
            self._observe(events.OfFile(self._found.name, self._found.stat.size, event))

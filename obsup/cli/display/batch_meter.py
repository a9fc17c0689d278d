"""What a bar shows of many files, as numbers: fed by events, read at moments."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from obsup import events
from obsup.cli.display.meter import PartInFlight, Reading, Speed
from obsup.text import quoted
from obsup.units import MIB

# Smaller files come and go too fast to be read.
SMALL = 1 * MIB


@dataclass(slots=True)
class _File:
    """One file on its way: what is stored of it, by this run and by earlier ones, and what of each part is sent."""

    size: int
    resumed: int = 0
    stored: dict[int, int] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)
    waiting: str = ""

    def take(self, event: events.Event) -> None:
        if isinstance(event, events.PartSent):
            if event.number not in self.stored:
                self.sent[event.number] = event.sent
            self.waiting = ""
        elif isinstance(event, events.PartStored):
            self.sent.pop(event.number, None)
            self.stored[event.number] = event.size
        elif isinstance(event, events.Retried):
            self.sent.pop(event.number or 0, None)
            self.waiting = event.reason
        elif isinstance(event, events.Begun):
            self.resumed = event.resumed
            self.stored, self.sent = {}, {}

    @property
    def own(self) -> int:
        """The bytes of this run."""
        return sum(self.stored.values()) + sum(self.sent.values())


class BatchMeter:
    """Takes events of many files in, from many threads; ``read`` gives the Reading of a moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._speed = Speed()
        self._counted = events.Counted(0, 0, is_all=False)
        self._is_begun = False
        self._files: dict[str, _File] = {}
        self._sent = self._skipped = 0
        self._done = self._failed = self._retries = 0

    def observe(self, event: events.Event) -> None:
        """Take *event* in."""
        with self._lock:
            if isinstance(event, events.OfFile):
                self._is_begun = True
                self._retries += isinstance(event.event, events.Retried)
                file = self._files.get(event.name)
                if file is None:
                    file = self._files[event.name] = _File(event.size)
                file.take(event.event)
            elif isinstance(event, events.FileEnded):
                self._end(event)
            elif isinstance(event, events.Counted):
                self._counted = event

    def _end(self, event: events.FileEnded) -> None:
        file = self._files.pop(event.name, None)
        if event.how == "failed":
            self._failed += 1
            self._sent += file.own if file is not None else 0
            return
        self._is_begun = True
        self._done += 1
        own = event.size - (file.resumed if file is not None else 0) if event.how == "sent" else 0
        self._sent += own
        self._skipped += event.size - own

    def read(self, now_s: float) -> Reading:
        """Return how it stands at *now_s* seconds of a clock that only goes forward."""
        with self._lock:
            sent = self._sent + sum(file.own for file in self._files.values())
            resumed = self._skipped + sum(file.resumed for file in self._files.values())
            by_size = sorted(((file.size, name) for name, file in self._files.items()), reverse=True)
            return Reading(
                total=self._counted.size,
                done=resumed + sent,
                resumed=resumed,
                parts=self._counted.files,
                parts_done=self._done,
                part_size=0,
                retries=self._retries,
                rate=self._speed.take(now_s, sent) if self._is_begun else None,
                in_flight=tuple(self._shown(name) for size, name in by_size if size > SMALL),
                is_begun=self._is_begun,
                is_file=True,
                is_counted=self._counted.is_all,
                failed=self._failed,
            )

    def _shown(self, name: str) -> PartInFlight:
        file = self._files[name]
        shown = quoted(name)
        return PartInFlight(0, file.resumed + file.own, file.waiting, shown, file.size)

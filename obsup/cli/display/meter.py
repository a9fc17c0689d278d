"""What a bar shows, as numbers: fed by events, read at moments. No terminal, no clock of its own."""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol

from obsup import events
from obsup.units import format_clock
from obsup.value import Value

# The rate is that of the last seconds: long enough to be calm, short enough to notice a line that stands still.
RATE_WINDOW_S = 10.0


class PartInFlight(Value):
    """One part on its way: *sent* bytes of its present attempt, and why it waits where it does.

    One file of several has a *name*, and is *size* bytes in all.
    """

    number: int
    sent: int
    waiting: str = ""
    name: str = ""
    size: int = 0


class Reading(Value):
    """One moment of a transfer. Sizes are bytes; ``rate`` is bytes a second, None before there is one.

    ``done`` counts what is stored and what is in flight, ``resumed`` what earlier runs had stored of it. Of several
    files, ``parts`` are files: ``is_file``; not all may have been met yet: then ``is_counted`` is False.
    """

    total: int | None
    done: int
    resumed: int
    parts: int | None
    parts_done: int
    part_size: int
    retries: int
    rate: float | None
    in_flight: tuple[PartInFlight, ...] = ()
    is_begun: bool = True
    is_file: bool = False
    is_counted: bool = True
    failed: int = 0
    elapsed_s: float | None = None

    @property
    def share(self) -> float | None:
        """How much is done, from 0 to 1; None for a stream."""
        if self.total is None:
            return None
        return min(1.0, self.done / self.total) if self.total else 1.0

    @property
    def left_s(self) -> float | None:
        """Seconds to the end at the present rate, None where nobody can tell."""
        if self.total is None or not self.rate:
            return None
        return max(0.0, self.total - self.done) / self.rate

    @property
    def time(self) -> str | None:
        """The time to the end; for a stream, of which nobody knows the end, the time so far. None before a rate."""
        if self.total is None:
            return None if self.elapsed_s is None else f"{format_clock(self.elapsed_s)} elapsed"
        return None if self.left_s is None else f"ETA {format_clock(self.left_s)}"

    @property
    def is_assembling(self) -> bool:
        """Whether every part is stored, so that what lasts is the store's own work."""
        return not self.is_file and self.parts is not None and self.parts_done >= self.parts

    @property
    def progress(self) -> str:
        """How many parts, or files, are done, of how many."""
        of = "" if self.parts is None else f"/{self.parts}{'' if self.is_counted else '+'}"
        word = "file" if self.is_file else "part"
        is_one = (self.parts or self.parts_done) == 1
        return f"{self.parts_done}{of} {word}{'' if is_one else 's'}"


class Meter(Protocol):
    """What a display reads: fed by events from many threads."""

    def observe(self, event: events.Event) -> None:
        """Take *event* in."""
        ...

    def read(self, now_s: float) -> Reading:
        """Return how it stands at *now_s* seconds of a clock that only goes forward."""
        ...


class Speed:
    """The bytes a second of the last seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def clear(self) -> None:
        """Begin anew."""
        self._samples.clear()

    def take(self, now_s: float, sent: int) -> float | None:
        """Return the rate at *now_s*, when *sent* bytes have been sent in all; None before there is one."""
        self._samples.append((now_s, sent))
        while len(self._samples) > 2 and self._samples[1][0] <= now_s - RATE_WINDOW_S:
            self._samples.popleft()
        then_s, then = self._samples[0]
        # A retry takes back what it had sent: the rate is then low, not negative.
        return max(0, sent - then) / (now_s - then_s) if now_s > then_s else None


class TransferMeter:
    """Takes events in from many threads; ``read`` gives the Reading of a moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: events.Begun | None = None
        self._in_flight: dict[int, PartInFlight] = {}
        self._stored: dict[int, int] = {}
        self._retries = 0
        self._speed = Speed()
        self._first_s: float | None = None

    def observe(self, event: events.Event) -> None:
        """Take *event* in."""
        with self._lock:
            if isinstance(event, events.PartSent):
                if event.number not in self._stored:
                    self._in_flight[event.number] = PartInFlight(event.number, event.sent)
            elif isinstance(event, events.PartStored):
                self._in_flight.pop(event.number, None)
                self._stored[event.number] = event.size
            elif isinstance(event, events.Retried):
                self._retry(event)
            elif isinstance(event, events.Begun):
                self._begun = event
                self._in_flight.clear()
                self._stored.clear()
                self._speed.clear()

    def _retry(self, event: events.Retried) -> None:
        self._retries += 1
        if event.number is not None and event.number not in self._stored:
            self._in_flight[event.number] = PartInFlight(event.number, 0, event.reason)

    def read(self, now_s: float) -> Reading:
        """Return how it stands at *now_s* seconds of a clock that only goes forward."""
        with self._lock:
            begun = self._begun or events.Begun(None, None)
            self._first_s = now_s if self._first_s is None else self._first_s
            sent = sum(self._stored.values()) + sum(part.sent for part in self._in_flight.values())
            return Reading(
                total=begun.total,
                done=begun.resumed + sent,
                resumed=begun.resumed,
                parts=begun.parts,
                parts_done=begun.resumed_parts + len(self._stored),
                part_size=max(self._stored.values(), default=0),
                retries=self._retries,
                rate=None if self._begun is None else self._speed.take(now_s, sent),
                in_flight=tuple(sorted(self._in_flight.values(), key=lambda part: part.number)),
                is_begun=self._begun is not None,
                elapsed_s=now_s - self._first_s,
            )

"""Measure the progress of one transfer: the numbers that the bar, the lines and the JSON objects show."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from msgspec.structs import replace

from obsup import events
from obsup.text import clean
from obsup.value import Value

# Long enough for a steady number, short enough to show soon that the network stands still.
RATE_WINDOW_S = 10.0
# 100 % would say that the object is verified; by then the display is closed.
MAX_SHARE = 0.99


def short_reason(reason: str) -> str:
    """Return the end of the reason of a failed attempt: no operation, resource and request id, and printable."""
    return clean(reason.partition(" (request id")[0].rpartition(": ")[2])


class Sending(Value):
    """The current attempt to send a part, or one file of several. Sizes are bytes; ``size`` is 0 if unknown.

    ``reason`` is why the last attempt failed. An attempt that has not started yet has the time ``retry_at_s``.
    """

    label: str
    sent: int = 0
    size: int = 0
    attempt: int = 1
    reason: str = ""
    retry_at_s: float | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether the attempt has not started."""
        return self.retry_at_s is not None

    @property
    def is_retrying(self) -> bool:
        """Whether an earlier attempt failed and this one has started."""
        return self.attempt > 1 and not self.is_waiting


class Reading(Value):
    """The state of a transfer at one moment. Sizes are bytes; ``rate`` is bytes per second, None if unknown.

    ``confirmed`` bytes are stored, ``resumed`` of them by earlier runs; ``in_flight`` bytes are sent but not confirmed.
    ``parts`` are files if several files are uploaded (``noun``); more may follow unless ``is_counted``.
    ``trouble`` is why a request that is being retried failed, unless it belongs to a part; ``reason`` is that of a part
    or of a file of several.
    """

    total: int | None
    confirmed: int
    in_flight: int
    resumed: int
    parts: int | None
    parts_done: int
    rate: float | None
    elapsed_s: float
    now_s: float = 0.0
    sending: tuple[Sending, ...] = ()
    waiting: int = 0
    retrying: int = 0
    failed: int = 0
    is_begun: bool = True
    noun: str = "part"
    is_counted: bool = True
    trouble: str = ""
    reason: str = ""

    @property
    def transferred(self) -> int:
        """Bytes that were sent or resumed, whether confirmed or not."""
        return self.confirmed + self.in_flight

    @property
    def share(self) -> float | None:
        """The confirmed share of the total, below 1 as long as the transfer runs; None if the total is unknown."""
        if self.total is None:
            return None
        return min(MAX_SHARE, self.confirmed / self.total) if self.total else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds until all bytes are sent at the current rate; None if unknown, or if all are sent."""
        if self.total is None or not self.rate or self.transferred >= self.total:
            return None
        return (self.total - self.transferred) / self.rate

    @property
    def is_completing(self) -> bool:
        """Whether all parts are confirmed, so that only the store works."""
        return self.noun == "part" and self.parts is not None and self.parts_done >= self.parts


class Meter(Protocol):
    """Adds up the events of a transfer, from many threads."""

    def observe(self, event: events.Event) -> None:
        """Count *event*."""

    def read(self) -> Reading:
        """Return the state at this moment."""


class Speed:
    """The rate of the last seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def clear(self) -> None:
        """Forget all samples."""
        self._samples.clear()

    def measure(self, now_s: float, sent: int) -> float | None:
        """Return the bytes per second, if *sent* bytes have been sent at *now_s*; None for the first sample."""
        self._samples.append((now_s, sent))
        while len(self._samples) > 2 and self._samples[1][0] <= now_s - RATE_WINDOW_S:
            self._samples.popleft()
        first_s, first = self._samples[0]
        # A failed attempt loses its bytes: the rate is then 0, not negative.
        return max(0, sent - first) / (now_s - first_s) if now_s > first_s else None


NO_PLAN = events.Begun(None, None)


@dataclass(slots=True)
class FileProgress:
    """The progress of one file of *size* bytes: ``stored`` bytes by part number, and the attempts in progress.

    An event may be lost or come late: a part that is stored stays stored.
    """

    plan: events.Begun = NO_PLAN
    stored: dict[int, int] = field(default_factory=dict)
    attempts: dict[int, Sending] = field(default_factory=dict)
    trouble: str = ""
    size: int = 0

    def observe(self, event: events.Event, now_s: float) -> None:
        """Count *event*, which happened at *now_s*."""
        if isinstance(event, events.Begun):
            self.plan, self.stored, self.attempts, self.trouble = event, {}, {}, ""
        elif isinstance(event, events.PartStored):
            self.attempts.pop(event.number, None)
            self.stored[event.number] = event.size
        elif isinstance(event, events.Retried) and event.number is None:
            self.trouble = short_reason(event.reason)
        elif isinstance(event, events.PartSent | events.Retried) and event.number not in self.stored:
            number = event.number or 0
            earlier = self.attempts.get(number) or Sending(f"part {number}")
            if isinstance(event, events.PartSent):
                self.trouble = ""
                new = replace(earlier, sent=event.sent, size=event.size, retry_at_s=None)
            else:
                reason, retry_at_s = short_reason(event.reason), now_s + event.delay_s
                new = Sending(earlier.label, 0, earlier.size, event.attempt + 1, reason, retry_at_s)
            self.attempts[number] = new
        elif isinstance(event, events.Requested) and event.status is not None and event.status < 400:
            self.trouble = ""

    @property
    def confirmed(self) -> int:
        """Bytes that are stored, resumed ones included."""
        return self.plan.resumed + sum(self.stored.values())

    @property
    def in_flight(self) -> int:
        """Bytes that are sent but not confirmed."""
        return sum(attempt.sent for attempt in self.attempts.values())


class TransferMeter:
    """Measures one transfer: its bytes by the progress callback, its parts by events."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start_s = clock()
        self._lock = threading.Lock()
        self._speed = Speed()
        self._file = FileProgress()
        self._is_begun = False
        self._transferred = 0
        self._total: int | None = None

    def progress(self, transferred: int, total: int | None, seconds: float) -> None:
        """Take the values of the progress callback: bytes, bytes or None, and seconds since the start."""
        with self._lock:
            self._transferred, self._total = transferred, total
            self._start_s = self._clock() - seconds

    def observe(self, event: events.Event) -> None:
        with self._lock:
            self._file.observe(event, self._clock())
            if isinstance(event, events.Begun):
                self._is_begun, self._total = True, event.total
                self._speed.clear()

    def read(self) -> Reading:
        with self._lock:
            now_s, file = self._clock(), self._file
            confirmed = file.confirmed
            transferred = max(self._transferred, confirmed)
            attempts = [file.attempts[number] for number in sorted(file.attempts)]
            return Reading(
                total=self._total,
                confirmed=confirmed,
                in_flight=transferred - confirmed,
                resumed=file.plan.resumed,
                parts=file.plan.parts,
                parts_done=file.plan.resumed_parts + len(file.stored),
                rate=self._speed.measure(now_s, transferred - file.plan.resumed) if self._is_begun else None,
                elapsed_s=now_s - self._start_s,
                sending=tuple(attempts),
                waiting=sum(one.is_waiting for one in attempts),
                retrying=sum(one.is_retrying for one in attempts),
                now_s=now_s,
                is_begun=self._is_begun,
                trouble=file.trouble,
                reason=next((one.reason for one in attempts if one.reason), ""),
            )

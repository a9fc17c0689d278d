"""From events to the progress callback: absolute values per part, so that a lost or repeated event does no harm."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from obsup import events
from obsup.events import Begun, Event, PartSent, PartStored, ProgressCallback

MIN_INTERVAL_S = 0.05


class ProgressTally:
    """An Observer that adds up the parts and calls back with (transferred bytes, total bytes, seconds).

    ``confirmed`` bytes are stored; ``in_flight`` bytes left this machine and may have to be sent again. A
    retry makes the sum smaller: the callback tells the truth, not a show. It is called at most every 50 ms,
    and always with the last value.
    """

    def __init__(
        self,
        callback: ProgressCallback | None,
        forward: events.Observer = events.ignore,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._callback = callback
        self._listeners = [forward]
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._begun = monotonic()
        self._called = float("-inf")
        self._in_flight: dict[int, int] = {}
        self._stored: dict[int, int] = {}
        self._stored_bytes = 0
        self._sent_before = (0, 0)
        self._is_begun = False
        self.total: int | None = None
        self.parts: int | None = None
        self.resumed = 0
        self.resumed_parts = 0

    @property
    def confirmed(self) -> int:
        """Bytes that the store confirmed, resumed ones included."""
        return self.resumed + self._stored_bytes

    @property
    def in_flight(self) -> int:
        """Bytes of parts that are on their way."""
        return sum(self._in_flight.values())

    @property
    def sent_parts(self) -> int:
        """The number of parts that this run stored; one sent again because the source changed counts again."""
        return self._sent_before[0] + len(self._stored)

    @property
    def sent_bytes(self) -> int:
        """The bytes of the parts that this run stored."""
        return self._sent_before[1] + self._stored_bytes

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return self._monotonic() - self._begun

    def __call__(self, event: Event) -> None:
        """Take *event* in, hand it on, and call back where it is time."""
        with self._lock:
            important = self._take(event)
            now = self._monotonic()
            due = self._is_begun and (important or now - self._called >= MIN_INTERVAL_S)
            if due:
                self._called = now
            values = (self.confirmed + self.in_flight, self.total, now - self._begun) if due else None
        for listener in self._listeners:
            listener(event)
        if values is not None and self._callback is not None:
            self._callback(*values)

    @contextmanager
    def observed_by(self, listener: events.Observer) -> Iterator[None]:
        """Have *listener* hear every event while inside."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def _take(self, event: Event) -> bool:
        if isinstance(event, PartSent):
            if event.number not in self._stored:
                self._in_flight[event.number] = event.sent
            return False
        if isinstance(event, PartStored):
            self._in_flight.pop(event.number, None)
            self._stored_bytes += event.size - self._stored.get(event.number, 0)
            self._stored[event.number] = event.size
            return True
        if isinstance(event, Begun):
            # After a change of the source it comes again, and counts as resumed what this run has stored.
            self._sent_before = (self.sent_parts, self.sent_bytes)
            self._stored, self._stored_bytes, self._in_flight, self._is_begun = {}, 0, {}, True
            self.total, self.parts = event.total, event.parts
            self.resumed, self.resumed_parts = event.resumed, event.resumed_parts
            return True
        if isinstance(event, events.Retried) and event.number is not None:
            return self._in_flight.pop(event.number, None) is not None
        return False

"""Convert events to calls of the progress callback. Values per part are absolute: events may be lost or repeated."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from obsup import events
from obsup.events import Begun, Event, PartSent, PartStored, ProgressCallback

MIN_CALLBACK_INTERVAL_S = 0.05


class ProgressTally:
    """An Observer that adds up the parts and calls back with (transferred bytes, total bytes, seconds).

    ``confirmed`` bytes are stored; ``in_flight`` bytes were sent and may have to be sent again, so the transferred
    bytes decrease if a part is retried. The callback is called at most every 50 ms, and always with the last value.
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
        self._started_s = monotonic()
        self._called_s = float("-inf")
        self._in_flight: dict[int, int] = {}
        self._stored: dict[int, int] = {}
        self._stored_bytes = 0
        self._sent_earlier = self._resumed_at_start = (0, 0)
        self._is_started = False
        self.total: int | None = None
        self.parts: int | None = None
        self.resumed = 0
        self.resumed_parts = 0

    @property
    def confirmed(self) -> int:
        """The bytes that the store confirmed, including resumed ones."""
        return self.resumed + self._stored_bytes

    @property
    def in_flight(self) -> int:
        """The sent bytes of parts that are not confirmed yet."""
        return sum(self._in_flight.values())

    @property
    def sent_parts(self) -> int:
        """The number of parts that this run stored. Parts sent again because the source changed count again."""
        return self._sent_earlier[0] + len(self._stored)

    @property
    def stored_parts(self) -> int:
        """The number of parts that are stored: resumed ones, and those that this run has stored since."""
        return self.resumed_parts + len(self._stored)

    @property
    def sent_bytes(self) -> int:
        """The bytes of the parts that this run stored."""
        return self._sent_earlier[1] + self._stored_bytes

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self._monotonic() - self._started_s

    def __call__(self, event: Event) -> None:
        """Add *event*, forward it, and call the callback if it is due."""
        with self._lock:
            is_important = self._take(event)
            now = self._monotonic()
            due = self._is_started and (is_important or now - self._called_s >= MIN_CALLBACK_INTERVAL_S)
            if due:
                self._called_s = now
            values = (self.confirmed + self.in_flight, self.total, now - self._started_s) if due else None
        for listener in self._listeners:
            listener(event)
        if values is not None and self._callback is not None:
            self._callback(*values)

    @contextmanager
    def observed_by(self, listener: events.Observer) -> Iterator[None]:
        """Forward every event to *listener* inside the with block."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def _take(self, event: Event) -> bool:
        if isinstance(event, PartSent):
            if event.number not in self._stored:
                self._in_flight[event.number] = event.sent
            return event.sent == event.size  # no other event may follow until the store answers
        if isinstance(event, PartStored):
            self._in_flight.pop(event.number, None)
            self._stored_bytes += event.size - self._stored.get(event.number, 0)
            self._stored[event.number] = event.size
            return True
        if isinstance(event, Begun):
            # Repeated if the source changed: the parts that this run has stored are then counted as resumed. Those that
            # were in flight at that time are among them, and have no other event.
            if not (self.sent_parts or self._in_flight):  # a stream learns later what is stored
                self._resumed_at_start = (event.resumed_parts, event.resumed)
            parts, size = self._resumed_at_start
            self._sent_earlier = (
                max(self.sent_parts, event.resumed_parts - parts),
                max(self.sent_bytes, event.resumed - size),
            )
            self._stored, self._stored_bytes, self._in_flight, self._is_started = {}, 0, {}, True
            self.total, self.parts = event.total, event.parts
            self.resumed, self.resumed_parts = event.resumed, event.resumed_parts
            return True
        if isinstance(event, events.Retried) and event.number is not None:
            return self._in_flight.pop(event.number, None) is not None
        return False

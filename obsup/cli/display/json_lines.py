"""Progress as JSON lines on stderr."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from types import TracebackType

from obsup import events
from obsup.cli.display.meter import Meter
from obsup.cli.display.notices import Notices
from obsup.cli.report.output import print_message

READING_EVERY_S = 0.25


class JsonLines:
    """One JSON object a line on stderr."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self._begun: events.Begun | None = None
        self._stored: set[int] = set()

    def observe(self, event: events.Event) -> None:
        """Count parts, and hand on."""
        if isinstance(event, events.Begun):
            self._begun = event
        elif isinstance(event, events.PartStored):
            self._stored.add(event.number)
        self._notices.observe(event)

    def progress(self, transferred: int, total: int | None, seconds: float) -> None:
        """Print the documented keys."""
        resumed = self._begun.resumed_parts if self._begun else 0
        fields = {
            "format": 1,
            "event": "progress",
            "transferred": transferred,
            "total": total,
            "seconds": round(seconds, 3),
            "partsDone": resumed + len(self._stored),
            "parts": self._begun.parts if self._begun else None,
        }
        print_message(json.dumps(fields))

    def finished(self, text: str) -> None:
        """Nothing more: --json prints the result."""


class JsonReadings:
    """One JSON object a line on stderr, of several files: at most four a second, and one at the end."""

    def __init__(
        self, notices: Notices, meter: Meter, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.finished = notices.finished
        self._notices = notices
        self._meter = meter
        self._clock = clock
        self._begun_s = clock()
        self._due_s = self._begun_s
        self._lock = threading.Lock()

    def observe(self, event: events.Event) -> None:
        """Take *event* in, and print where it is time."""
        self._meter.observe(event)
        self._notices.observe(event)
        with self._lock:
            now_s = self._clock()
            is_due = now_s >= self._due_s
            if is_due:
                self._due_s = now_s + READING_EVERY_S
        if is_due:
            self._print(now_s)

    def __enter__(self) -> JsonReadings:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._print(self._clock())

    def progress(self, transferred: int, total: int | None, seconds: float) -> None:
        """Nothing: what is printed is read from the gauge."""

    def _print(self, now_s: float) -> None:
        reading = self._meter.read(now_s)
        fields = {
            "format": 1,
            "event": "progress",
            "transferred": reading.done,
            "total": reading.total,
            "seconds": round(now_s - self._begun_s, 3),
            "filesDone": reading.parts_done,
            "filesFailed": reading.failed,
            "files": reading.parts,
            "counted": reading.is_counted,
        }
        print_message(json.dumps(fields))

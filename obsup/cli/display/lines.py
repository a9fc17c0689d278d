"""Progress as plain lines on stderr."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from obsup import events
from obsup.cli.display.meter import Meter, TransferMeter
from obsup.cli.display.notices import Notices, short_reason
from obsup.text import quoted
from obsup.units import format_size

LINE_EVERY_S = 30.0


class Silence:
    """Shows no progress."""

    def __init__(self, notices: Notices) -> None:
        self.observe = notices.observe
        self.finished = notices.finished

    def progress(self, transferred: int, total: int | None, seconds: float) -> None:
        """Show nothing."""


class Lines:
    """One line every 30 seconds of a long transfer, for logs; also while the line stands still."""

    def __init__(
        self,
        notices: Notices,
        name: str,
        *,
        meter: Meter | None = None,
        every_s: float = LINE_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
        is_seen: bool = False,
    ) -> None:
        self.finished = notices.finished
        self._notices = notices
        self._name = quoted(name)
        # Who sits before it is told at once that something is tried again, and need not wait for the first line.
        self._is_to_be_told = is_seen
        self._trouble = ""
        self._every_s = every_s
        self._clock = clock
        self._meter = meter or TransferMeter()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._say_on, name="lines", daemon=True)

    def __enter__(self) -> Lines:
        self._meter.read(self._clock())
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def observe(self, event: events.Event) -> None:
        """Take *event* in, and say what the user should know."""
        self._meter.observe(event)
        self._notices.observe(event)
        one = events.of_one(event)
        if isinstance(one, events.Retried):
            self._trouble = short_reason(one.reason)
            if self._is_to_be_told:
                self._is_to_be_told = False
                self._notices.show(f"Note:  {self._trouble}; trying again.")
        elif isinstance(one, events.Requested) and one.status is not None and one.status < 400:
            self._trouble = ""

    def progress(self, transferred: int, total: int | None, seconds: float) -> None:
        """Nothing: the lines come by the clock."""

    def _say_on(self) -> None:
        while not self._ended.wait(self._every_s):
            self._notices.show(self.line())

    def line(self) -> str:
        """Return how far it is at this moment."""
        reading = self._meter.read(self._clock())
        if not reading.is_begun:
            waits = f"{self._trouble}; trying again" if self._trouble else ""
            return f"{self._name}: {waits or 'looking at what is there'}"
        of = "" if reading.share is None else f" of {format_size(reading.total or 0)} ({reading.share:.0%})"
        fields = [f"{format_size(reading.done)}{of}", f"{format_size(reading.rate or 0.0)}/s"]
        if reading.time is not None:
            fields.append(reading.time)
        if reading.failed:
            fields.append(f"{reading.failed} failed")
        return f"{self._name}: {', '.join(fields)}, {reading.progress.replace('/', ' of ')}"

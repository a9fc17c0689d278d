"""Measure the progress of many files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from msgspec.structs import replace

from obsup import events
from obsup.cli.display.meter import FileProgress, Reading, Sending, Speed
from obsup.text import quoted
from obsup.units import MIB

# Smaller files are sent too fast to be read.
MIN_SHOWN_BYTES = 1 * MIB


class BatchMeter:
    """Adds up the events of many files, from many threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start_s = clock()
        self._lock = threading.Lock()
        self._speed = Speed()
        self._counted = events.Counted(0, 0, is_all=False)
        self._is_begun = False
        self._listing = FileProgress()
        self._files: dict[str, FileProgress] = {}
        self._sent = self._skipped = 0
        self._done = self._failed = 0

    def observe(self, event: events.Event) -> None:
        with self._lock:
            if isinstance(event, events.OfFile):
                self._is_begun = True
                file = self._files.setdefault(event.name, FileProgress(size=event.size))
                file.observe(event.event, self._clock())
            elif isinstance(event, events.FileEnded):
                self._end(event)
            elif isinstance(event, events.Counted):
                self._counted = event
            else:
                self._listing.observe(event, self._clock())

    def _end(self, event: events.FileEnded) -> None:
        file = self._files.pop(event.name, FileProgress())
        if event.how == "failed":
            self._failed += 1
            self._sent += file.confirmed - file.plan.resumed
            return
        self._is_begun = True
        self._done += 1
        sent = event.size - file.plan.resumed if event.how == "sent" else 0
        self._sent += sent
        self._skipped += event.size - sent

    def read(self) -> Reading:
        with self._lock:
            now_s = self._clock()
            files = self._files.values()
            confirmed = self._skipped + self._sent + sum(file.confirmed for file in files)
            in_flight = sum(file.in_flight for file in files)
            attempts = [attempt for file in files for attempt in file.attempts.values()]
            reasons = (*(one.reason for one in attempts), *(file.trouble for file in files))
            resumed = self._skipped + sum(file.plan.resumed for file in files)
            by_size = sorted(((file.size, name) for name, file in self._files.items()), reverse=True)
            return Reading(
                total=self._counted.size,
                confirmed=confirmed,
                in_flight=in_flight,
                resumed=resumed,
                parts=self._counted.files,
                parts_done=self._done,
                rate=self._speed.measure(now_s, confirmed + in_flight - resumed) if self._is_begun else None,
                elapsed_s=now_s - self._start_s,
                now_s=now_s,
                sending=tuple(self._sending(name) for size, name in by_size if size > MIN_SHOWN_BYTES),
                waiting=sum(one.is_waiting for one in attempts),
                retrying=sum(one.is_retrying for one in attempts),
                failed=self._failed,
                trouble="" if self._is_begun else self._listing.trouble,
                reason=next(filter(None, reasons), ""),
                is_begun=self._is_begun,
                noun="file",
                is_counted=self._counted.is_all,
            )

    def _sending(self, name: str) -> Sending:
        """Return the file *name* with the part that waits, if one does."""
        file = self._files[name]
        whole = Sending("", reason=file.trouble)
        part = next((one for one in file.attempts.values() if one.is_waiting), whole)
        return replace(part, label=quoted(name), sent=file.confirmed + file.in_flight, size=file.size)

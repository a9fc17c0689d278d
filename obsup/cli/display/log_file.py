"""The log: a line a request, in a file that is its owner's alone and does not grow for ever. Never a secret."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from obsup import events
from obsup.errors import BadConfiguration, ObsupError
from obsup.text import quoted
from obsup.units import MIB

LIMIT = 10 * MIB
KEPT = 5


class RequestLines:
    """Turns events into lines; counts the attempts of each request. Safe to call from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: Counter[tuple[str, str, int | None]] = Counter()

    def line(self, event: events.Event) -> str | None:
        """Return the line for *event*, or None where it has none: progress is no news."""
        event = events.of_one(event)
        if isinstance(event, events.Requested):
            return self._request(event)
        if isinstance(event, events.Retried):
            part = f"part {event.number}, " if event.number is not None else ""
            return f"retry: {part}attempt {event.attempt}: {event.reason}; again in {event.delay_s:.1f} s"
        if isinstance(event, events.Noted):
            return f"note: {event.text}"
        if isinstance(event, events.FileEnded) and event.why:
            return f"{event.how}: {quoted(event.name)}: {event.why}"
        return None

    def _request(self, event: events.Requested) -> str:
        what = (event.operation, event.resource, event.part_number)
        with self._lock:
            attempt = self._failed[what] + 1
            if event.status is not None and event.status < 400:
                self._failed.pop(what, None)
            else:
                self._failed[what] = attempt
        fields = [f"{event.method} {event.resource} {event.operation}"]
        if event.part_number is not None:
            fields.append(f"part={event.part_number}")
        fields.append(f"status={'-' if event.status is None else event.status}")
        fields.append(f"request={event.request_id or '-'}")
        fields.append(f"seconds={event.seconds:.3f}")
        fields.append(f"attempt={attempt}")
        if event.host:
            fields.append(f"host={event.host}")
        if event.failure:
            fields.append(f"failure={event.failure!r}")
        return " ".join(fields)


class LogFile:
    """Appends lines to *path*, mode 0600. At *limit* bytes it is renamed to PATH.1, of which *kept* are kept.

    A log that cannot be written any more is left alone: the work is worth more; *tell* hears of it. Raises
    BadConfiguration where it cannot be opened at all.
    """

    def __init__(
        self,
        path: Path,
        *,
        limit: int = LIMIT,
        kept: int = KEPT,
        clock: Callable[[], float] = time.time,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._limit = limit
        self._kept = kept
        self._clock = clock
        self._tell = tell
        self._lock = threading.Lock()
        self._lines = RequestLines()
        try:
            self._descriptor: int | None = self._open()
        except OSError as exc:
            raise BadConfiguration(
                f"the log {quoted(path)} cannot be written",
                exc.strerror or "",
                "name another file with --log-file",
            ) from exc

    def observe(self, event: events.Event) -> None:
        """Write the line of *event*."""
        line = self._lines.line(event)
        if line is not None:
            self.write(line)

    def failed(self, error: ObsupError) -> None:
        """Write how the work ended."""
        self.write(f"error {error.exit_code}: {error}")

    def write(self, line: str) -> None:
        """Write one line, with the time in UTC."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))
        data = f"{moment} {os.getpid()} {' '.join(line.splitlines())}\n".encode("utf-8", "backslashreplace")
        with self._lock:
            if self._descriptor is None:
                return
            failure = self._append(data)
        if failure is not None:
            why = failure.strerror
            self._tell(f"the log {quoted(self._path)} cannot be written any more: {why}; going on without")

    def _append(self, data: bytes) -> OSError | None:
        """Write *data*; return what stood against it, after which there is no more to write to."""
        try:
            self._turn(len(data))
            assert self._descriptor is not None
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as exc:
            self._close()
            return exc
        return None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()

    def _open(self) -> int:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
            os.fchmod(descriptor, 0o600)
        return descriptor

    def _turn(self, more: int) -> None:
        """Begin a new file where *more* bytes would make this one too large."""
        assert self._descriptor is not None
        size = os.fstat(self._descriptor).st_size
        if not size or size + more <= self._limit:
            return
        for number in range(self._kept - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))
        self._close()
        self._descriptor = self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

"""Write the log file: one line per request, without secrets, in a private file of limited size."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from obsup import events
from obsup.cli.arguments.path_checks import MAX_OLD_LOGS, old_log
from obsup.errors import BadConfiguration, NextStep, ObsupError
from obsup.local.files.existing import exists
from obsup.local.platform.files import make_private, open_file, replace
from obsup.local.platform.owners import is_own, is_trusted_owner
from obsup.text import quoted, shell_line, without_url_secrets
from obsup.units import MIB

MAX_BYTES = 10 * MIB


class RequestLines:
    """Writes events as lines, and counts the attempts of each request. Safe to call from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: Counter[tuple[str, str, int | None]] = Counter()

    def line(self, event: events.Event) -> str | None:
        """Return the line for *event*; None for progress."""
        event = events.of_one(event)
        if isinstance(event, events.Requested):
            return self._request(event)
        if isinstance(event, events.Retried):
            part = f"part {event.number}, " if event.number is not None else ""
            return (
                f"retry: {part}attempt {event.attempt} failed: {event.reason}; next in {event.delay_s:.1f} s"
            )
        if isinstance(event, events.Noted):
            return f"note: {event.text}{': ' if event.command else ''}{shell_line(event.command)}"
        if isinstance(event, events.FileEnded) and event.why:
            return f"{event.how}: {quoted(event.name)}: {event.why}"
        return None

    def _request(self, event: events.Requested) -> str:
        request = (event.operation, event.resource, event.part_number)
        with self._lock:
            attempt = self._failed[request] + 1
            if event.status is not None and event.status < 400:
                self._failed.pop(request, None)
            else:
                self._failed[request] = attempt
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
    """Appends lines to *path*, which only its owner can read. A symbolic link is followed if it is the user's own.

    At *max_bytes* the file is renamed to PATH.1, and older files to PATH.2 and so on, up to *max_old_files*. If the
    log cannot be written any more, the work continues without it, and *warn* is called once. Raises BadConfiguration
    if it cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = MAX_BYTES,
        max_old_files: int = MAX_OLD_LOGS,
        clock: Callable[[], float] = time.time,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._max_old_files = max_old_files
        self._clock = clock
        self._warn = warn
        self._lock = threading.Lock()
        self._lines = RequestLines()
        try:
            self._descriptor: int | None = self._open()
        except OSError as exc:
            raise BadConfiguration(
                f"the log {quoted(path)} cannot be written",
                exc.strerror or "",
                NextStep("name another file with --log-file"),
            ) from exc

    def observe(self, event: events.Event) -> None:
        """Write the line of *event*, if it has one."""
        line = self._lines.line(event)
        if line is not None:
            self.write(line)

    def write_error(self, error: ObsupError) -> None:
        """Write the failure that ends the work."""
        self.write(f"error {error.exit_code}: {error}")

    def write(self, line: str) -> None:
        """Write one line, with the time in UTC and the process id."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))
        line = without_url_secrets(" ".join(line.splitlines()))
        data = f"{now} {os.getpid()} {line}\n".encode("utf-8", "backslashreplace")
        with self._lock:
            if self._descriptor is None:
                return
            try:
                self._rotate(self._descriptor, len(data))
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError as exc:
                self._close()
                why = exc.strerror
            else:
                return
        self._warn(
            f"the log {quoted(self._path)} cannot be written any more: {why}; continuing without a log"
        )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()

    def _open(self) -> int:
        """Open the file; the mode of a file behind a symbolic link stays. Raises OSError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        if self._path.is_symlink():
            self._check_owner(self._path.lstat())
            return open_file(str(self._path), flags, private=True)
        with contextlib.suppress(FileNotFoundError):
            self._check_owner(self._path.lstat())
        descriptor = open_file(str(self._path), flags, private=True, follow=False)
        existing = os.fstat(descriptor)
        if stat.S_ISREG(existing.st_mode) and is_own(existing.st_uid):
            make_private(descriptor)
        return descriptor

    @staticmethod
    def _check_owner(status: os.stat_result) -> None:
        """Raise OSError for a symbolic link, or for a pipe without a reader, that another user placed there."""
        is_placed = stat.S_ISLNK(status.st_mode) or stat.S_ISFIFO(status.st_mode)
        if is_placed and not is_trusted_owner(status.st_uid):
            raise PermissionError(
                errno.EPERM, f"It is a link or a pipe of another user (uid {status.st_uid})"
            )

    def _rotate(self, descriptor: int, added: int) -> None:
        """Start a new file if *added* bytes would make this one, the open *descriptor*, too large."""
        size = os.fstat(descriptor).st_size
        if not size or size + added <= self._max_bytes:
            return
        for number in range(self._max_old_files - 1, 0, -1):
            older = old_log(self._path, number)
            if exists(older):
                replace(str(older), str(old_log(self._path, number + 1)))
        replace(str(self._path), str(old_log(self._path, 1)))
        self._close()
        self._descriptor = self._open()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

"""A terminal of a given size for commands: a real pty, and an emulator that shows what a user would see."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte

# Makes the pty the controlling terminal, so that a typed Ctrl-C is a signal.
_LAUNCHER = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


class Terminal:
    """Runs one command on a pty of *columns* by *rows*, and reads what it draws."""

    def __init__(
        self,
        words: Sequence[str | Path],
        *,
        folder: Path,
        environment: Mapping[str, str],
        columns: int = 80,
        rows: int = 24,
        timeout_s: float = 60.0,
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.raw = b""
        self._stream = pyte.ByteStream(self.screen)
        self._until = time.monotonic() + timeout_s
        self._master, slave = pty.openpty()
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCHER, *map(str, words)],
            cwd=folder,
            env={**os.environ, "TERM": "xterm-256color", **environment},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def resize(self, columns: int, rows: int) -> None:
        """Make the window another size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def lines(self) -> list[str]:
        """Return the rows that have something on them, without trailing spaces."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def shows(self, text: str) -> bool:
        """Return whether *text* stands somewhere on the screen."""
        return any(text in line for line in self.lines())

    def wait_for(self, seen: Callable[[], bool]) -> None:
        """Read until *seen* is true. Raises AssertionError at the command's end, or after too long."""
        while not seen():
            assert self._read(), f"ended before: {self.lines()}"

    def finish(self) -> int:
        """Read to the end, and return the exit code."""
        while self._read():
            pass
        return self.process.wait()

    def _read(self) -> bool:
        """Take in what was drawn; return whether there may be more."""
        left_s = self._until - time.monotonic()
        assert left_s > 0, f"too slow: {self.lines()}"
        ready, _, _ = select.select([self._master], [], [], left_s)
        if not ready:
            return True
        try:
            drawn = os.read(self._master, 65536)
        except OSError:  # Linux says EIO where the last holder of the other end is gone
            return False
        self.raw += drawn
        self._stream.feed(drawn)
        return bool(drawn)

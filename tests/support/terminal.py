"""A terminal for commands under test: a real pty, and an emulator that shows what a user would see."""

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
    """Runs one command on a pty of *columns* by *rows*, and reads its output.

    *timeout_s* limits the whole run.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
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
        self._deadline_s = time.monotonic() + timeout_s
        self._master, slave = pty.openpty()
        self.resize(columns, rows)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCHER, *map(str, command)],
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
        self.hang_up()

    def hang_up(self) -> None:
        """Close the terminal: the kernel sends SIGHUP, and all later output fails."""
        if self._master >= 0:
            os.close(self._master)
        self._master = -1

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the window."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def lines(self) -> list[str]:
        """Return the rows that have something on them, without trailing spaces."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def shows(self, text: str) -> bool:
        """Return whether a row of the screen contains *text*."""
        return any(text in line for line in self.lines())

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Read output until *condition* is true. Raises AssertionError if the command ends, or after the timeout."""
        while not condition():
            assert self._read(), f"ended before: {self.lines()}"

    def finish(self) -> int:
        """Read all output and return the exit code."""
        while self._read():
            pass
        return self.process.wait()

    def _read(self) -> bool:
        """Read some output; return whether more may follow."""
        left_s = self._deadline_s - time.monotonic()
        assert left_s > 0, f"timeout: {self.lines()}"
        ready, _, _ = select.select([self._master], [], [], left_s)
        if not ready:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO on Linux: the other end is closed
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)

"""A few lines at the bottom of a terminal that are drawn again and again, and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, TextIO

from obsup.text import shielded

_ERASE_BELOW = "\x1b[J"
_UP = "\x1b[{}A"


class TerminalLines:
    """Draws lines on the terminal *stream*. The cursor stays visible and stands beneath them.

    So a process that is killed leaves a terminal that can be typed on. Safe to call from many threads.
    """

    def __init__(self, stream: TextIO, width_of: Callable[[str], int]) -> None:
        self._stream = stream
        self._width_of = width_of  # cells of a line, escape sequences not counted
        self._lock = threading.RLock()
        self._widths: list[int] = []
        self._is_closed = False
        self._is_gone = False
        self._before: Any = None

    def size(self) -> tuple[int, int]:
        """Return columns and rows as they are now: windows are resized."""
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            size = shutil.get_terminal_size()
        return (size.columns or 80), (size.lines or 24)

    def open(self) -> None:
        """Listen for the return from Ctrl-Z: what the shell wrote meanwhile is not ours to erase."""
        if hasattr(signal, "SIGCONT") and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGCONT, self._continue)

    def close(self) -> None:
        """Erase what is drawn, and draw no more."""
        self.draw([])
        self._is_closed = True
        if self._before is not None:
            signal.signal(signal.SIGCONT, self._before)

    def draw(self, lines: Sequence[str]) -> None:
        """Replace what is drawn with *lines*, each of which fits the window."""
        with self._lock:
            if not self._is_ours():
                return
            self._write(self._erasing() + "".join(f"{line}\n" for line in lines))
            self._widths = [self._width_of(line) for line in lines]

    def say(self, text: str) -> None:
        """Write *text*, which the terminal does not obey, for good, above what is drawn."""
        with self._lock:
            self._write(f"{self._erasing()}{shielded(text)}\n")
            self._widths = []

    def _erasing(self) -> str:
        if not self._widths:
            return ""
        columns, _rows = self.size()
        # A window made narrower has wrapped the lines that were drawn before.
        rows = sum(max(1, -(-width // columns)) for width in self._widths)
        return f"\r{_UP.format(rows)}{_ERASE_BELOW}"

    def _is_ours(self) -> bool:
        """Return whether this process is in the foreground: a job in the background must not scribble."""
        if self._is_closed:
            return False
        try:
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        except (OSError, ValueError, AttributeError):
            return True

    def _write(self, text: str) -> None:
        if self._is_gone or not text:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            # The terminal went away; the transfer does not.
            self._is_gone = True

    def _continue(self, _number: int, _frame: FrameType | None) -> None:
        self._widths = []

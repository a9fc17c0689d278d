"""Draw lines at the bottom of a terminal again and again, and erase them at the end."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from obsup.local.platform import console
from obsup.text import shielded

_ERASE_BELOW = "\x1b[J"
_UP = "\x1b[{}A"


class TerminalLines:
    """Draws lines on the terminal *stream*. Safe to call from many threads.

    The cursor stays visible, below the lines, so that even a killed process leaves a usable terminal.
    """

    def __init__(self, stream: TextIO, width_of: Callable[[str], int]) -> None:
        self._stream = stream
        self._width_of = width_of  # cells of a line, without escape sequences
        self._lock = threading.RLock()
        self._widths: list[int] = []
        self._is_closed = False
        self._is_disconnected = False
        self._earlier_handler: Any = None

    def size(self) -> tuple[int, int]:
        """Return the current columns and rows."""
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            size = shutil.get_terminal_size()
        return (size.columns or 80), (size.lines or 24)

    def open(self) -> None:
        """Start to handle the return from Ctrl-Z: the shell has written below the lines, which must not be erased."""
        if threading.current_thread() is threading.main_thread():
            self._earlier_handler = console.on_continue(self._forget_lines)

    def close(self) -> None:
        """Erase the lines and draw no more."""
        self.draw([])
        self._is_closed = True
        if self._earlier_handler is not None:
            console.restore_on_continue(self._earlier_handler)

    def draw(self, lines: Sequence[str]) -> None:
        """Replace the lines with *lines*, which must fit into the window. A background process draws nothing."""
        with self._lock:
            if self._is_closed or not self.is_foreground():
                return
            self._write(self._erasing() + "".join(f"{line}\n" for line in lines))
            self._widths = [self._width_of(line) for line in lines]

    def print_above(self, text: str) -> None:
        """Print *text* above the lines, where it stays. Control characters are escaped."""
        with self._lock:
            self._write(f"{self._erasing()}{shielded(text)}\n")
            self._widths = []

    def _erasing(self) -> str:
        if not self._widths:
            return ""
        columns, _rows = self.size()
        # A window that became narrower has wrapped the lines.
        rows = sum(max(1, -(-width // columns)) for width in self._widths)
        return f"\r{_UP.format(rows)}{_ERASE_BELOW}"

    def is_foreground(self) -> bool:
        """Return whether the terminal belongs to this process, and not to the shell that started it."""
        try:
            return console.is_foreground(self._stream.fileno())
        except (OSError, ValueError):
            return True

    def _write(self, text: str) -> None:
        if self._is_disconnected or not text:
            return
        try:
            with console.unstopped():
                self._stream.write(text)
                self._stream.flush()
        except (OSError, ValueError):
            self._is_disconnected = True  # the transfer continues without the terminal

    def _forget_lines(self) -> None:
        self._widths = []

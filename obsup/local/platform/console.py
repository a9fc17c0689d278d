"""The terminal of this process: what it can do, and whether it may be written to."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, TextIO

if sys.platform == "win32":

    def has_escape_sequences(stream: TextIO, _environ: Mapping[str, str]) -> bool:
        """Return whether *stream* is a console that can move its cursor; switch that on."""
        from obsup.local.platform import windows_api

        return stream.isatty() and windows_api.enable_escape_sequences(stream.fileno())

    def is_foreground(_descriptor: int) -> bool:
        """Return True: a console has no background."""
        return True

    @contextlib.contextmanager
    def unstopped() -> Iterator[None]:
        """Do nothing: a console stops no writer."""
        yield

    def on_continue(_action: Callable[[], object]) -> Any:
        """Do nothing: Windows cannot stop a process with a key."""
        return None

    def restore_on_continue(_earlier: Any) -> None:
        """Do nothing."""

    def make_printable() -> None:
        """Let standard output and error escape the characters that the code page of a pipe or a file lacks."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError):
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]

else:

    def has_escape_sequences(stream: TextIO, environ: Mapping[str, str]) -> bool:
        """Return whether *stream* is a terminal that can move its cursor."""
        return stream.isatty() and environ.get("TERM", "dumb") not in ("dumb", "")

    def is_foreground(descriptor: int) -> bool:
        """Return whether the terminal belongs to this process, and not to the shell that started it. Raises OSError."""
        return os.tcgetpgrp(descriptor) == os.getpgrp()

    @contextlib.contextmanager
    def unstopped() -> Iterator[None]:
        """Let this thread write to the terminal from the background, although ``stty tostop`` would stop it."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def on_continue(action: Callable[[], object]) -> Any:
        """Call *action* after each return from Ctrl-Z; return the earlier handler. Only in the main thread."""

        def handle(_number: int, _frame: FrameType | None) -> None:
            action()

        return signal.signal(signal.SIGCONT, handle)

    def restore_on_continue(earlier: Any) -> None:
        """Undo ``on_continue``, which returned *earlier*."""
        signal.signal(signal.SIGCONT, earlier)

    def make_printable() -> None:
        """Do nothing: names of files that are not text are escaped where they are printed."""


def is_closed_pipe(exc: OSError) -> bool:
    """Return whether writing failed because the reader of a pipe has closed it."""
    return isinstance(exc, BrokenPipeError) or (sys.platform == "win32" and exc.errno == errno.EINVAL)

"""Sources of unknown size that are read once, from beginning to end: standard input, a file object."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
from collections.abc import Callable
from typing import Any, Protocol

from msgspec.structs import replace

from obsup.errors import (
    LocalFailure,
    NextStep,
    ObsupError,
    SourceChanged,
    SourceUnreadable,
    run_again,
)
from obsup.local.platform.files import stat_open
from obsup.local.platform.streams import enlarge_pipe, read_into, wait_readable
from obsup.local.source.identity import identity, waited_for_clock
from obsup.units import MIB

# How often a blocked read checks whether it is cancelled.
POLL_S = 0.1
# The buffer of a pipe: for a sixteenth of the context switches.
PIPE_BYTES = 1 * MIB


class ByteSource(Protocol):
    """A stream as its reader sees it. ``name`` is for messages. Only one thread reads."""

    name: str

    def start(self) -> None:
        """Prepare for the first read."""

    def readinto(self, view: memoryview, /) -> int:
        """Read into the beginning of *view*; return the number of bytes, 0 at the end. Raises what reading raises."""

    def is_finished(self, timeout_s: float, /) -> bool:
        """Return, after the end, whether the stream may be published; wait up to so many seconds for that.

        Raises if it must not be published.
        """

    def cancel(self) -> None:
        """Make a blocked read return soon."""

    def close(self) -> None:
        """Release all resources; not those of the caller. No read may be active."""


class Descriptor:
    """The bytes of an open file descriptor: a pipe, a terminal, a file. It is not closed here.

    *on_idle* is called regularly while there is nothing to read; an exception of it ends the wait.
    """

    def __init__(self, descriptor: int, name: str, *, on_idle: Callable[[], object] = lambda: None) -> None:
        self.name = name
        self._descriptor = descriptor
        self._on_idle = on_idle
        self._is_cancelled = False
        self._check_unchanged = unchanged_check(name, descriptor)
        enlarge_pipe(descriptor, PIPE_BYTES)

    def start(self) -> None:
        """See ByteSource: it is open already."""

    def readinto(self, view: memoryview, /) -> int:
        """Wait for bytes, until cancelled. Raises SourceUnreadable, LocalFailure, SourceChanged."""
        try:
            count = _read_when_ready(self._descriptor, view, self._check_idle)
        except OSError as exc:
            raise read_failed(self.name, exc) from exc
        self._check_unchanged()
        return count

    def _check_idle(self) -> None:
        if self._is_cancelled:  # returning 0 would look like the end of the stream
            raise LocalFailure(f"reading {self.name} was cancelled")
        self._on_idle()

    def is_finished(self, _timeout_s: float, /) -> bool:
        """See ByteSource: a pipe or a file does not show whether its writer succeeded."""
        return True

    def cancel(self) -> None:
        """See ByteSource."""
        self._is_cancelled = True

    def close(self) -> None:
        """See ByteSource: the descriptor is the caller's."""


class WaitingStream(io.RawIOBase):
    """The bytes of an open file descriptor, as soon as they arrive. It is not closed here.

    *on_idle* is called regularly while there is nothing to read; an exception of it ends the wait.
    """

    def __init__(self, descriptor: int, on_idle: Callable[[], object]) -> None:
        self._descriptor = descriptor
        self._on_idle = on_idle

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        return _read_when_ready(self._descriptor, memoryview(buffer), self._on_idle)


def _read_when_ready(descriptor: int, view: memoryview, on_idle: Callable[[], object]) -> int:
    """Wait for bytes and read them into *view*; return how many, 0 at the end. Raises OSError, and as *on_idle*."""
    while True:
        if wait_readable(descriptor, POLL_S):
            # Another process may have made it non-blocking and read first.
            with contextlib.suppress(BlockingIOError):
                return read_into(descriptor, view)
        on_idle()


def open_standard_input(*, is_open: bool, on_idle: Callable[[], object] = lambda: None) -> Descriptor:
    """Return standard input; *is_open* is false if the process was started without one. Raises SourceUnreadable."""
    if not is_open:
        raise SourceUnreadable(
            "standard input is closed",
            "There is nothing to read",
            NextStep("pipe the data in or name a file"),
        )
    return Descriptor(0, "standard input", on_idle=on_idle)


def unchanged_check(name: str, descriptor: int | None) -> Callable[[], None]:
    """Return a function that raises SourceChanged if the open file was modified since this call.

    It does nothing unless *descriptor* is a regular file, which may be modified while it is read. A new change time
    alone counts, because a writer can restore the modification time; but not if the file has got or lost a name, as a
    temporary file that is removed while it is read.
    """
    found = _status_of_file(descriptor)
    if found is not None and waited_for_clock(identity(found)):
        found = _status_of_file(descriptor)
    if descriptor is None or found is None:
        return lambda: None
    planned, names = identity(found), found.st_nlink

    def check() -> None:
        nonlocal planned, names
        status = stat_open(descriptor)
        now = identity(status)
        if status.st_nlink != names:
            planned, names = replace(planned, ctime_ns=now.ctime_ns), status.st_nlink
        if now != planned:
            raise SourceChanged(
                f"{name} changed while it was read",
                "It is a file that something writes to; an object must not mix two versions of its source",
                NextStep("wait until nothing writes to it, or use a copy of it"),
            )

    return check


def _status_of_file(descriptor: int | None) -> os.stat_result | None:
    """Return the status of an open regular file; None for all else."""
    try:
        status = stat_open(descriptor) if descriptor is not None else None
    except OSError:  # reading reports it
        return None
    return status if status is not None and stat.S_ISREG(status.st_mode) else None


def read_failed(name: str, exc: OSError) -> ObsupError:
    """Return the error for a failed read of *name*."""
    why = os.strerror(exc.errno or errno.EIO)
    if exc.errno in (errno.EBADF, errno.EISDIR, errno.EINVAL):
        return SourceUnreadable(f"{name} cannot be read", why, NextStep("pipe the data in or name a file"))
    return LocalFailure(f"reading {name} failed", why, run_again("check where the data comes from"))

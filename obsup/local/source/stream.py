"""Sources that are read once, from front to back, and whose end nobody knows: standard input, a file object."""

from __future__ import annotations

import contextlib
import errno
import os
import select
from collections.abc import Callable
from typing import Protocol

from obsup.errors import LocalFailure, ObsupError, SourceUnreadable, WrongUsage
from obsup.units import MIB

try:
    import fcntl
except ImportError:  # Windows has no pipes whose size could be changed
    fcntl = None  # type: ignore[assignment]

# How soon a reader notices that nobody waits for its bytes any more, in milliseconds.
POLL_MS = 100
PIPE_SIZE = 1 * MIB


class ByteSource(Protocol):
    """A stream as its reader sees it. ``name`` is for messages. Only one thread reads."""

    name: str

    def start(self) -> None:
        """Begin, before the first read."""
        ...

    def readinto(self, view: memoryview, /) -> int:
        """Fill *view* from its front and return how many bytes; 0 at the end. Raises what reading raises."""
        ...

    def is_finished(self, timeout_s: float, /) -> bool:
        """Tell, after the end, whether all of it may be published; wait up to *timeout_s* to know.

        Raises where it must not be.
        """
        ...

    def cancel(self) -> None:
        """Make a read that waits return soon."""
        ...

    def close(self) -> None:
        """Let go of everything. Nobody reads any more."""
        ...


class Readable(Protocol):
    """What the API takes for a file: an object open for reading bytes."""

    def read(self, size: int = ..., /) -> bytes: ...


class Descriptor:
    """The bytes of an open file descriptor: a pipe, a terminal, a file. It is not closed here.

    *idle* is called now and then while there is nothing to read; what it raises ends the wait.
    """

    def __init__(self, descriptor: int, name: str, *, idle: Callable[[], object] = lambda: None) -> None:
        self.name = name
        self._descriptor = descriptor
        self._idle = idle
        self._is_cancelled = False
        widen_pipe(descriptor)

    def start(self) -> None:
        """It is open already."""

    def readinto(self, view: memoryview, /) -> int:
        """Wait for bytes, but not longer than anybody wants them. Raises SourceUnreadable, LocalFailure."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        while not self._is_cancelled:
            if not poll.poll(POLL_MS):
                self._idle()
                continue
            try:
                return os.readv(self._descriptor, [view])
            except BlockingIOError:  # somebody else made it non-blocking, and was faster
                continue
            except OSError as exc:
                raise read_failed(self.name, exc) from exc
        # Not 0: a read that nobody waits for must never pass for the end of the stream.
        raise LocalFailure(f"reading {self.name} was given up")

    def is_finished(self, _timeout_s: float, /) -> bool:
        """The end of a pipe is the end: whoever writes into it does not say how it went."""
        return True

    def cancel(self) -> None:
        """Make a read that waits return."""
        self._is_cancelled = True

    def close(self) -> None:
        """The descriptor belongs to somebody else."""


class FileObject:
    """An object with ``read``, as the API takes it; closed at the end where *close* is true.

    A read that blocks cannot be interrupted, but after ``cancel`` no other read starts.
    """

    def __init__(self, file: Readable, *, close: bool = True) -> None:
        name = getattr(file, "name", None)
        self.name = name if name and isinstance(name, str) else "the file object"
        self._file = file
        self._close = close
        self._is_reading = False
        self._is_cancelled = False

    def start(self) -> None:
        """It is open already."""

    def readinto(self, view: memoryview, /) -> int:
        """Read through the object's ``read``. Raises WrongUsage, SourceUnreadable, LocalFailure."""
        if self._is_cancelled:
            raise LocalFailure(f"reading {self.name} was cancelled")
        self._is_reading = True
        try:
            data = self._file.read(len(view))
        except ValueError as exc:  # closed, or not open for reading
            raise SourceUnreadable(f"{self.name} cannot be read", str(exc), "hand over an open file") from exc
        except OSError as exc:
            raise read_failed(self.name, exc) from exc
        finally:
            self._is_reading = False
        if isinstance(data, str):
            raise WrongUsage(f"{self.name} is open as text", "an object is bytes", 'open it with mode "rb"')
        if data is None:
            raise SourceUnreadable(
                f"{self.name} has no bytes at this moment", "it does not block", "make it blocking"
            )
        view[: len(data)] = data
        return len(data)

    def is_finished(self, _timeout_s: float, /) -> bool:
        """The end of the file is the end."""
        return True

    def cancel(self) -> None:
        """Make every later read fail."""
        self._is_cancelled = True

    def close(self) -> None:
        """Close the object where that was asked for, once; but not while a read is stuck in it, to be stuck too."""
        close = getattr(self._file, "close", None)
        if self._close and close is not None and not self._is_reading:
            self._close = False
            close()


def open_standard_input(*, is_open: bool) -> Descriptor:
    """Return standard input. *is_open* is whether the process was given one. Raises SourceUnreadable."""
    if not is_open:
        raise SourceUnreadable(
            "standard input is closed", "there is nothing to read", "pipe the data in, or name a file"
        )
    return Descriptor(0, "standard input")


def widen_pipe(descriptor: int) -> None:
    """Let a pipe hold 1 MiB where the system allows it: a sixteenth of the wake-ups. Nothing else changes."""
    if fcntl is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # no pipe, or the user's share of pipe memory is used up
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_SIZE)


def read_failed(name: str, exc: OSError) -> ObsupError:
    """Return the error for a read of *name* that failed."""
    why = os.strerror(exc.errno or errno.EIO)
    if exc.errno in (errno.EBADF, errno.EISDIR, errno.EINVAL):
        return SourceUnreadable(f"{name} cannot be read", why, "pipe the data in, or name a file")
    return LocalFailure(f"reading {name} failed", why, "look at where the data comes from, then run it again")

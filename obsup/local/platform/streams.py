"""Wait for the bytes of pipes, terminals and other descriptors."""

from __future__ import annotations

import contextlib
import os
import sys

if sys.platform == "win32":
    import io
    import stat
    import time

    from obsup.local.platform import windows_api

    # How often to look whether a pipe has bytes: Windows has no call that waits for that.
    _FIRST_POLL_S, _POLL_S = 0.0005, 0.01

    def wait_readable(descriptor: int, timeout_s: float) -> bool:
        """Return whether *descriptor* has bytes, or its end, within *timeout_s*. Anything but a pipe always has."""
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return True
        end_s, pause_s = time.monotonic() + timeout_s, _FIRST_POLL_S
        while windows_api.bytes_in_pipe(descriptor) == 0:
            if time.monotonic() >= end_s:
                return False
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _POLL_S)
        return True

    def read_into(descriptor: int, view: memoryview) -> int:
        """Read into *view*; return how many bytes, 0 at the end. Raises OSError."""
        with contextlib.suppress(BrokenPipeError):  # all writers have closed it
            return io.FileIO(descriptor, closefd=False).readinto(view) or 0
        return 0

    def enlarge_pipe(_descriptor: int, _size: int) -> None:
        """Do nothing: the buffer of a pipe has the size that it was created with."""

else:
    import select

    def wait_readable(descriptor: int, timeout_s: float) -> bool:
        """Return whether *descriptor* has bytes, or its end, within *timeout_s*."""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def read_into(descriptor: int, view: memoryview) -> int:
        """Read into *view*; return how many bytes, 0 at the end. Raises OSError."""
        return os.readv(descriptor, [view])

    def enlarge_pipe(descriptor: int, size: int) -> None:
        """Enlarge the buffer of a pipe to *size* bytes, if the system allows it."""
        import fcntl

        if hasattr(fcntl, "F_SETPIPE_SZ"):  # Linux
            with contextlib.suppress(OSError):  # not a pipe, or the user's limit of pipe memory is reached
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, size)

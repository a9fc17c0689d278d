"""Send on sockets without waiting, and see how much is still to be sent."""

from __future__ import annotations

import os
import socket
import struct
import sys
from contextlib import suppress
from typing import Any

_LINGER = "hh" if sys.platform == "win32" else "ii"


def reset_on_close(sock: Any, is_reset: bool) -> None:
    """Let close() and the end of the process discard what is still to be sent; otherwise the system sends it later."""
    with suppress(OSError):
        plain = getattr(sock, "socket", sock)  # of urllib3's TLS within TLS
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, is_reset, 0))


if sys.platform == "win32":
    HAS_SENDFILE = False

    def send_now(sock: socket.socket, view: memoryview) -> int:
        """Send what there is room for, and return how many bytes. Raises BlockingIOError without room, OSError."""
        timeout_s = sock.gettimeout()
        if timeout_s == 0:
            return sock.send(view)
        sock.settimeout(0)
        try:
            return sock.send(view)
        finally:
            sock.settimeout(timeout_s)

    def send_file(_sock: int, _file: int, _position: int, _count: int) -> int:
        """Raise OSError: only HAS_SENDFILE systems have it."""
        raise OSError

    def unsent_bytes(_sock: Any) -> int:
        """Return 0: Windows does not tell how many bytes the other end has not acknowledged."""
        return 0

else:
    import array

    HAS_SENDFILE = True
    _SO_NWRITE = 0x1024  # of macOS; Python has no name for it

    def send_now(sock: socket.socket, view: memoryview) -> int:
        """Send what there is room for, and return how many bytes. Raises BlockingIOError without room, OSError.

        Unlike sock.send(), this does not poll before each call and does not release the GIL for that.
        """
        return os.write(sock.fileno(), view)

    def send_file(sock: int, file: int, position: int, count: int) -> int:
        """Let the kernel send *count* bytes of a file from *position*; return how many it sent. Raises OSError."""
        return os.sendfile(sock, file, position, count)

    def unsent_bytes(sock: Any) -> int:
        """Return how many bytes the other end has not acknowledged; 0 if the system cannot tell."""
        import fcntl
        import termios

        count = array.array("i", [0])
        try:
            if sys.platform == "darwin":
                return int(sock.getsockopt(socket.SOL_SOCKET, _SO_NWRITE))
            fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, count)
        except OSError:
            return 0
        return count[0]

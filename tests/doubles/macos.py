"""obsup as on a Mac, as far as Linux can show it: ``python -m tests.doubles.macos ARGUMENTS``.

Before obsup is imported, functions that macOS lacks are removed, and others get the arguments and the answers that they
have there. Each call of F_FULLFSYNC and of sendfile adds a line to the file $OBSUP_TEST_MACOS_CALLS.
"""

from __future__ import annotations

import asyncio  # noqa: F401 - this and the next ones choose functions by sys.platform when they are imported
import builtins
import errno
import fcntl
import io
import multiprocessing.connection  # noqa: F401
import os
import select
import shutil  # noqa: F401
import signal
import socket
import ssl
import stat
import subprocess  # noqa: F401
import sys
import termios
import types
from collections.abc import Callable
from typing import Any

F_FULLFSYNC, SO_NWRITE = 51, 0x1024
# Only in Linux, or on a Mac in later versions of Python than the oldest that obsup supports.
ABSENT: tuple[tuple[object, tuple[str, ...]], ...] = (
    (os, ("waitid", "waitid_result", "sched_getaffinity", "posix_fadvise", "copy_file_range", "splice")),
    (os, ("memfd_create", "pipe2", "getrandom", "getxattr", "listxattr", "O_DIRECT", "O_TMPFILE", "O_PATH")),
    (signal, ("sigwaitinfo", "sigtimedwait", "SIGPWR", "SIGSTKFLT", "SIGRTMIN", "SIGRTMAX")),
    (fcntl, ("F_OFD_GETLK", "F_OFD_SETLK", "F_OFD_SETLKW", "F_SETPIPE_SZ", "F_GETPIPE_SZ", "F_ADD_SEALS")),
    (select, ("epoll",)),
    (socket, ("TCP_USER_TIMEOUT", "TCP_INFO", "SO_PEERCRED", "AF_PACKET")),
)
# Folders that System Integrity Protection and the privacy settings close, even for root.
PROTECTED = "Library/Mail"


def record(call: str) -> None:
    """Add a line to the file of calls, if there is one."""
    if path := os.environ.get("OBSUP_TEST_MACOS_CALLS"):
        with io.open(path, "a") as file:  # noqa: UP020 - not the replaced one
            file.write(f"{call}\n")


def closed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *function*, for which /proc and /sys do not exist, and protected folders cannot be read."""

    def call(path: Any = ".", *arguments: Any, **named: Any) -> Any:
        text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        if text.startswith(("/proc/", "/sys/")):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), text)
        if PROTECTED in text:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), text)
        return function(path, *arguments, **named)

    return call


def full_fsync(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return fcntl, with F_FULLFSYNC; a file system of the network does not have it."""

    def call(descriptor: Any, command: int, argument: Any = 0) -> Any:
        if command != F_FULLFSYNC:
            return function(descriptor, command, argument)
        if os.environ.get("OBSUP_TEST_MACOS_DISK") == "network":
            record("F_FULLFSYNC failed")
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        record("F_FULLFSYNC")
        os.fsync(descriptor)
        return 0

    return call


def mac_sendfile(function: Callable[..., int]) -> Callable[..., int]:
    """Return sendfile with the arguments of BSD; it sends regular files to sockets only, and to the end for 0 bytes."""

    def call(
        out_fd: int,
        in_fd: int,
        offset: int,
        count: int,
        headers: Any = (),
        trailers: Any = (),
        flags: int = 0,
    ) -> int:
        assert count > 0
        if not stat.S_ISSOCK(os.fstat(out_fd).st_mode):
            raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))
        if not stat.S_ISREG(os.fstat(in_fd).st_mode):
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        record("sendfile")
        return function(out_fd, in_fd, offset, count)

    return call


def mac_ioctl(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ioctl, which does not know what a socket has not sent."""

    def call(descriptor: Any, request: int, *arguments: Any) -> Any:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        if request == termios.TIOCOUTQ and stat.S_ISSOCK(os.fstat(number).st_mode):
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return function(descriptor, request, *arguments)

    return call


def become_mac() -> None:
    """Change this process. What is imported from now on sees a Mac."""
    real_ioctl = fcntl.ioctl

    def getsockopt(self: socket.socket, level: int, option: int, *arguments: int) -> Any:
        if (level, option) == (socket.SOL_SOCKET, SO_NWRITE):
            unsent = real_ioctl(self.fileno(), termios.TIOCOUTQ, bytes(4))
            return int.from_bytes(unsent, sys.byteorder)
        return super(socket.socket, self).getsockopt(level, option, *arguments)

    for module, names in ABSENT:
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    for module, name, change in (
        *((os, name, closed) for name in ("open", "scandir", "listdir")),
        *((module, "open", closed) for module in (io, builtins)),
        (os, "sendfile", mac_sendfile),
        (fcntl, "fcntl", full_fsync),
        (fcntl, "ioctl", mac_ioctl),
    ):
        setattr(module, name, change(getattr(module, name)))
    vars(fcntl)["F_FULLFSYNC"] = F_FULLFSYNC
    socket.socket.getsockopt = getsockopt  # type: ignore[method-assign, assignment]
    # The proxies and the certificates of the system.
    for name, content in (
        ("_scproxy", {"_get_proxies": dict, "_get_proxy_settings": dict}),
        ("truststore", {"SSLContext": ssl.SSLContext}),
    ):
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(content)
    sys.platform = "darwin"


if __name__ == "__main__":
    become_mac()
    sys.argv[0] = "obsup"
    from obsup.__main__ import main

    sys.exit(main())

"""Read files that decide what obsup does, but only if no other user can have written them.

In a folder that others can write, such as /tmp, anybody can create a file under the name of a checkpoint. A file is
trusted if its owner is this user or root (with sudo also the user who ran sudo) and if no other user can write it.
Symbolic links are not followed, because obsup creates none.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path


class UntrustedFile(Exception):
    """Another user can have written the file. The text is the reason: "it belongs to user eve (uid 1001)"."""


def open_own(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open the file at *path* and return its descriptor. Raises UntrustedFile, OSError.

    If *flags* create it, it has mode 0600.
    """
    for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"):
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as exc:
        reason = distrust_path(path)
        if reason and exc.errno in (errno.ELOOP, errno.EMLINK, errno.EACCES, errno.EPERM):
            raise UntrustedFile(reason) from exc
        raise
    status = os.fstat(descriptor)
    reason = distrust(status)
    if not reason and stat.S_ISREG(status.st_mode):
        return descriptor
    os.close(descriptor)
    if reason:
        raise UntrustedFile(reason)
    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def read_own(path: Path, max_bytes: int) -> bytes:
    """Return the first *max_bytes* bytes of the file at *path*. Raises UntrustedFile, OSError."""
    with os.fdopen(open_own(path), "rb") as file:
        return file.read(max_bytes)


def distrust_path(path: Path) -> str:
    """Return why the file at *path* is not trusted; "" if it is trusted or does not exist."""
    try:
        status = path.lstat()
    except OSError:
        return ""
    reason = distrust(status)
    if not reason and status.st_uid != _user() and not os.access(path, os.R_OK):
        return f"it belongs to {_owner(status.st_uid)} and cannot be read"
    return reason


def distrust(status: os.stat_result) -> str:
    """Return why a file with this *status* is not trusted; "" if it is trusted."""
    if sys.platform == "win32":
        return ""
    if stat.S_ISLNK(status.st_mode):
        return f"it is a symbolic link of {_owner(status.st_uid)}"
    if not is_trusted_owner(status.st_uid):
        return f"it belongs to {_owner(status.st_uid)}"
    if stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"other users can write it (mode {stat.S_IMODE(status.st_mode):04o})"
    return ""


def exposure(status: os.stat_result, path: Path) -> str:
    """Return how other users can use the secret file at *path*; "" if only this user can read it, or it is a pipe."""
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode) or not mode & 0o077 or _is_mounted_secret(status, path):
        return ""
    return f"other users can read it (mode {mode:04o})"


def _is_mounted_secret(status: os.stat_result, path: Path) -> bool:
    """Return whether root provides the file and this process cannot change it, as orchestrators mount secrets."""
    if status.st_uid != 0 or status.st_mode & 0o022:
        return False
    try:
        return os.geteuid() != 0 or bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def is_trusted_owner(user: int) -> bool:
    """Return whether the user with this id may decide what obsup does: this user or root.

    With sudo, the user who ran it controls this process anyway. Windows has no such ids.
    """
    trusted, invoking = {0, _user()}, os.environ.get("SUDO_UID", "")
    if _user() == 0 and invoking.isascii() and invoking.isdigit():
        trusted.add(int(invoking))
    return sys.platform == "win32" or user in trusted


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _owner(user: int) -> str:
    """Return the owner for a message."""
    try:
        import pwd

        return f"user {pwd.getpwuid(user).pw_name} (uid {user})"
    except (ImportError, KeyError, OSError):
        return f"uid {user}"

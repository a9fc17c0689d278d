"""Read files that decide what obsup does, but only if no other user can have written them.

In a folder that others can write, such as /tmp, anybody can create a file under the name of a checkpoint. A file is
trusted if its owner is this user or root (with sudo also the user who ran sudo) and if no other user can write it.
Symbolic links are not followed, because obsup creates none.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from obsup.local.platform.files import NO_WAIT, open_file
from obsup.local.platform.owners import distrust, is_own, owner_name


class UntrustedFile(Exception):
    """Another user can have written the file. The text is the reason: "it belongs to user eve (uid 1001)"."""


def open_own(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open the file at *path* and return its descriptor. Raises UntrustedFile, OSError.

    If *flags* create it, it has mode 0600.
    """
    try:
        descriptor = open_file(str(path), flags | NO_WAIT, private=True, follow=False)
    except OSError as exc:
        reason = distrust_path(path)
        if reason and exc.errno in (errno.ELOOP, errno.EMLINK, errno.EACCES, errno.EPERM):
            raise UntrustedFile(reason) from exc
        raise
    status = os.fstat(descriptor)
    reason = distrust(status, descriptor)
    if not reason and stat.S_ISREG(status.st_mode):
        return descriptor
    os.close(descriptor)
    if reason:
        raise UntrustedFile(reason)
    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


def read_own(path: Path, max_bytes: int) -> bytes:
    """Return the first *max_bytes* bytes of the file at *path*. Raises UntrustedFile, OSError."""
    with os.fdopen(open_own(path), "rb") as file:
        # Python allocates all that it may read.
        return file.read(min(max_bytes, os.fstat(file.fileno()).st_size))


def distrust_path(path: Path) -> str:
    """Return why the file at *path* is not trusted; "" if it is trusted or does not exist."""
    try:
        status = path.lstat()
    except OSError:
        return ""
    reason = distrust(status, str(path))
    if not reason and not is_own(status.st_uid) and not os.access(path, os.R_OK):
        return f"it belongs to {owner_name(status.st_uid)} and cannot be read"
    return reason

"""Read a whole file of limited size: settings, keys, lists and records, whatever its path names."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import NamedTuple

from obsup.local.platform.files import NO_WAIT, open_file
from obsup.local.platform.owners import distrust
from obsup.local.platform.streams import wait_readable

# The writer of a pipe, for example a program in <(…), may ask a person for a password first.
PIPE_TIMEOUT_S = 60.0
_BLOCK_BYTES = 65536


class FileContent(NamedTuple):
    """The content of a file, and its owner, mode and kind when it was read."""

    data: bytes
    status: os.stat_result

    @property
    def is_regular(self) -> bool:
        """Whether it can be read again: not a pipe or a device."""
        return stat.S_ISREG(self.status.st_mode)

    def distrust(self, path: Path) -> str:
        """Return why the file at *path* is not trusted; "" if it is trusted, or not a regular file."""
        return distrust(self.status, str(path)) if self.is_regular else ""


def read_content(
    path: Path, max_bytes: int, *, allow_pipe: bool = False, pipe_timeout_s: float = PIPE_TIMEOUT_S
) -> FileContent:
    """Return the content of the regular file at *path*; with *allow_pipe* also that of a pipe or a device.

    Raises OSError: also for a directory, for more than *max_bytes* bytes, and if the writer of a pipe sends nothing for
    *pipe_timeout_s* seconds.
    """
    descriptor = open_file(str(path), os.O_RDONLY | NO_WAIT)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode) and not allow_pipe:
            raise OSError(errno.EINVAL, "It is not a regular file", str(path))
        content = bytearray()
        while block := _read(descriptor, status, path, pipe_timeout_s):
            content += block
            if len(content) > max_bytes:
                raise OSError(errno.EFBIG, f"It has more than {max_bytes} bytes", str(path))
        return FileContent(bytes(content), status)
    finally:
        os.close(descriptor)


def _read(descriptor: int, status: os.stat_result, path: Path, timeout_s: float) -> bytes:
    is_pipe = stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode)
    if is_pipe and not wait_readable(descriptor, timeout_s):
        raise TimeoutError(errno.ETIMEDOUT, f"Nothing was written to it for {timeout_s:g} s", str(path))
    return os.read(descriptor, _BLOCK_BYTES)

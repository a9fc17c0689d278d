"""Open, replace and identify files."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import _ScandirIterator as ScandirIterator

# Opens a pipe without waiting for its writer.
NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)

if sys.platform == "win32":
    import stat

    from obsup.local.platform import windows_api
    from obsup.local.platform.paths import exact

    # How long to wait for another program that has a file open, which Windows does not replace or remove then.
    IN_USE_TIMEOUT_S = 5.0
    _POLL_S = 0.02
    # What a status has besides its ten numbers, except when it changed.
    _NAMED = (
        *("st_atime", "st_mtime", "st_atime_ns", "st_mtime_ns"),
        *("st_file_attributes", "st_reparse_tag"),
    )
    # ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION.
    _IN_USE = (32, 33)
    _JUNCTION = stat.IO_REPARSE_TAG_MOUNT_POINT

    def open_file(path: str, flags: int, *, private: bool = False, follow: bool = True) -> int:
        """Open the file at *path* with *flags* of ``os.open``, in binary mode, and return its descriptor.

        Others may read, write, rename and remove the file while it is open. Only this user, administrators and the
        system can use a new file that is *private*. Unless *follow*, a link at the end of *path* is an error.
        Raises OSError: with the text of Windows, for example if another program does not share the file.
        """
        return windows_api.open_file(path, flags, private=private, follow=follow)

    def replace(source: str, target: str) -> None:
        """Give the file *source* the name *target*, also while another program reads the old *target*.

        Waits for up to IN_USE_TIMEOUT_S for a program that does not share the file. Raises OSError.
        """
        _repeat_while_in_use(lambda: windows_api.rename(source, target))

    def remove(path: str) -> None:
        """Remove the file, if it exists. Raises OSError, after IN_USE_TIMEOUT_S if another program has it open."""
        with contextlib.suppress(FileNotFoundError):
            _repeat_while_in_use(lambda: os.unlink(exact(path)))  # noqa: PTH108

    def touch(path: str) -> None:
        """Set the times of the file at *path* to now, not of what a link leads to. Raises OSError."""
        if not os.path.islink(exact(path)):  # noqa: PTH114
            os.utime(exact(path))

    def sync_file(descriptor: int) -> None:
        """Write the content of the open file to the disk. Raises OSError."""
        os.fsync(descriptor)

    def make_private(_descriptor: int) -> None:
        """Do nothing: the open file keeps the access list that it was created with."""

    def sync_folder(_folder: str) -> None:
        """Do nothing: Windows has no call that writes only the names of a folder to the disk."""

    def stat_path(path: str, *, follow: bool = True) -> os.stat_result:
        """Return the status of the file at *path*; ``st_ctime_ns`` is when it changed last. Raises OSError."""
        status = os.stat(exact(path), follow_symlinks=follow)  # noqa: PTH116
        if not stat.S_ISREG(status.st_mode):  # a device has no such time
            return status
        return _with_change_time(status, windows_api.change_time_ns(path, follow=follow))

    def stat_open(descriptor: int) -> os.stat_result:
        """Return the status of the open file; ``st_ctime_ns`` is when it changed last. Raises OSError."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return status
        return _with_change_time(status, windows_api.change_time_ns(descriptor))

    def stat_entry(entry: os.DirEntry[str], *, follow: bool) -> os.stat_result:
        """Return the status of an entry of a folder; its own has no volume and no number of the file."""
        return stat_path(entry.path, follow=follow)

    def scan(path: str) -> ScandirIterator[str]:
        """Return the entries of a folder, whose path may be longer than 260 characters. Raises OSError."""
        return os.scandir(exact(path))

    def explain(exc: OSError) -> str:
        """Return why a file cannot be used, without a full stop."""
        if getattr(exc, "winerror", None) in _IN_USE:
            return "Another program has it open and does not share it: close it there first"
        return os.strerror(exc.errno or errno.EIO)

    def is_link(entry: os.DirEntry[str]) -> bool:
        """Return whether an entry of a folder is a symbolic link or a junction."""
        return entry.is_symlink() or entry.stat(follow_symlinks=False).st_reparse_tag == _JUNCTION

    def _with_change_time(status: os.stat_result, change_time_ns: int) -> os.stat_result:
        """Return *status*, whose times of change are those of creation in this Python."""
        named = {name: getattr(status, name) for name in _NAMED}
        times = {"st_ctime_ns": change_time_ns, "st_ctime": change_time_ns / 1e9}
        return os.stat_result(tuple(status), named | times)

    def _repeat_while_in_use(action: Callable[[], object]) -> None:
        end_s = time.monotonic() + IN_USE_TIMEOUT_S
        while True:
            try:
                action()
            except PermissionError:  # "access denied" stands for a file that is open as well
                if time.monotonic() >= end_s:
                    raise
                time.sleep(_POLL_S)
            else:
                return

else:

    def open_file(path: str, flags: int, *, private: bool = False, follow: bool = True) -> int:
        """Open the file at *path* with *flags* of ``os.open`` and return its descriptor. Raises OSError.

        A new file has mode 0600 if it is *private*. Unless *follow*, a link at the end of *path* is an error.
        """
        flags |= os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        if not flags & os.O_CREAT:
            return os.open(path, flags)
        return os.open(path, flags, 0o600 if private else 0o666)

    def replace(source: str, target: str) -> None:
        """Give the file *source* the name *target*, atomically. Raises OSError."""
        os.replace(source, target)  # noqa: PTH105

    def remove(path: str) -> None:
        """Remove the file, if it exists. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108

    def touch(path: str) -> None:
        """Set the times of the file at *path* to now, not of what a link leads to. Raises OSError."""
        os.utime(path, follow_symlinks=False)

    def sync_file(descriptor: int) -> None:
        """Write the content of the open file to the disk. Raises OSError."""
        if sys.platform == "darwin":
            import fcntl

            with contextlib.suppress(OSError):  # a network file system
                fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # fsync leaves it in the cache of the disk
                return
        os.fsync(descriptor)

    def make_private(descriptor: int) -> None:
        """Let only this user read and write the open file. Raises OSError."""
        os.fchmod(descriptor, 0o600)

    def sync_folder(folder: str) -> None:
        """Write the names in *folder* to the disk. Raises OSError."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def stat_path(path: str, *, follow: bool = True) -> os.stat_result:
        """Return the status of the file at *path*. Raises OSError."""
        return os.stat(path, follow_symlinks=follow)  # noqa: PTH116 - a Path per file would dominate a walk

    def stat_open(descriptor: int) -> os.stat_result:
        """Return the status of the open file. Raises OSError."""
        return os.fstat(descriptor)

    def stat_entry(entry: os.DirEntry[str], *, follow: bool) -> os.stat_result:
        """Return the status of an entry of a folder. Raises OSError."""
        return entry.stat(follow_symlinks=follow)

    def scan(path: str) -> ScandirIterator[str]:
        """Return the entries of a folder. Raises OSError."""
        return os.scandir(path)

    def explain(exc: OSError) -> str:
        """Return why a file cannot be used, without a full stop."""
        why = os.strerror(exc.errno or errno.EIO)
        if sys.platform == "darwin" and exc.errno == errno.EPERM:
            return f"{why}: macOS may require that the program that runs obsup has Full Disk Access (System Settings)"
        return why

    def is_link(entry: os.DirEntry[str]) -> bool:
        """Return whether an entry of a folder is a symbolic link."""
        return entry.is_symlink()

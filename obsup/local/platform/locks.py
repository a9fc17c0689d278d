"""Locks of the kernel on open files: shared or exclusive, and released when the process ends."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import contextlib
    import time

    from obsup.local.platform import windows_api
    from obsup.local.platform.windows_api import lock_byte, open_file

    # How long to try to open a file that another process is removing.
    _OPEN_TIMEOUT_S, _POLL_S = 2.0, 0.01
    # A lock of Windows also forbids others to read and write what is locked: here, a byte behind the end of any file.
    _OFFSET = 2**62

    def try_lock_byte(descriptor: int, offset: int, *, shared: bool) -> bool:
        """Return whether the byte at *offset* of the open file is locked now; do not wait. Raises OSError."""
        return lock_byte(descriptor, offset, shared=shared, wait=False)

    def unlock_byte(descriptor: int, offset: int) -> None:
        """Release the lock of the byte. Raises OSError."""
        windows_api.unlock_byte(descriptor, offset)

    def try_lock(descriptor: int) -> bool:
        """Return whether the open file is locked now; do not wait. Raises OSError."""
        return lock_byte(descriptor, _OFFSET, shared=False, wait=False)

    def wait_for_lock(descriptor: int) -> bool:
        """Wait for the exclusive lock of the open file, and return True. Raises OSError."""
        return lock_byte(descriptor, _OFFSET, shared=False, wait=True)

    def give_to_owner(_descriptor: int, _folder: str) -> None:
        """Do nothing: administrators may use the files of a user, and have their own folders."""

    def open_lock(path: str, *, create: bool) -> int:
        """Open the file of a lock, which cannot be removed while it is open. Raises OSError, FileNotFoundError."""
        end_s = time.monotonic() + _OPEN_TIMEOUT_S
        flags = os.O_RDWR | (os.O_CREAT if create else 0)
        while True:
            try:
                return open_file(path, flags, private=True, follow=False, removable=False)
            except PermissionError:
                if time.monotonic() >= end_s:
                    raise
                time.sleep(_POLL_S)

    def close_lock(descriptor: int, path: str, *, remove: bool) -> None:
        """Release the lock. *remove* the file too, unless another process has it open: that one will."""
        os.close(descriptor)
        if remove:
            with contextlib.suppress(OSError):
                os.unlink(path)  # noqa: PTH108

    def lock_file_of(path: str) -> str:
        """Return the file to lock for *path*: one next to it, because an open file cannot be replaced."""
        return path if path.endswith(".lock") else f"{path}.lock"

else:
    import fcntl
    import stat
    import struct

    from obsup.local.platform.files import open_file
    from obsup.local.platform.files import remove as remove_file

    def try_lock_byte(descriptor: int, offset: int, *, shared: bool) -> bool:
        """Return whether the byte at *offset* of the open file is locked now; do not wait. Raises OSError."""
        try:
            _set_lock(descriptor, fcntl.F_RDLCK if shared else fcntl.F_WRLCK, offset)
        except (BlockingIOError, PermissionError):  # both mean that another process has it
            return False
        return True

    def unlock_byte(descriptor: int, offset: int) -> None:
        """Release the lock of the byte. Raises OSError."""
        _set_lock(descriptor, fcntl.F_UNLCK, offset)

    def _set_lock(descriptor: int, kind: int, offset: int) -> None:
        """Set the lock of one byte to *kind*. Raises OSError.

        On Linux it belongs to the open file. Elsewhere it belongs to the process, and ends when the process closes any
        descriptor of the file, for example of a batch that sends the folder of the locks.
        """
        if sys.platform == "linux":
            lock = struct.pack("hhqqi", kind, os.SEEK_SET, offset, 1, 0)
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
        else:
            locks = {fcntl.F_RDLCK: fcntl.LOCK_SH, fcntl.F_WRLCK: fcntl.LOCK_EX}
            command = locks[kind] | fcntl.LOCK_NB if kind in locks else fcntl.LOCK_UN
            fcntl.lockf(descriptor, command, 1, offset)

    def try_lock(descriptor: int) -> bool:
        """Return whether the open file is locked now; do not wait. Raises OSError.

        Unlike that of a byte, this lock stays if the process opens and closes the file elsewhere.
        """
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait_for_lock(descriptor: int) -> bool:
        """Wait for the exclusive lock of the open file, and return True. Raises OSError."""
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return True

    def give_to_owner(descriptor: int, folder: str) -> None:
        """Give an empty file that root created to the owner of its *folder*, who could not open it. Raises OSError.

        A file with another name or with content is not what obsup created.
        """
        owner, file = os.stat(folder), os.fstat(descriptor)  # noqa: PTH116
        is_new = stat.S_ISREG(file.st_mode) and (file.st_nlink, file.st_size) == (1, 0)
        if os.geteuid() == 0 and is_new and file.st_uid != owner.st_uid:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def open_lock(path: str, *, create: bool) -> int:
        """Open the file of a lock. Raises OSError, FileNotFoundError."""
        return open_file(path, os.O_RDWR | (os.O_CREAT if create else 0), private=True, follow=False)

    def close_lock(descriptor: int, path: str, *, remove: bool) -> None:
        """Release the lock. *remove* the file too, which only an exclusive holder may do."""
        if remove:
            remove_file(path)
        os.close(descriptor)

    def lock_file_of(path: str) -> str:
        """Return the file to lock for *path*: the file itself."""
        return path


def is_current(descriptor: int, path: str) -> bool:
    """Return whether the open file is still the one at *path*: another process may have removed or replaced it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))  # noqa: PTH116 - a Path per lock costs too much
    except FileNotFoundError:
        return False

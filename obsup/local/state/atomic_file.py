"""Replace a file atomically: at any time the old or the new content is there, complete."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from obsup.local.platform.files import open_file, replace, sync_file, sync_folder
from obsup.local.platform.owners import distrust, is_trusted_owner
from obsup.local.state.checkpoint_path import short_digest
from obsup.local.state.folders import is_special


class AtomicFile:
    """A temporary file in the folder of *path* that replaces *path* on ``commit``; a device or a pipe is written to.

    A symbolic link at *path* is replaced, not followed. The new file has mode 0600 if *is_private*, otherwise the mode
    of the file that it replaces, or that of any new file if the old one belongs to another user. As a context manager
    it commits at the end of the block and discards after an exception. All methods raise OSError, whose ``filename``
    is *path*; the temporary file is removed then, and the old file stays.
    """

    def __init__(self, path: Path, *, is_private: bool = True) -> None:
        self._path = path
        self._temporary: Path | None = None
        if is_special(path):
            self._file = path.open("wb")
            return
        temporary = path.parent / (temporary_prefix(path) + os.urandom(4).hex())  # "." has no name
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            descriptor = open_file(str(temporary), flags, private=is_private)
        except OSError as exc:
            raise self._named(exc) from exc
        self._file = os.fdopen(descriptor, "wb")
        self._temporary = temporary
        if not is_private:
            self._keep_mode(temporary)

    @property
    def closed(self) -> bool:
        """Whether it was committed or discarded."""
        return self._file.closed

    def distrust(self) -> str:
        """Return why the new file would not be trusted: the owner or the rights that the file system gives it."""
        descriptor = self._file.fileno()
        return distrust(os.fstat(descriptor), descriptor)

    def write(self, data: bytes) -> None:
        """Append *data* to the new content."""
        try:
            self._file.write(data)
        except OSError as exc:
            self.discard()
            raise self._named(exc) from exc

    def commit(self) -> None:
        """Write the new content to the disk and give it the name of the old one."""
        try:
            self._file.flush()
            if self._temporary is None:
                self._file.close()
                return
            sync_file(self._file.fileno())
            self._file.close()
            replace(str(self._temporary), str(self._path))
        except OSError as exc:
            self.discard()
            raise self._named(exc) from exc
        # Some network file systems cannot sync a folder. A power failure can then undo this write, nothing more.
        with contextlib.suppress(OSError):
            sync_folder(str(self._path.parent))

    def discard(self) -> None:
        """Remove the temporary file; the old file stays."""
        with contextlib.suppress(OSError):
            self._file.close()  # writes what is buffered, so it can fail on a full disk
        if self._temporary is not None:
            with contextlib.suppress(OSError):
                self._temporary.unlink()

    def __enter__(self) -> AtomicFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_exception: object) -> None:
        if kind is not None:
            self.discard()
        elif not self.closed:
            self.commit()

    def _keep_mode(self, temporary: Path) -> None:
        with contextlib.suppress(OSError):  # no old file, or its owner is another user
            old = self._path.lstat()
            if stat.S_ISREG(old.st_mode) and is_trusted_owner(old.st_uid):
                temporary.chmod(old.st_mode & 0o777)

    def _named(self, exc: OSError) -> OSError:
        return OSError(exc.errno, exc.strerror, str(self._path))


def write_atomically(path: Path, data: bytes, *, is_private: bool = True) -> None:
    """Replace the file at *path* by one with *data*, as an ``AtomicFile``. Raises OSError."""
    with AtomicFile(path, is_private=is_private) as file:
        file.write(data)


def temporary_prefix(path: Path) -> str:
    """Return how the names of the temporary files for *path* begin; a killed process leaves one behind."""
    return f".{path.name[:100]}.{short_digest(os.fsencode(path.name))}."


def writing_advice(exc: OSError) -> str:
    """Return what lets a file be written after *exc*."""
    if exc.errno == errno.EFBIG:
        return "raise the limit of the size of a file (ulimit -f)"
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free disk space"
    return "create its folder" if exc.errno == errno.ENOENT else "make it writable"

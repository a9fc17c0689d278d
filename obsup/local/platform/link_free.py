"""Find a file without following symbolic links, although others may replace files and folders by links at any time."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from obsup.local.platform.files import open_file, stat_open, stat_path

if sys.platform == "win32":
    from obsup.local.platform import windows_api
    from obsup.local.platform.paths import with_slashes

    def open_link_free(path: str, count: int, flags: int) -> int:
        """Open *path* with *flags*; the last *count* names in it must not be links or junctions. Raises OSError."""
        descriptor = open_file(path, flags)
        if count and _names(windows_api.final_path(descriptor), count) != _names(path, count):
            os.close(descriptor)
            raise OSError(errno.ELOOP, "It is reached through a link", path)
        return descriptor

    def stat_link_free(path: str, count: int) -> os.stat_result:
        """Return the status of *path*; the last *count* names in it must not be links or junctions. Raises OSError."""
        if not count:
            return stat_path(path)
        descriptor = open_link_free(path, count, os.O_RDONLY)
        try:
            return stat_open(descriptor)
        finally:
            os.close(descriptor)

    def _names(path: str, count: int) -> list[str]:
        return with_slashes(path).casefold().rsplit("/", count)[1:]

else:

    def open_link_free(path: str, count: int, flags: int) -> int:
        """Open *path* with *flags*; the last *count* names in it must not be symbolic links. Raises OSError."""
        if not count:
            return open_file(path, flags)
        with _open_folder(path, count) as (folder, name):
            return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)

    def stat_link_free(path: str, count: int) -> os.stat_result:
        """Return the status of *path*; the last *count* names in it must not be symbolic links. Raises OSError."""
        if not count:
            return stat_path(path)
        with _open_folder(path, count) as (folder, name):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        return found

    @contextmanager
    def _open_folder(path: str, count: int) -> Iterator[tuple[int, str]]:
        """Open the folder of *path*, each of the last *count* names from the one before; yield it and the last name."""
        names = path.rsplit("/", count)
        base = (names.pop(0) or "/") if len(names) > count else "."
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        folder = os.open(base, flags)
        try:
            for name in names[:-1]:
                inner = os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            yield folder, names[-1]
        finally:
            os.close(folder)

"""A lock on a file itself, while it is read and replaced."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from obsup.local.platform.locks import close_lock, is_current, lock_file_of, open_lock, wait_for_lock


@contextmanager
def lock_file(path: str) -> Iterator[None]:
    """Wait for the lock on the existing file at *path*, and hold it; nothing is locked if its file system has no locks.

    Raises FileNotFoundError.
    """
    file, descriptor = lock_file_of(path), None
    try:
        while descriptor is None:
            os.stat(path)  # noqa: PTH116 - raises FileNotFoundError
            descriptor = open_locked(file, wait_for_lock, create=file != path)
    except FileNotFoundError:
        raise
    except OSError:
        pass
    try:
        yield
    finally:
        if descriptor is not None:
            close_lock(descriptor, file, remove=file != path)


def open_locked(file: str, lock: Callable[[int], bool], *, create: bool) -> int | None:
    """Return the descriptor of *file*, locked by *lock*; None if another holder has it, or has removed or replaced it.

    Raises OSError.
    """
    descriptor = open_lock(file, create=create)
    is_acquired = False
    try:
        is_acquired = lock(descriptor) and is_current(descriptor, file)
    finally:
        if not is_acquired:
            os.close(descriptor)
    return descriptor if is_acquired else None

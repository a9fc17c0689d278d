"""Kernel locks, released when their process ends: one obsup per upload, or several that send parts of it."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import TracebackType

from obsup.errors import NO_DESCRIPTOR, Busy, LocalFailure, NextStep, run_again, too_many_files
from obsup.local.platform.locks import (
    close_lock,
    is_current,
    lock_file_of,
    open_lock,
    try_lock,
    wait_for_lock,
)
from obsup.local.state.folders import can_use_private_folder, state_folder, temporary_folder
from obsup.model import Target

# is_held takes the lock for an instant. For this long, a lock that is held does not count as another run.
GRACE_S = 0.3
POLL_S = 0.05
WAIT_POLL_S = 0.2


@lru_cache(maxsize=64)
def target_hash(target: Target) -> str:
    """Return 64 hex digits that identify *target*: endpoint, bucket and key."""
    text = "\n".join((target.endpoint, target.bucket, target.key))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def lock_folder() -> Path | None:
    """Return the folder of locks, which exists; None if no folder can be written, for example in a container."""
    for root in (state_folder(), temporary_folder()):
        folder = root / "locks"
        if can_use_private_folder(folder):
            return folder
    return None


def no_locks() -> str:
    """Return the note for an upload that is not locked, because ``lock_folder`` found no folder."""
    return (
        f"nothing is locked, because {state_folder()} cannot be written: run only one upload of a target at a time, "
        "or set OBSUP_STATE_DIR to a folder that you can write"
    )


def lock_path(folder: str, target: Target, part: tuple[str, int] | None = None) -> str:
    """Return the path in *folder* of the file that exists while *target*, or a *part* of its upload, is locked."""
    name = target_hash(target)
    if part is not None:
        name = hashlib.sha256(f"{name}\n{part[0]}\n{part[1]}".encode("utf-8", "surrogateescape")).hexdigest()
    return f"{folder}/{name[:32]}.lock"


class FileLock:
    """A lock on a file: exclusive, or shared with others that share it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = lock_file_of(self._path)
        self._descriptor: int | None = None

    def try_acquire(self, *, shared: bool = False) -> bool:
        """Create the file if it is missing and return whether the lock was acquired; do not wait.

        Raises OSError, also if the file system has no locks.
        """
        return self._lock(True, lambda descriptor: try_lock(descriptor, shared=shared))

    def wait(self) -> None:
        """Wait until the lock on the existing file is acquired. Raises OSError, FileNotFoundError."""
        is_apart = self._file != self._path
        if is_apart:
            os.stat(self._path)  # noqa: PTH116 - raises FileNotFoundError
        while not self._lock(is_apart, wait_for_lock):
            pass

    def _lock(self, create: bool, acquire: Callable[[int], bool]) -> bool:
        descriptor = open_lock(self._file, create=create)
        try:
            # Between open and lock, another holder may have removed or replaced the file.
            is_acquired = acquire(descriptor) and is_current(descriptor, self._file)
        except BaseException:
            os.close(descriptor)
            raise
        if not is_acquired:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self, *, remove: bool = False) -> None:
        """Release the lock. *remove* the file too, which only an exclusive holder may do."""
        if self._descriptor is None:
            return
        close_lock(self._descriptor, self._file, remove=remove or self._file != self._path)
        self._descriptor = None


class UploadLock:
    """Locks the upload of a target inside a ``with``: exclusively, or *shared* with others that send its parts.

    *part*, an upload id and a part number, locks only this part of the upload. Raises Busy if another process holds the
    lock and *wait* is false, or if *is_stopped* returns true during the wait. *on_wait* is called when the wait begins.
    *folder* is what ``lock_folder`` returned, for callers that take many. Without a folder nothing is locked, and
    *note* is called with the text of ``no_locks``.
    """

    def __init__(
        self,
        target: Target,
        *,
        shared: bool = False,
        part: tuple[str, int] | None = None,
        wait: bool = False,
        is_stopped: Callable[[], bool] = lambda: False,
        on_wait: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        folder: Path | None = None,
        note: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._target = target
        self._what = f"at work on {target}" if part is None else f"sending part {part[1]} of {target}"
        self._shared = shared
        self._wait = wait
        self._is_stopped = is_stopped
        self._on_wait = on_wait
        self._monotonic = monotonic
        self._note = note
        folder = folder or lock_folder()
        self._lock = FileLock(lock_path(str(folder), target, part)) if folder is not None else None

    def __enter__(self) -> UploadLock:
        if self._lock is None:
            self._note(no_locks())
            return self
        started_s, is_waiting = self._monotonic(), False
        while not self._try_acquire(self._lock):
            if is_waiting or self._monotonic() - started_s >= GRACE_S:
                if not self._wait or self._is_stopped():
                    raise Busy(
                        f"another obsup is {self._what}",
                        "Two at a time would send parts twice, or complete an upload that is still being sent",
                        run_again("wait for it to end", add=("--if-running", "wait")),
                    )
                if not is_waiting:
                    self._on_wait()
                is_waiting = True
            time.sleep(WAIT_POLL_S if is_waiting else POLL_S)
        return self

    def _try_acquire(self, lock: FileLock) -> bool:
        try:
            return lock.try_acquire(shared=self._shared)
        except OSError as exc:
            if exc.errno in NO_DESCRIPTOR:
                raise too_many_files(f"no lock can be taken for {self._target}") from exc
            raise LocalFailure(
                f"no lock can be taken for {self._target}",
                os.strerror(exc.errno or errno.EIO),
                NextStep("set OBSUP_STATE_DIR to a folder on a local disk"),
            ) from exc

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.release(remove=not self._shared)


def is_held(target: Target) -> bool:
    """Return whether an obsup on this machine holds the lock of *target*."""
    folder = lock_folder()
    if folder is None:
        return False
    lock = FileLock(lock_path(str(folder), target))
    if not lock.try_acquire():
        return True
    lock.release(remove=True)
    return False

"""Kernel locks, released when their process ends: one obsup per upload, or several that send parts of it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable
from functools import cache, lru_cache, partial
from pathlib import Path

from obsup.errors import NO_DESCRIPTOR, Busy, LocalFailure, NextStep, run_again, too_many_files
from obsup.local.files.file_lock import open_locked
from obsup.local.files.own_file import distrust_path
from obsup.local.platform.locks import (
    close_lock,
    give_to_owner,
    is_current,
    open_lock,
    try_lock,
    try_lock_byte,
    unlock_byte,
)
from obsup.local.platform.processes import call_within
from obsup.local.state.folders import can_use_private_folder, is_special, state_folder, temporary_folder
from obsup.model import Target
from obsup.text import quoted

# is_held takes the lock for an instant. For this long, a lock that is held does not count as another run.
GRACE_S = 0.3
POLL_S, WAIT_POLL_S = 0.05, 0.2
# In the folder of locks.
LOCK_FILE = "uploads"
# 60 bits: every file system can lock such an offset, and no two targets have the same.
_OFFSET_DIGITS = 15
_EXCLUSIVE = -1
# The lock service of a network file system that does not respond would block for ever.
MAX_RESPONSE_S = 5.0
# Storage without locks, a folder that this user cannot use, and a path that no file can have.
_WITHOUT_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})
_UNUSABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_IMPOSSIBLE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG})
# The name of a checkpoint and this is that of the lock beside it.
SUFFIX = ".upload.lock"
TWICE = "Two at a time would send parts twice, or complete an upload that is still being sent"
ONE_AT_A_TIME = "run only one upload of a target at a time"
ELSEWHERE = "It runs on another machine, or with another state directory, and has the same checkpoint"


@lru_cache(maxsize=64)
def target_hash(target: Target) -> str:
    """Return 64 hex digits that identify *target*: endpoint, bucket and key."""
    text = "\n".join((target.endpoint, target.bucket, target.key))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def lock_folder() -> Path | None:
    """Return the folder of locks, which exists; None if no folder can be written, for example in a container."""
    for find_root in (state_folder, temporary_folder):
        folder = find_root() / "locks"
        if can_use_private_folder(folder):
            return folder
    return None


def lock_files() -> list[Path]:
    """Return the file whose bytes are locked, if there is one: on some systems, reading it ends the locks."""
    folder = lock_folder()
    return [folder / LOCK_FILE] if folder is not None else []


def no_locks() -> str:
    """Return the note for an upload that is not locked, because ``lock_folder`` found no folder."""
    return (
        f"nothing is locked, because {state_folder()} cannot be written: {ONE_AT_A_TIME}, "
        "or set OBSUP_STATE_DIR to a folder that you can write"
    )


def _lock_offset(target: Target, part: tuple[str, int] | None) -> int:
    """Return the byte of the lock file that stands for *target*, or for a *part* of its upload."""
    name = target_hash(target)
    if part is not None:
        name = hashlib.sha256(f"{name}\n{part[0]}\n{part[1]}".encode("utf-8", "surrogateescape")).hexdigest()
    return int(name[:_OFFSET_DIGITS], 16)


class _ByteLocks:
    """Locks on single bytes of the empty file at *path*, which all processes share. Thread-safe.

    A file per lock would be created and removed for each upload, which costs more than to send a small file. The
    locks of all threads are on one open file, so those of this process are counted here.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._descriptor: int | None = None
        self._held: dict[int, int] = {}  # how many share the byte, or _EXCLUSIVE

    def try_acquire(self, offset: int, *, shared: bool) -> bool:
        """Return whether the byte at *offset* was locked; do not wait.

        Raises OSError, also if the file system has no locks.
        """
        with self._guard:
            count = self._held.get(offset, 0)
            if count:
                if not shared or count == _EXCLUSIVE:
                    return False
                self._held[offset] = count + 1
                return True
            if not try_lock_byte(self._open(), offset, shared=shared):
                return False
            self._held[offset] = 1 if shared else _EXCLUSIVE
            return True

    def release(self, offset: int) -> None:
        """Release a lock that ``try_acquire`` acquired."""
        with self._guard:
            count = self._held.pop(offset)
            if count > 1:
                self._held[offset] = count - 1
            elif self._descriptor is not None:
                unlock_byte(self._descriptor, offset)

    def _open(self) -> int:
        """Return the descriptor of the file, opened again if the file was removed while nothing was locked."""
        if self._descriptor is not None and not self._held and not is_current(self._descriptor, self._path):
            os.close(self._descriptor)
            self._descriptor = None
        if self._descriptor is None:
            # Never closed while a byte is locked: that ends all locks of the file.
            self._descriptor = open_lock(self._path, create=True)
            give_to_owner(self._descriptor, os.path.dirname(self._path))  # noqa: PTH120
        return self._descriptor


@cache
def _locks_of_process(folder: Path, _pid: int) -> _ByteLocks:
    return _ByteLocks(str(folder / LOCK_FILE))


def _locks_in(folder: Path) -> _ByteLocks:
    return _locks_of_process(folder, os.getpid())  # a forked process opens the file itself


def lock_beside(checkpoint: Path) -> Path | None:
    """Return the path of the lock of *checkpoint*; None for a device, and if the file there is not obsup's."""
    path = Path(f"{checkpoint}{SUFFIX}")
    if not checkpoint.name or is_special(checkpoint) or distrust_path(path):
        return None
    try:
        found = path.lstat()
    except OSError:
        return path
    return path if stat.S_ISREG(found.st_mode) and not found.st_size else None


class CheckpointLock:
    """The lock of an upload beside its checkpoint, on storage that other machines may share.

    Storage without locks, a folder that this user cannot use, and a file that is not obsup's lock nothing, and the
    upload continues. After any other failure *note* is called, and it continues, too. Other threads are not excluded.
    """

    def __init__(self, checkpoint: Path, note: Callable[[str], object] = lambda _: None) -> None:
        path = lock_beside(checkpoint)
        self._path = str(path) if path is not None else None
        self._note = note
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """Return False if another process holds the lock."""
        if self._path is None:
            return True
        try:
            return call_within(MAX_RESPONSE_S, partial(self._acquire, self._path))
        except OSError as exc:
            if exc.errno not in _WITHOUT_LOCKS | _UNUSABLE | _IMPOSSIBLE:
                self._note(f"{quoted(Path(self._path))} cannot be locked ({exc.strerror}): {ONE_AT_A_TIME}")
            return True

    def _acquire(self, path: str) -> bool:
        self._descriptor = open_locked(path, try_lock, create=True)
        if self._descriptor is not None:
            _held_beside.add(self)
        return self._descriptor is not None

    def release(self) -> None:
        """Release the lock and remove its file, unless another one has replaced it."""
        descriptor, path, self._descriptor = self._descriptor, self._path, None
        _held_beside.discard(self)
        if descriptor is not None and path is not None:
            with contextlib.suppress(OSError):
                close_lock(descriptor, path, remove=is_current(descriptor, path))


_held_beside: set[CheckpointLock] = set()


def release_beside() -> None:
    """Release the locks beside checkpoints, whose files would stay: for a process that ends at once."""
    for lock in list(_held_beside):
        lock.release()


class UploadLock:
    """Locks the upload of a target inside a ``with``: exclusively, or *shared* with others that send its parts.

    *part*, an upload id and a part number, locks only this part of the upload. Raises Busy if another process holds the
    lock and *wait* is false, or if *is_stopped* returns true during the wait. *on_wait* is called when the wait begins.
    *folder* is what ``lock_folder`` returned, for callers that take many. Without a folder nothing is locked, and
    *note* is called with the text of ``no_locks``. With *checkpoint*, processes on other machines that have the same
    checkpoint are locked out, too.
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
        folder: Path | None = None,
        note: Callable[[str], object] = lambda _: None,
        checkpoint: Path | None = None,
    ) -> None:
        self._target = target
        self._part = part
        self._shared = shared
        self._wait = wait
        self._is_stopped = is_stopped
        self._on_wait = on_wait
        self._note = note
        folder = folder or lock_folder()
        self._locks = _locks_in(folder) if folder is not None else None
        self._offset = _lock_offset(target, part)
        self._elsewhere = CheckpointLock(checkpoint, note) if checkpoint is not None else None
        self._why = TWICE

    def __enter__(self) -> UploadLock:
        if self._locks is None:
            self._note(no_locks())
        started_s, is_waiting = time.monotonic(), False
        while not self._try_acquire():
            if is_waiting or time.monotonic() - started_s >= GRACE_S:
                if not self._wait or self._is_stopped():
                    part = f"sending part {self._part[1]} of" if self._part is not None else "at work on"
                    raise Busy(
                        f"another obsup is {part} {self._target}",
                        self._why,
                        run_again("wait for it to end", add=("--if-running", "wait")),
                    )
                if not is_waiting:
                    self._on_wait()
                is_waiting = True
            time.sleep(WAIT_POLL_S if is_waiting else POLL_S)
        return self

    def _try_acquire(self) -> bool:
        if self._locks is not None and not _try_here(self._locks, self._offset, self._target, self._shared):
            self._why = TWICE
            return False
        self._why, is_acquired = ELSEWHERE, False
        try:
            is_acquired = self._elsewhere is None or self._elsewhere.try_acquire()
        finally:  # also after an interrupt of the wait for a lock service
            if not is_acquired and self._locks is not None:
                self._locks.release(self._offset)
        return is_acquired

    def __exit__(self, *_exception: object) -> None:
        if self._elsewhere is not None:
            self._elsewhere.release()
        if self._locks is not None:
            self._locks.release(self._offset)


def _try_here(locks: _ByteLocks, offset: int, target: Target, shared: bool) -> bool:
    """Return whether the byte that stands for *target* was locked. Raises LocalFailure."""
    try:
        return locks.try_acquire(offset, shared=shared)
    except OSError as exc:
        if exc.errno in NO_DESCRIPTOR:
            raise too_many_files(f"no lock can be taken for {target}") from exc
        raise LocalFailure(
            f"no lock can be taken for {target}",
            os.strerror(exc.errno or errno.EIO),
            NextStep("set OBSUP_STATE_DIR to a folder of yours on a local disk"),
        ) from exc


def is_held(target: Target, checkpoint: Path | None = None) -> bool:
    """Return whether an obsup on this machine, or one with the same *checkpoint* elsewhere, has locked *target*.

    Also if that cannot be determined. Raises LocalFailure.
    """
    folder = lock_folder()
    if folder is None:
        return False
    locks, offset = _locks_in(folder), _lock_offset(target, None)
    if not _try_here(locks, offset, target, shared=False):
        return True
    try:
        return checkpoint is not None and _is_held_elsewhere(checkpoint)
    finally:
        locks.release(offset)


def _is_held_elsewhere(checkpoint: Path) -> bool:
    if not os.path.lexists(f"{checkpoint}{SUFFIX}"):
        return False
    failures: list[str] = []
    lock = CheckpointLock(checkpoint, failures.append)
    is_acquired = lock.try_acquire()
    lock.release()
    return bool(failures) or not is_acquired

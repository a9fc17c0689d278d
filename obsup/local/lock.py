"""One obsup at a time for each upload: a kernel lock, gone with the process that holds it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from obsup.errors import Busy, LocalFailure
from obsup.local.folders import make_private, state_folder, temporary_folder
from obsup.model import Target


def target_hash(target: Target) -> str:
    """Return 64 hex digits that stand for *target*: endpoint, bucket and key."""
    text = "\n".join((target.endpoint, target.bucket, target.key))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def lock_folder() -> Path:
    """Return the folder of locks, made. Raises LocalFailure where none can be written."""
    for root in (state_folder(), temporary_folder()):
        folder = root / "locks"
        if make_private(folder):
            return folder
    raise LocalFailure(
        "no lock can be taken",
        f"neither {state_folder()} nor {temporary_folder()} can be written",
        "name a writable folder in OBSUP_STATE_DIR",
    )


def is_held(target: Target) -> bool:
    """Return whether an obsup on this machine works on *target* at this moment."""
    lock = FileLock(lock_folder() / f"{target_hash(target)[:32]}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


class UploadLock:
    """Holds the upload of a target while inside a ``with``.

    Raises Busy where another process holds it and *wait* is false. While waiting, *stopped* is asked often.
    """

    def __init__(
        self, target: Target, *, wait: bool = False, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        self._target = target
        self._wait = wait
        self._stopped = stopped
        self._lock = FileLock(lock_folder() / f"{target_hash(target)[:32]}.lock")

    def __enter__(self) -> UploadLock:
        while True:
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                if not self._wait or self._stopped():
                    raise Busy(
                        f"another obsup is sending {self._target}",
                        "two runs at once would send each part twice",
                        "wait for it to end, or use --if-running wait",
                    ) from None
                time.sleep(0.2)
            else:
                return self

    def __exit__(self, *_exc: object) -> None:
        self._lock.release()

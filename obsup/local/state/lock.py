"""Kernel locks, gone with the process that holds them: one obsup at a time for an upload, or several for its parts."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from obsup.errors import Busy, LocalFailure
from obsup.local.state.folders import make_private, state_folder, temporary_folder
from obsup.model import Target

# A look at whether an upload is live holds its lock for an instant: that must not pass for another run.
GRACE_S = 0.3
POLL_S = 0.05
WAIT_S = 0.2


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


def lock_path(folder: str, target: Target) -> str:
    """Return the file in *folder* that is there while *target* is held."""
    return f"{folder}/{target_hash(target)[:32]}.lock"


if sys.platform == "win32":
    from filelock import FileLock, Timeout

    class FileHold:
        """Holds a lock on a file. Windows has no shared one here: it is exclusive."""

        def __init__(self, path: Path) -> None:
            self._lock = FileLock(path.with_name(path.name + ".lock"))

        def take(self, *, shared: bool = False) -> bool:  # noqa: ARG002 - the same method everywhere
            """Take the lock now; return whether it could be had."""
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                return False
            return True

        def wait(self) -> None:
            """Take the lock once it can be had."""
            self._lock.acquire()

        def free(self, *, remove: bool = False) -> None:  # noqa: ARG002 - Windows removes no open file
            """Let the lock go."""
            self._lock.release()

else:
    import fcntl

    class FileHold:
        """Holds a lock on a file, made where it is not there: alone, or *shared* with others who share."""

        def __init__(self, path: Path) -> None:
            self._path = path
            self._descriptor: int | None = None

        def take(self, *, shared: bool = False) -> bool:
            """Take the lock now; return whether it could be had. Raises OSError, also where there are no locks."""
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            return self._hold(os.O_CREAT, kind | fcntl.LOCK_NB)

        def wait(self) -> None:
            """Take the lock on a file that is there, once it can be had. Raises OSError, FileNotFoundError."""
            while not self._hold(0, fcntl.LOCK_EX):
                pass

        def _hold(self, creation: int, kind: int) -> bool:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | creation, 0o600)
            try:
                fcntl.flock(descriptor, kind)
                # Between open and lock, another holder may have removed or replaced the file.
                is_still_there = os.path.samestat(os.fstat(descriptor), self._path.stat())
            except (BlockingIOError, FileNotFoundError):
                is_still_there = False
            except BaseException:
                os.close(descriptor)
                raise
            if not is_still_there:
                os.close(descriptor)
                return False
            self._descriptor = descriptor
            return True

        def free(self, *, remove: bool = False) -> None:
            """Let the lock go. *remove* the file too, which only one who holds it alone may do."""
            if self._descriptor is None:
                return
            if remove:
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None


class UploadLock:
    """Holds the upload of a target while inside a ``with``: alone, or *shared* with others that send parts of it.

    Raises Busy where another process holds it and *wait* is false. While waiting, *stopped* is asked often;
    *waiting* is called when the wait begins.
    """

    def __init__(
        self,
        target: Target,
        *,
        shared: bool = False,
        wait: bool = False,
        stopped: Callable[[], bool] = lambda: False,
        waiting: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._shared = shared
        self._wait = wait
        self._stopped = stopped
        self._waiting = waiting
        self._monotonic = monotonic
        self._hold = FileHold(Path(lock_path(str(lock_folder()), target)))

    def __enter__(self) -> UploadLock:
        begun, late = self._monotonic(), False
        while not self._take():
            was_late, late = late, self._monotonic() - begun >= GRACE_S
            if late and (not self._wait or self._stopped()):
                raise Busy(
                    f"another obsup is at work on {self._target}",
                    "two at once would send parts twice, or assemble what is still being sent",
                    "wait for it to end, or use --if-running wait",
                )
            if late and not was_late:
                self._waiting()
            time.sleep(WAIT_S if late else POLL_S)
        return self

    def _take(self) -> bool:
        try:
            return self._hold.take(shared=self._shared)
        except OSError as exc:
            raise LocalFailure(
                f"no lock can be taken for {self._target}",
                os.strerror(exc.errno or errno.EIO),
                "name a folder on a local disk in OBSUP_STATE_DIR",
            ) from exc

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hold.free(remove=not self._shared)


def is_held(target: Target) -> bool:
    """Return whether an obsup on this machine works on *target* at this moment."""
    hold = FileHold(Path(lock_path(str(lock_folder()), target)))
    if not hold.take():
        return True
    hold.free(remove=True)
    return False

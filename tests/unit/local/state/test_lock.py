"""Locks: exclusive or shared, released when their process ends, and without leftover files."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from obsup.errors import Busy, LocalFailure
from obsup.local.state.lock import FileLock, UploadLock, is_held, lock_folder
from obsup.model import Target

TARGET = Target("obs", "https://obs.eu-de.otc.t-systems.com", "bucket", "key")
OTHER = Target("obs", "https://obs.eu-de.otc.t-systems.com", "bucket", "other")


@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, False)],
)
def test_only_shared_locks_can_be_held_together(first: bool, second: bool, fits: bool) -> None:
    """Parts share the lock; an upload, a complete or an abort needs it exclusively."""
    with UploadLock(TARGET, shared=first):
        if fits:
            with UploadLock(TARGET, shared=second):
                assert is_held(TARGET)
        else:
            with pytest.raises(Busy) as caught, UploadLock(TARGET, shared=second):
                pass
            assert (caught.value.exit_code, caught.value.retryable) == (75, True)
        with UploadLock(OTHER):
            pass


def test_is_held_does_not_disturb() -> None:
    """It takes the lock for an instant; another process that wants it then still gets it."""
    assert not is_held(TARGET)
    with UploadLock(TARGET):
        assert is_held(TARGET)
    assert not is_held(TARGET)
    lock = FileLock(str(folder() / "x.lock"))
    assert lock.try_acquire()
    lock.release(remove=True)


def folder() -> Path:
    """Return the folder of locks."""
    found = lock_folder()
    assert found is not None
    return found


def test_lock_files_are_removed() -> None:
    """A million keys do not leave a million files."""
    with UploadLock(TARGET), UploadLock(OTHER):
        assert len(list(folder().iterdir())) == 2
    assert list(folder().iterdir()) == []


def test_a_removed_file_is_not_locked(tmp_path: Path) -> None:
    """A process that opened the file before its removal would hold a lock that no other process can see."""
    first, second, third = (FileLock(str(tmp_path / "file")) for _ in range(3))
    assert first.try_acquire()
    first.release(remove=True)
    assert second.try_acquire()
    assert not third.try_acquire()
    assert not third.try_acquire(shared=True)
    second.release()
    assert third.try_acquire()
    third.release()


def test_a_file_replaced_between_open_and_lock_is_not_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock would be on a file without a name, and two processes would hold the upload."""
    path = tmp_path / "file"
    flock = fcntl.flock

    def race(descriptor: int, kind: int) -> None:
        path.unlink()
        path.touch()
        flock(descriptor, kind)

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", race)
        assert not FileLock(str(path)).try_acquire()
    lock = FileLock(str(path))
    assert lock.try_acquire()
    lock.release()


def test_a_killed_process_holds_no_lock(home: Path) -> None:
    """The kernel releases it."""
    program = (
        "from obsup.local.state.lock import UploadLock\n"
        "from obsup.model import Target\n"
        f"with UploadLock({TARGET!r}):\n"
        "    print('held', flush=True)\n"
        "    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert is_held(TARGET)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not is_held(TARGET)


def test_the_wait_ends_on_a_stop() -> None:
    """A signal or a deadline ends it."""
    with UploadLock(TARGET), pytest.raises(Busy), UploadLock(TARGET, wait=True, is_stopped=lambda: True):
        pass


def test_a_file_system_without_locks_is_an_error_with_a_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system without a lock service."""

    def refuse(_descriptor: int, _kind: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with (
        pytest.raises(LocalFailure, match="no lock can be taken for bucket/key") as caught,
        UploadLock(TARGET),
    ):
        pass
    assert "OBSUP_STATE_DIR" in str(caught.value.next_step)

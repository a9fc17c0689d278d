"""Kernel locks: alone or shared, gone with their holder, and no file left behind."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from obsup.errors import Busy, LocalFailure
from obsup.local.state.lock import FileHold, UploadLock, is_held, lock_folder
from obsup.model import Target

TARGET = Target("obs", "https://obs.eu-de.otc.t-systems.com", "bucket", "key")
OTHER = Target("obs", "https://obs.eu-de.otc.t-systems.com", "bucket", "other")


@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [(True, True, True), (True, False, False), (False, True, False), (False, False, False)],
)
def test_parts_share_and_nobody_else(first: bool, second: bool, fits: bool) -> None:
    """An upload, a complete or an abort is alone."""
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


def test_a_look_is_not_another_run() -> None:
    """is_held takes the lock for an instant, and whoever wants it then gets it all the same."""
    assert not is_held(TARGET)
    with UploadLock(TARGET):
        assert is_held(TARGET)
    assert not is_held(TARGET)
    hold = FileHold(next(iter([lock_folder() / "x.lock"])))
    assert hold.take()
    hold.free(remove=True)


def test_no_file_is_left() -> None:
    """A million keys leave no million files."""
    with UploadLock(TARGET), UploadLock(OTHER):
        assert len(list(lock_folder().iterdir())) == 2
    assert list(lock_folder().iterdir()) == []


def test_a_lock_on_a_removed_file_is_none(tmp_path: Path) -> None:
    """Whoever has opened the file before it went would hold a lock that nobody sees."""
    first, second, third = (FileHold(tmp_path / "file") for _ in range(3))
    assert first.take()
    first.free(remove=True)
    assert second.take()
    assert not third.take()
    assert not third.take(shared=True)
    second.free()
    assert third.take()
    third.free()


def test_a_file_replaced_between_open_and_lock_is_not_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock would be on a file that nobody can open any more, and two would hold the upload."""
    path = tmp_path / "file"
    flock = fcntl.flock

    def race(descriptor: int, kind: int) -> None:
        path.unlink()
        path.touch()
        flock(descriptor, kind)

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", race)
        assert not FileHold(path).take()
    hold = FileHold(path)
    assert hold.take()
    hold.free()


def test_a_killed_holder_holds_nothing(home: Path) -> None:
    """The kernel takes the lock back."""
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


def test_waiting_ends_when_it_is_to_stop() -> None:
    """A signal or a deadline comes first."""
    with UploadLock(TARGET), pytest.raises(Busy), UploadLock(TARGET, wait=True, stopped=lambda: True):
        pass


def test_where_no_lock_can_be_taken_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
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

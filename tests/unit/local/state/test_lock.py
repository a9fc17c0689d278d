"""Locks: exclusive or shared, released when their process ends, and without leftover files."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from obsup.errors import Busy, LocalFailure
from obsup.local.files.file_lock import lock_file
from obsup.local.state.lock import LOCK_FILE, CheckpointLock, UploadLock, is_held, lock_folder
from obsup.model import Target

ROOT = Path(__file__).parents[4]
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


def folder() -> Path:
    """Return the folder of locks."""
    found = lock_folder()
    assert found is not None
    return found


def test_all_locks_are_in_one_file() -> None:
    """A million keys do not leave a million files, and no file is created and removed for each."""
    with UploadLock(TARGET), UploadLock(OTHER):
        assert [path.stat().st_size for path in folder().iterdir()] == [0]


def hold_in_process(*, shared: bool, part: tuple[str, int] | None = None) -> subprocess.Popen[str]:
    """Return a process that holds a lock of TARGET until its standard input ends."""
    program = (
        "import sys\n"
        "from obsup.local.state.lock import UploadLock\n"
        "from obsup.model import Target\n"
        f"with UploadLock({TARGET!r}, shared={shared}, part={part!r}):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("shared", [False, True])
def test_a_lock_of_another_process(home: Path, shared: bool) -> None:
    """It is for one target, and two share it only if both want that; another lock that ends does not end it."""
    with hold_in_process(shared=shared), UploadLock(OTHER):
        assert is_held(TARGET)
        with pytest.raises(Busy), UploadLock(TARGET):
            pass
        with UploadLock(OTHER, shared=True, part=("id", 1)), UploadLock(TARGET, part=("id", 1)):
            pass
        if shared:
            with UploadLock(TARGET, shared=True), UploadLock(TARGET, shared=True):
                pass
        assert is_held(TARGET)
    with UploadLock(TARGET):
        pass


def test_parts_in_one_process_keep_the_lock_until_the_last_ends(home: Path) -> None:
    """The kernel counts one lock per process."""
    program = (
        "from obsup.local.state.lock import is_held\n"
        "from obsup.model import Target\n"
        f"print(is_held({TARGET!r}))\n"
    )

    def is_held_elsewhere() -> str:
        return subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout

    with UploadLock(TARGET, shared=True):
        with UploadLock(TARGET, shared=True):
            pass
        assert is_held_elsewhere() == "True\n"
    assert is_held_elsewhere() == "False\n"


def test_a_removed_lock_file_is_created_again(home: Path) -> None:
    """A lock in a file without a name would be seen by no other process."""
    with UploadLock(OTHER):
        pass
    (folder() / LOCK_FILE).unlink()
    with UploadLock(TARGET), hold_in_process(shared=False, part=("id", 1)):
        with pytest.raises(Busy), UploadLock(TARGET, part=("id", 1)):
            pass
        assert (folder() / LOCK_FILE).exists()


def test_a_file_replaced_between_open_and_lock_is_locked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first lock would be on a file without a name, and two processes would write a checkpoint."""
    path = tmp_path / "file"
    path.touch()
    flock = fcntl.flock
    locked: list[int] = []

    def race(descriptor: int, kind: int) -> None:
        if not locked:
            path.unlink()
            path.touch()
        flock(descriptor, kind)
        locked.append(os.fstat(descriptor).st_ino)

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", race)
        with lock_file(str(path)):
            assert len(locked) == 2
            assert locked[-1] == path.stat().st_ino


def test_a_killed_process_holds_no_lock(home: Path) -> None:
    """The kernel releases it."""
    with hold_in_process(shared=False) as process:
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

    def refuse(*_arguments: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.fcntl", refuse)
    with (
        pytest.raises(LocalFailure, match="no lock can be taken for bucket/key") as caught,
        UploadLock(TARGET),
    ):
        pass
    assert "OBSUP_STATE_DIR" in str(caught.value.next_step)
    with pytest.raises(LocalFailure):
        is_held(TARGET)


def test_locks_outlive_a_look_at_their_file() -> None:
    """A batch may read the folder of the locks, for example as a part of the home directory."""
    script = (
        "import sys; from tests.unit.local.state.test_lock import *; print(is_held(TARGET), is_held(OTHER))"
    )
    with UploadLock(TARGET), UploadLock(OTHER, shared=True):
        (folder() / LOCK_FILE).read_bytes()
        command = [sys.executable, "-Bc", script]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "True True\n"


def test_the_lock_file_belongs_to_the_owner_of_its_folder() -> None:
    """If root runs obsup with the state directory of a user, this user can lock afterwards."""
    if os.geteuid() == 0:
        os.chown(folder(), 65534, 65534)
    with UploadLock(TARGET):
        assert (folder() / LOCK_FILE).stat().st_uid == folder().stat().st_uid


def test_a_lock_file_with_another_name_keeps_its_owner(tmp_path: Path) -> None:
    """It may be a link to a file of root."""
    (tmp_path / "of root").touch()
    (folder() / LOCK_FILE).unlink(missing_ok=True)
    (folder() / LOCK_FILE).hardlink_to(tmp_path / "of root")
    if os.geteuid() == 0:
        os.chown(folder(), 65534, 65534)
    with UploadLock(TARGET):
        assert (tmp_path / "of root").stat().st_uid == os.geteuid()


def test_the_lock_beside_a_checkpoint_outlives_a_look_at_it(tmp_path: Path) -> None:
    """A batch that walks over it opens and closes it, which would end the lock of a byte."""
    lock = CheckpointLock(tmp_path / "state.json")
    assert lock.try_acquire()
    (tmp_path / "state.json.upload.lock").read_bytes()
    script = (
        "import pathlib, sys; from obsup.local.state.lock import CheckpointLock; "
        "print(CheckpointLock(pathlib.Path(sys.argv[1])).try_acquire())"
    )
    command = [sys.executable, "-Bc", script, str(tmp_path / "state.json")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
    lock.release()
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"


def test_a_folder_as_a_checkpoint_locks_nothing() -> None:
    """Writing the checkpoint reports it."""
    assert CheckpointLock(Path()).try_acquire()


def test_a_lock_that_fails_for_another_reason_is_noted(tmp_path: Path) -> None:
    """The upload continues, and gc takes it for one that may run."""
    script = (
        "import os, resource, sys; from pathlib import Path; from tests.unit.local.state.test_lock import *\n"
        "checkpoint = Path(sys.argv[1])\n"
        "assert not is_held(TARGET, checkpoint)  # and removes the file\n"
        "Path(f'{checkpoint}.upload.lock').touch()\n"
        "lowest_free = os.dup(0); os.close(lowest_free)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        "with UploadLock(TARGET, checkpoint=checkpoint, note=print):\n"
        "    pass\n"
        "print(is_held(TARGET, checkpoint))\n"
    )
    command = [sys.executable, "-Bc", script, str(tmp_path / "state.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    note, held = done.stdout.splitlines()
    assert "state.json.upload.lock cannot be locked (Too many open files): run only one upload" in note
    assert held == "True"

"""Files that obsup writes are private, and are never written through a link that another user placed. Runs as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from obsup.local.state.folders import can_use_private_folder, is_special
from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import make_files
from tests.support.shell import Shell

pytestmark = pytest.mark.slow

OTHER_USER = 1001
MakeFile = Callable[..., Path]


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user can write, outside of the private folders of pytest."""
    path = Path(tempfile.mkdtemp(prefix="obsup-shared-"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of this user that another user wants to have overwritten."""
    path = tmp_path / "victim"
    path.write_text("precious")
    path.chmod(0o644)
    return path


def run_as_other(*words: str | Path) -> None:
    """Run a command as another user."""
    subprocess.run([str(word) for word in words], user=OTHER_USER, group=OTHER_USER, check=True)


def mode_of(path: Path) -> int:
    """Return the permission bits of *path*."""
    return path.stat().st_mode & 0o7777


def test_a_log_is_not_written_through_a_link_of_another_user(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, shared: Path, victim: Path
) -> None:
    """Exit 78 before anything is sent; nor does a pipe of another user stop the command."""
    make_file(1000)
    run_as_other("ln", "-s", victim, shared / "log")
    run_as_other("mkfifo", shared / "pipe")
    for name in ("log", "pipe"):
        outcome = shell.run("upload", "bigfile", "bucket/key", "--log-file", shared / name)
        assert outcome.code == 78
        assert f"uid {OTHER_USER}" in outcome.err
    assert (victim.read_text(), mode_of(victim)) == ("precious", 0o644)
    assert sandbox.requests == []


def test_a_log_behind_an_own_link_keeps_its_mode(
    shell: Shell, make_file: MakeFile, shared: Path, victim: Path
) -> None:
    """A link of this user is followed, as the shell's >> does."""
    make_file(1000)
    (shared / "log").symlink_to(victim)
    assert shell.run("upload", "bigfile", "bucket/key", "--log-file", shared / "log").code == 0
    assert victim.read_text().startswith("precious2")
    assert mode_of(victim) == 0o644


@pytest.mark.parametrize("kind", ["link", "pipe", "link to a pipe", "link to a device", "file"])
def test_files_of_another_user_are_replaced(
    shell: Shell, sandbox: Sandbox, shared: Path, victim: Path, kind: str
) -> None:
    """The receipt, the metrics and the list of failed files are new files, with private or usual permissions."""
    make_files(shell, "tree/a", "tree/b")
    sandbox.add_fault("error=403:AccessDenied,op=put,key=p/tree/b,times=always")
    run_as_other("mkfifo", shared / "fifo")
    for name in ("receipt", "failed", "metrics"):
        if kind == "pipe":
            run_as_other("mkfifo", shared / name)
        elif kind == "file":
            run_as_other("sh", "-c", f"umask 0; : > {shared / name}; chmod 6777 {shared / name}")
        else:
            targets = {"link": victim, "link to a pipe": shared / "fifo"}
            run_as_other("ln", "-s", targets.get(kind, Path("/dev/null")), shared / name)
    tree = shell.run(
        *("upload", "-r", "tree", "bucket/p/"),
        *("--failed-list", shared / "failed", "--metrics", shared / "metrics"),
    )
    assert tree.code == 77
    assert shell.run("upload", "tree/a", "bucket/a", "--receipt", shared / "receipt").code == 0
    assert (victim.read_text(), mode_of(victim)) == ("precious", 0o644)
    for name in ("receipt", "failed", "metrics"):
        written = shared / name
        assert (written.is_symlink(), written.is_file(), written.stat().st_uid) == (False, True, os.getuid())
        assert written.stat().st_size
        assert mode_of(written) & 0o7022 == 0
    assert mode_of(shared / "receipt") == 0o600


def test_state_is_private_whatever_the_umask(
    shell: Shell, sandbox: Sandbox, home: Path, tmp_path: Path
) -> None:
    """Each folder of the state has mode 0700, and each file mode 0600."""
    make_files(shell, "tree/a", "tree/b")
    (tmp_path / "bigfile").write_bytes(bytes(300_000))
    sandbox.add_fault("error=403:AccessDenied,op=part,part=2,times=always")
    script = """
        umask 0
        mkdir -m 700 ckpt
        obsup upload bigfile bucket/key --part-size 100K --receipt no --checkpoint-dir ckpt || test $? = 77
        obsup upload -r tree bucket/p/ --log-file log
        obsup upload tree/a bucket/a --receipt receipt
        obsup config init
    """
    outcome = shell.run_script(script)
    assert outcome.code == 0, outcome.err
    written = [*home.rglob("*"), tmp_path / "log", tmp_path / "receipt"]
    assert {path.name for path in written} >= {"uploads", "batches", "config.toml"}
    assert {str(path): oct(mode_of(path)) for path in written if mode_of(path) & 0o077} == {}


def test_a_state_folder_of_an_older_version_is_made_private(tmp_path: Path) -> None:
    """It was created with the umask of its user."""
    folder = tmp_path / "obsup" / "locks"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert can_use_private_folder(folder)
    assert mode_of(folder) == 0o700


def test_a_folder_behind_a_link_of_another_user_is_not_used(shared: Path, tmp_path: Path) -> None:
    """In /tmp anybody can place a link with the name of the folder for locks."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    run_as_other("ln", "-s", private, shared / "obsup-0")
    assert not can_use_private_folder(shared / "obsup-0" / "locks")
    assert list(private.iterdir()) in ([], [private / "locks"])
    (shared / "own").symlink_to(private)
    assert can_use_private_folder(shared / "own" / "state")


def test_standard_output_is_special_whoever_owns_the_pipe(tmp_path: Path) -> None:
    """With sudo, the pipe behind /dev/stdout belongs to another user."""
    reading, writing = os.pipe()
    os.fchown(writing, OTHER_USER, OTHER_USER)
    assert is_special(Path(f"/dev/fd/{writing}"))
    os.close(reading)
    os.close(writing)


@pytest.mark.slow
@pytest.mark.parametrize("owner_and_mode", [(0, 0o666), (0, 0o620), (OTHER_USER, 0o644)], ids=str)
def test_files_that_another_user_can_have_written_decide_nothing(
    owner_and_mode: tuple[int, int], shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """A configuration, an SSE-C key, a receipt: exit 78, nothing is sent, and no advice to trust the file unread."""
    make_file(200_000)
    assert shell.run("upload", "bigfile", "bucket/key", "--receipt", "receipt").code == 0
    (shell.folder / "config").write_text("[defaults]\njobs = 1\n")
    (shell.folder / "sse").write_bytes(b"k" * 32)
    owner, mode = owner_and_mode
    for name in ("receipt", "config", "sse"):
        os.chown(shell.folder / name, owner, owner)
        (shell.folder / name).chmod(mode)
    before = len(sandbox.requests)
    for words in (
        ("verify", "bigfile", "bucket/key", "--receipt", "receipt"),
        ("upload", "bigfile", "bucket/other", "--config", "config"),
        ("upload", "bigfile", "bucket/other", "--sse-c-key-file", "sse"),
    ):
        outcome = shell.run(*words)
        assert outcome.code == 78, outcome.err
        assert ("other users can write it" if owner == 0 else "it belongs to") in outcome.err
        assert "chown" not in outcome.err
    assert len(sandbox.requests) == before

"""The atomic file writer: the old or the new content, complete, and no temporary file after a failure."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pyfakefs import helpers
from pyfakefs.fake_filesystem import FakeFilesystem

from obsup.local.state.atomic_file import AtomicFile, temporary_prefix, write_atomically


def names(folder: Path) -> list[str]:
    """Return the names in *folder*."""
    return sorted(os.listdir(folder))  # noqa: PTH208 - pyfakefs fakes this one


def test_the_new_content_replaces_the_old(tmp_path: Path) -> None:
    """Nothing else is left in the folder."""
    path = tmp_path / "file"
    for data in (b"old", b"", b"new"):
        write_atomically(path, data)
        assert path.read_bytes() == data
    assert names(tmp_path) == ["file"]


def test_the_old_content_is_there_until_commit(tmp_path: Path) -> None:
    """A reader never sees half of the new content."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    file = AtomicFile(path)
    file.write(b"new")
    assert path.read_bytes() == b"old"
    file.commit()
    assert path.read_bytes() == b"new"
    assert file.closed


def test_the_content_is_on_the_disk_before_it_has_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Write to a temporary file in the same folder, fsync, rename, fsync of the folder."""
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        steps.append(
            "fsync folder" if path == tmp_path else f"fsync file in folder: {path.parent == tmp_path}"
        )
        fsync(descriptor)

    def note_replace(old: str | Path, new: str | Path) -> None:
        steps.append(f"rename to {Path(new).name}")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    write_atomically(tmp_path / "file", b"data")
    assert steps == ["fsync file in folder: True", "rename to file", "fsync folder"]


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_private_file_has_mode_0600(tmp_path: Path, umask: int) -> None:
    """Whatever the umask is, and whatever mode the old file had."""
    path = tmp_path / "file"
    before = os.umask(umask)
    try:
        write_atomically(path, b"new")
        modes = [stat.S_IMODE(path.stat().st_mode)]
        path.chmod(0o644)
        write_atomically(path, b"newer")
        modes.append(stat.S_IMODE(path.stat().st_mode))
    finally:
        os.umask(before)
    assert modes == [0o600, 0o600]


def test_a_public_file_keeps_the_mode_of_the_old_one(tmp_path: Path) -> None:
    """A new one gets the mode of any new file."""
    path = tmp_path / "file"
    before = os.umask(0o027)
    try:
        write_atomically(path, b"new", is_private=False)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        write_atomically(path, b"newer", is_private=False)
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(before)


def test_a_symbolic_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """Another user could have put it there, pointing to a file that must not be overwritten."""
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_bytes(b"precious")
    victim.chmod(0o640)
    path.symlink_to(victim)
    write_atomically(path, b"new", is_private=False)
    assert victim.read_bytes() == b"precious"
    assert not path.is_symlink()
    assert path.read_bytes() == b"new"


def test_a_failing_block_discards_the_new_content(tmp_path: Path) -> None:
    """Any exception, also one that is not an OSError."""
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupt(file: AtomicFile) -> None:
        file.write(b"half of the ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), AtomicFile(path) as file:
        interrupt(file)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_full_disk_keeps_the_old_content(fs: FakeFilesystem) -> None:
    """The error names the file itself, not the temporary one, which is removed."""
    folder, path = Path("/data"), Path("/data/file")
    fs.set_disk_usage(1_000_000)
    fs.create_dir(folder)
    write_atomically(path, b"old")
    fs.set_disk_usage(fs.get_disk_usage("/data")[1] + 100)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
        write_atomically(path, bytes(1000))
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert names(folder) == ["file"]


def test_a_full_disk_is_reported_by_a_large_write_too(fs: FakeFilesystem) -> None:
    """A write larger than the buffer fails at once, and the temporary file is removed then."""
    folder = Path("/data")
    fs.set_disk_usage(100)
    fs.create_dir(folder)
    file = AtomicFile(folder / "file")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        file.write(bytes(1_000_000))
    assert file.closed
    assert names(folder) == []


def test_a_folder_that_cannot_be_written_keeps_the_old_content(fs: FakeFilesystem) -> None:
    """The error has the reason and the name."""
    path = Path("/data/file")
    fs.create_dir("/data", perm_bits=0o555)
    helpers.set_uid(1000)
    try:
        with pytest.raises(PermissionError, match="Permission denied: '/data/file'"):
            write_atomically(path, b"new")
    finally:
        helpers.reset_ids()
    assert names(Path("/data")) == []


def test_a_folder_at_the_path_is_an_error(tmp_path: Path) -> None:
    """The rename fails; nothing is left behind."""
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "file", b"new")
    assert names(tmp_path) == ["file"]


def test_a_kill_between_write_and_rename_keeps_the_old_content(tmp_path: Path) -> None:
    """The temporary file stays behind under a name that tells which file it was for."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from obsup.local.state.atomic_file import write_atomically\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(Path(sys.argv[1]), b'new')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    left, _ = sorted(tmp_path.iterdir())
    assert left.name.startswith(temporary_prefix(path))
    assert left.read_bytes() == b"new"
    write_atomically(path, b"newer")
    assert path.read_bytes() == b"newer"

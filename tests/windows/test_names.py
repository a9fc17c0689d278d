"""Files whose names or whose use by other programs are particular to Windows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.windows.windows_machine import SCRIPTS, WindowsMachine, windows_path

pytestmark = [pytest.mark.windows, pytest.mark.xdist_group("windows")]

MakeFile = Callable[..., Path]


def make_tree(folder: Path, names: list[str]) -> None:
    """Make files whose contents are their names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def test_names_that_windows_changes(windows: WindowsMachine, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Windows drops dots and blanks at the end of names, and opens devices: a folder of another system may have both.

    Each file of a folder is sent under its name. A device that is given as SOURCE is an error.
    """
    names = ["a", "a.", "a ", "aux.txt", "NUL", "sub./b", "sub/b"]
    make_tree(windows.folder / "tree", names)
    done = windows.run("upload", "-r", "tree", "bucket/", "--json")
    assert done.code == 0, done
    sent = {name: sandbox.object_path("bucket", f"tree/{name}").read_text() for name in names}
    assert sent == {name: name for name in names}
    make_file(900_000, "tree/sub./big")
    done = windows.run("upload", "tree\\sub.\\big", "bucket/", "--part-size", "200K")
    assert (done.code, done.err) == (0, "")
    assert not [*windows.folder.rglob("*.obsup.json*")]
    device = windows.run("upload", "NUL", "bucket/key")
    assert device.code == 66, device


def test_long_paths(windows: WindowsMachine, sandbox: Sandbox, make_file: MakeFile) -> None:
    r"""More than 260 characters, with and without ``\\?\``: in a walk, for checkpoints, and for verify."""
    folder = "/".join([f"folder of a long path, number {number:03}" for number in range(9)])
    make_tree(windows.folder / "tree", [f"{folder}/small"])
    source = make_file(900_000, "big")
    source.rename(windows.folder / "tree" / folder / "big")
    done = windows.run("upload", "-r", "tree/", "bucket/", "--part-size", "200K")
    assert (done.code, done.err) == (0, "")
    path = windows_path(windows.folder / "tree" / folder / "big")
    assert len(path) > 300
    verified = windows.run("verify", path, f"bucket/{folder}/big", "--part-size", "200K")
    assert verified.code == 0, verified
    done = windows.run("upload", f"\\\\?\\{path}", "bucket/other/", "--part-size", "200K")
    assert (done.code, done.err) == (0, "")
    assert sandbox.object_metadata("bucket", "other/big").size == 900_000


def test_a_file_that_another_program_does_not_share(windows: WindowsMachine, make_file: MakeFile) -> None:
    """The message names the reason; the command in Next: works when the other program has closed the file."""
    make_file(1000)
    other = windows.start_python(windows_path(SCRIPTS / "hold_open.py"), "bigfile")
    assert other.stdout is not None
    assert other.stdout.readline().strip() == b"open"
    refused = windows.run("upload", "bigfile", "bucket/key")
    assert windows.outcome(other, b"\n").code == 0
    assert refused.code == 66, refused
    assert "Another program has it open" in refused.err
    assert windows.run("upload", "bigfile", "bucket/key").code == 0


def test_a_key_file_that_others_can_read(windows: WindowsMachine, make_file: MakeFile) -> None:
    """The command in Next: is one of Windows."""
    make_file(1000)
    key = windows.folder / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o644)  # Wine shows it to Windows programs as a right of everyone
    refused = windows.run("upload", "bigfile", "bucket/key", "--sse-c-key-file", "key")
    assert refused.code == 78, refused
    assert "icacls key /inheritance:r /grant:r" in refused.err


def test_worker_processes(windows: WindowsMachine, sandbox: Sandbox, make_file: MakeFile) -> None:
    """They are started and ended as under Linux."""
    source = make_file(900_000)
    upload = ("upload", "bigfile", "bucket/key", "--parts", "8", "--executor", "processes", "-j", "2")
    done = windows.run(*upload)
    assert (done.code, done.err) == (0, "")
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()

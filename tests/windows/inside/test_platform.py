"""Files as obsup opens, replaces and removes them; and what Wine does not have, with doubles: links and junctions.

These tests run with CPython for Windows: see unit_tests.txt.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from obsup.local.platform.files import explain, is_link, open_file, remove, replace, sync_file, sync_folder
from obsup.local.platform.link_free import open_link_free, stat_link_free

assert sys.platform == "win32"
from obsup.local.platform import windows_api  # noqa: E402


def entry(tag: int, *, is_symlink: bool = False) -> Any:
    """Return the entry of a folder whose reparse tag is *tag*."""
    status = SimpleNamespace(st_reparse_tag=tag)
    return SimpleNamespace(is_symlink=lambda: is_symlink, stat=lambda **_: status)


def test_links_and_junctions() -> None:
    """A walk treats a junction as a link; other reparse points, such as those of OneDrive, are files and folders."""
    assert is_link(entry(stat.IO_REPARSE_TAG_MOUNT_POINT))
    assert is_link(entry(stat.IO_REPARSE_TAG_SYMLINK, is_symlink=True))
    assert not is_link(entry(0x9000001A))
    assert not is_link(entry(0))


@pytest.mark.parametrize("final", ["C:\\elsewhere\\file", "C:\\other\\folder\\file"])
def test_a_file_that_is_reached_through_a_link(
    final: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not opened if the link is among the last names; a link above them is the user's choice."""
    path = tmp_path / "folder" / "file"
    path.parent.mkdir()
    path.write_bytes(b"x")
    monkeypatch.setattr(windows_api, "final_path", lambda _: final)
    if final.endswith("folder\\file"):
        assert stat_link_free(str(path), 2).st_size == 1
        return
    for opened in (lambda: open_link_free(str(path), 2, os.O_RDONLY), lambda: stat_link_free(str(path), 2)):
        with pytest.raises(OSError, match="through a link") as caught:
            opened()
        assert caught.value.errno == errno.ELOOP
    path.unlink()  # no descriptor is left open


def test_a_file_of_another_program() -> None:
    """ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION have their own text."""
    for code in (32, 33):
        assert "close it there first" in explain(OSError(None, "x", "file", code))
    assert explain(OSError(None, "x", "file", 2)) == os.strerror(errno.ENOENT)


def test_a_file_that_a_reader_of_obsup_has_open(tmp_path: Path) -> None:
    """It is removed at once; the reader keeps the content that it began with. Wine cannot replace such a file."""
    path = tmp_path / "checkpoint"
    path.write_bytes(b"old")
    reader = open_file(str(path), os.O_RDONLY)
    try:
        remove(str(path))
        assert os.read(reader, 10) == b"old"
    finally:
        os.close(reader)
    assert not path.exists()


def test_a_file_that_another_program_has_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is replaced as soon as the program closes it; the error of one that does not has its own text."""
    path, new = tmp_path / "checkpoint", tmp_path / "new"
    path.write_bytes(b"old")
    new.write_bytes(b"new")
    with path.open("rb") as other:  # Python does not share the right to remove
        closing = threading.Timer(0.3, other.close)
        closing.start()
        replace(str(new), str(path))
        closing.join()
    assert path.read_bytes() == b"new"
    monkeypatch.setattr("obsup.local.platform.files.IN_USE_TIMEOUT_S", 0.1)
    new.write_bytes(b"newer")
    with path.open("rb"), pytest.raises(PermissionError):
        replace(str(new), str(path))
    assert (path.read_bytes(), new.read_bytes()) == (b"new", b"newer")


def test_content_and_names_reach_the_disk(tmp_path: Path) -> None:
    """The content of a file is written to the disk; for the names of a folder, Windows has no call."""
    descriptor = open_file(str(tmp_path / "file"), os.O_WRONLY | os.O_CREAT, private=True)
    try:
        os.write(descriptor, b"x")
        sync_file(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(str(tmp_path))
    assert (tmp_path / "file").read_bytes() == b"x"

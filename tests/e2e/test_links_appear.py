"""-r --links skip and refuse: a file or folder that becomes a symbolic link after the walk is not followed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.errors import SourceUnreadable
from obsup.local.source.identity import stat_source
from obsup.local.walk.walk import FoundFile, SourceRoot, UnreadableFile, Walk, stat_again
from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import count_operations, stored_keys
from tests.support.shell import Shell
from tests.support.waiting import wait_for

SECRET = b"secret"


def _replace_file(folder: Path) -> None:
    for path in [one for one in (folder / "tree/sub").iterdir() if one.name.isdigit()]:
        path.rename(folder / f"old-{path.name}")
        path.symlink_to(folder / "elsewhere" / path.name)


def _replace_folder(folder: Path) -> None:
    (folder / "tree/sub").rename(folder / "old")
    (folder / "tree/sub").symlink_to(folder / "elsewhere")


# All files of two sources are listed before the first request: the walk finds no link.
SOURCES = ("-r", "tree/", "more/", "bucket/p/")
# 65 if a file whose upload or comparison had begun was replaced, too: it is a file that has changed.
CODES = (65, 66)


def _make_tree(folder: Path, count: int, size: int) -> None:
    (folder / "more").mkdir()
    (folder / "more/file").write_bytes(b"harmless")
    for name, content in (("tree/sub", b"harmless"), ("elsewhere", SECRET)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / str(number)).write_bytes(content * (size // len(content)))


@pytest.mark.slow
@pytest.mark.parametrize(("links", "executor"), [("skip", "threads"), ("refuse", "processes")])
@pytest.mark.parametrize("replace", [_replace_file, _replace_folder])
@pytest.mark.parametrize(("size", "operation"), [(100, "put"), (300_000, "put"), (600_000, "initiate")])
def test_files_that_become_links_during_the_batch(
    links: str,
    replace: Callable[[Path], None],
    executor: str,
    size: int,
    operation: str,
    shell: Shell,
    sandbox: Sandbox,
) -> None:
    """Small files, files of one request, and files in parts: those that were not read yet are not sent."""
    _make_tree(shell.folder, 12, size)
    sandbox.add_fault(f"error=503:SlowDown,op={operation},retry-after=3")
    options = ("--links", links, "--executor", executor, "-j", "1", "--part-size", "500K")
    with shell.begin("upload", *SOURCES, *options) as process:
        wait_for(lambda: operation in count_operations(sandbox))
        replace(shell.folder)
        _, err = process.communicate(timeout=100)
    assert process.returncode in CODES, err
    assert "without following a symbolic link" in err
    stored = [sandbox.object_path("bucket", key).read_bytes() for key in stored_keys(sandbox)]
    assert len(stored) < 13
    assert not [one for one in stored if SECRET in one]


@pytest.mark.slow
def test_files_that_become_links_while_they_are_verified(shell: Shell, sandbox: Sandbox) -> None:
    """The content behind the links is the same, but it is not that of the files."""
    _make_tree(shell.folder, 24, 100)
    for number in range(24):
        (shell.folder / "elsewhere" / str(number)).write_bytes(b"harmless" * 12)
    assert shell.run("upload", *SOURCES).code == 0
    sandbox.add_fault("error=503:SlowDown,op=head,times=always")
    with shell.begin("verify", *SOURCES, "--links", "skip") as process:
        wait_for(lambda: "head" in count_operations(sandbox))
        _replace_file(shell.folder)  # at least eight files are not yet in progress
        sandbox.clear_faults()
        _, err = process.communicate(timeout=100)
    assert process.returncode in CODES, err
    assert "without following a symbolic link" in err


def test_the_identity_of_a_file_is_not_that_of_a_link(tmp_path: Path) -> None:
    """Neither of the file nor of a folder below SOURCE; SOURCE itself may be, or be in, a link, as in find -H."""
    _make_tree(tmp_path, 1, 100)
    (tmp_path / "link").symlink_to(tmp_path / "tree")
    path = tmp_path / "link/sub/0"
    assert stat_source(path, 2) == stat_source(path)
    (tmp_path / "new").write_bytes(b"a regular file may replace another one")
    (tmp_path / "new").rename(path)
    assert stat_source(path, 2).size == 38
    _replace_file(tmp_path)
    for count in (1, 2):
        with pytest.raises(SourceUnreadable, match="without following a symbolic link"):
            stat_source(path, count)
    path.unlink()
    (tmp_path / "tree/sub").rmdir()
    (tmp_path / "tree/sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceUnreadable, match="without following a symbolic link"):
        stat_source(path, 2)
    assert stat_source(path, 1).size > 0


def test_files_that_become_links_while_all_files_are_listed(tmp_path: Path) -> None:
    """Of sources that may have the same key, all files are listed before the first is sent."""
    _make_tree(tmp_path, 1, 100)
    (entry,) = Walk(recursive=True, links="skip").entries(SourceRoot(str(tmp_path / "tree"), "tree"))
    assert isinstance(entry, FoundFile)
    assert stat_again(entry.path, entry.name, entry.link_free) == entry
    _replace_folder(tmp_path)
    assert isinstance(stat_again(entry.path, entry.name, entry.link_free), UnreadableFile)
    assert isinstance(stat_again(entry.path, entry.name, 0), FoundFile)

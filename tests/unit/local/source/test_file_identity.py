"""The identity of a source: a difference in any of its five fields counts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from obsup.errors import SourceChanged
from obsup.local.source.digest import PartDigest
from obsup.local.source.expectation import Expectation
from obsup.local.source.file import FileWindow, hash_part
from obsup.local.source.identity import changes, is_same_file, stat_source
from obsup.local.source.memory_part import read_part
from obsup.model import Part, SourceStat

STAT = SourceStat(size=100, mtime_ns=1, ctime_ns=2, device=3, inode=4)


@pytest.mark.parametrize("field", ["size", "mtime_ns", "ctime_ns", "device", "inode"])
def test_each_difference_is_reported(field: str) -> None:
    """The same file has none."""
    assert changes(STAT, STAT) == []
    assert len(changes(STAT, replace(STAT, **{field: 99}))) == 1


def test_the_identity_is_read_from_the_file(tmp_path: Path) -> None:
    """Times have nanoseconds."""
    path = tmp_path / "file"
    path.write_bytes(b"one")
    first = stat_source(path)
    status = path.stat()
    assert (first.size, first.mtime_ns, first.ctime_ns) == (3, status.st_mtime_ns, status.st_ctime_ns)
    assert (first.device, first.inode) == (status.st_dev, status.st_ino)


@pytest.mark.parametrize("field", ["size", "mtime_ns", "ctime_ns", "inode"])
def test_only_the_number_of_the_device_may_differ_between_hosts(field: str) -> None:
    """The change time cannot be set, so another file has another one."""
    other_host = replace(STAT, device=99)
    assert is_same_file(STAT, STAT)
    assert is_same_file(STAT, other_host)
    assert not is_same_file(STAT, replace(other_host, **{field: 98}))


def test_a_change_time_of_whole_seconds_proves_nothing_on_another_host() -> None:
    """Two files can have the same."""
    coarse = replace(STAT, ctime_ns=3_000_000_000)
    assert is_same_file(coarse, coarse)
    assert not is_same_file(coarse, replace(coarse, device=99))


PART = Part(1, 0, 3)
READERS: dict[str, Callable[[Path, SourceStat], object]] = {
    "request body": lambda path, stat: FileWindow(path, PART, stat).open(PartDigest),
    "part in memory": lambda path, stat: read_part(FileWindow(path, PART, stat), PartDigest()),
    "Content-MD5": lambda path, stat: FileWindow(path, PART, stat).md5(),
    "digest of a part": lambda path, stat: hash_part(path, PART, stat, PartDigest(md5=True)),
    "digest of the file": lambda path, stat: Expectation().check_file(path, stat, with_sha256=True),
    "expected digest": lambda path, stat: Expectation(md5="0" * 32).check_file(path, stat),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["other file", "pipe"])
def test_every_reader_checks_the_file_that_it_opened(tmp_path: Path, reader: str, kind: str) -> None:
    """The path leads to another file when it is opened; a pipe without a writer must not block."""
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"one")
    stat = stat_source(path)
    if kind == "pipe":
        os.mkfifo(other)
    else:
        other.write_bytes(b"two")
        os.utime(other, ns=(stat.mtime_ns, stat.mtime_ns))
    other.replace(path)
    with pytest.raises(SourceChanged, match="it is another file"):
        READERS[reader](path, stat)


def test_a_body_checks_its_open_file_after_it_was_closed(tmp_path: Path) -> None:
    """The response to a request comes after its last byte was read; the path may lead elsewhere by then."""
    path = tmp_path / "file"
    path.write_bytes(b"one")
    stat = stat_source(path)
    body = FileWindow(path, PART, stat).open(PartDigest)
    body.read()
    path.replace(tmp_path / "renamed")
    path.write_bytes(b"two")
    with (tmp_path / "renamed").open("r+b") as file:
        file.write(b"six")
    os.utime(tmp_path / "renamed", ns=(0, 0))
    body.close()
    with pytest.raises(SourceChanged, match="modification time"):
        body.check()

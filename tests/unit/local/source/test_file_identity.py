"""The identity of a source: a difference in any of its five fields counts."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from obsup.local.source.identity import changes, stat_source
from obsup.model import SourceStat

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

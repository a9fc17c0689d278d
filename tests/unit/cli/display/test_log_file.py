"""The log file: one line per request, private, limited in size, and never the reason of a failure."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from obsup import events
from obsup.cli.display.log_file import LogFile, RequestLines
from obsup.errors import BadConfiguration, Denied


def requested(part: int | None = 3, status: int | None = 200, failure: str = "") -> events.Requested:
    """An UploadPart that took 0.4 s."""
    return events.Requested(
        "UploadPart", "PUT", "bucket/key", part, status, "0000018F", 0.41234, failure=failure
    )


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """The path of the log, with a permissive umask."""
    before = os.umask(0)
    yield tmp_path / "obsup.log"
    os.umask(before)


def test_each_request_is_one_line() -> None:
    """Method, key, part, status, request id, seconds, attempt."""
    assert RequestLines().line(requested()) == (
        "PUT bucket/key UploadPart part=3 status=200 request=0000018F seconds=0.412 attempt=1"
    )


def test_attempts_are_counted_from_one_success_to_the_next() -> None:
    """Separately per part; a request without a response counts, too."""
    lines = RequestLines()
    written = [
        lines.line(requested(part, status, failure="the connection was closed" if status is None else ""))
        for part, status in ((3, 503), (3, None), (4, 200), (3, 200), (3, 200))
    ]
    assert [
        re.search(r"attempt=(\d)", line or "") and line[line.index("attempt=") + 8]
        for line in written
        if line
    ] == [
        "1",
        "2",
        "1",
        "3",
        "1",
    ]
    assert written[1] is not None
    assert written[1].endswith("failure='the connection was closed'")
    assert "status=-" in written[1]


def test_progress_is_not_logged() -> None:
    """Bytes in flight have no line."""
    assert RequestLines().line(events.PartSent(1, 5)) is None


def test_only_the_owner_can_read_the_log(path: Path) -> None:
    """Mode 0600 for any umask, and also if the file existed with another mode."""
    path.write_text("")
    path.chmod(0o644)
    with closing(LogFile(path)) as log:
        log.observe(requested())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \d+ PUT bucket/key .*\n", path.read_text())


def test_the_log_is_rotated(path: Path) -> None:
    """Size and number of the files are limited; the newest lines are in the first."""
    with closing(LogFile(path, max_bytes=300, max_old_files=2, clock=lambda: 0.0)) as log:
        for number in range(20):
            log.write(f"line {number} {'x' * 80}")
    names = sorted(one.name for one in path.parent.iterdir())
    assert names == ["obsup.log", "obsup.log.1", "obsup.log.2"]
    assert all(one.stat().st_size <= 300 for one in path.parent.iterdir())
    assert all(stat.S_IMODE(one.stat().st_mode) == 0o600 for one in path.parent.iterdir())
    assert "line 19" in path.read_text()
    assert "line 0 " not in "".join(one.read_text() for one in path.parent.iterdir())


def test_no_text_can_add_a_line(path: Path) -> None:
    """A message of a server may have several lines."""
    with closing(LogFile(path)) as log:
        log.write_error(Denied("refused\n2026-01-01T00:00:00Z 1 PUT forged", "because"))
    assert len(path.read_text().splitlines()) == 1


def test_a_log_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    """The message has the path."""
    with pytest.raises(BadConfiguration) as caught:
        LogFile(tmp_path / "no" / "folder" / "log")
    assert "no/folder/log" in caught.value.what


def test_a_log_that_fails_later_is_abandoned(path: Path) -> None:
    """The folder disappears, and the upload continues."""
    folder = path.parent / "sub"
    folder.mkdir()
    with closing(LogFile(folder / "log", max_bytes=100)) as log:
        log.write("x" * 80)
        (folder / "log").unlink()
        folder.rmdir()
        log.write("x" * 80)
        log.write("x" * 80)
    assert not folder.exists()

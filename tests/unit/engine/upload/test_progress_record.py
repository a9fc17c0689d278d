"""When receipts are written to the checkpoint, and what happens if it cannot be written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from obsup import events
from obsup.engine.upload.progress_record import (
    MAX_WRITING_SHARE,
    MIN_INTERVAL_S,
    MIN_NEW_SHARE,
    ProgressRecord,
)
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import Receipt, SourceStat, Target, Upload
from tests.support.waiting import wait_for

CHECKPOINT = Checkpoint(
    source="/data/bigfile",
    stat=SourceStat(10_000, 1, 2, 3, 4),
    upload=Upload(Target("obs", "http://127.0.0.1", "bucket", "key"), "id"),
    part_size=1,
    receipts={},
    created=1.0,
    headers_digest="00",
)


class Clock:
    """A clock that advances by *tick_s* with each call, and otherwise only by hand."""

    def __init__(self, tick_s: float = 0.0) -> None:
        self.now_s = 0.0
        self.tick_s = tick_s

    def __call__(self) -> float:
        self.now_s += self.tick_s
        return self.now_s


def recorded(path: Path) -> list[int]:
    """Return the part numbers that the checkpoint at *path* records."""
    return [part["partNumber"] for part in json.loads(path.read_bytes())["parts"]]


def test_writes_are_coalesced(tmp_path: Path) -> None:
    """The file is not rewritten for every part; flush() writes the rest."""
    path, clock = tmp_path / "checkpoint", Clock()
    record = ProgressRecord(CHECKPOINT, path, monotonic=clock)
    versions = set()
    for number in range(1, 101):
        clock.now_s += MIN_INTERVAL_S / 10
        record.add(Receipt(number, 1, "etag"))
        versions.add(path.stat().st_mtime_ns)
    assert len(versions) <= 11
    assert len(recorded(path)) >= 90
    record.flush()
    assert recorded(path) == list(range(1, 101))


def test_slow_parts_do_not_rewrite_the_file_each_time(fs: FakeFilesystem) -> None:
    """All writes together grow linearly with the parts; the file lags lag by at most a fiftieth."""
    path, clock, parts = Path("/checkpoint"), Clock(), 3000
    record = ProgressRecord(CHECKPOINT, path, monotonic=clock)
    inode, lines, lag = 0, 0, 0
    for number in range(1, parts + 1):
        clock.now_s += 100 * MIN_INTERVAL_S
        record.add(Receipt(number, 1, "etag"))
        if path.stat().st_ino != inode:
            inode, lag = path.stat().st_ino, 0
            lines += number
        else:
            lag += 1
            assert lag <= MIN_NEW_SHARE * number
    assert lines <= 1.1 * parts / MIN_NEW_SHARE
    assert fs.exists(path)


def test_a_slow_disk_is_written_less_often(tmp_path: Path) -> None:
    """Writing takes only a small share of the time, even if one write takes long."""
    path, clock = tmp_path / "checkpoint", Clock()
    record = ProgressRecord(CHECKPOINT, path, monotonic=clock)
    clock.tick_s = 1.0  # each call of the clock, and so each write, takes a second
    record.add(Receipt(1, 1, "etag"))
    clock.tick_s = 0.0
    written = path.stat().st_mtime_ns
    clock.now_s += 1.0 / MAX_WRITING_SHARE - 2
    record.add(Receipt(2, 1, "etag"))
    assert path.stat().st_mtime_ns == written
    clock.now_s += 3
    record.add(Receipt(3, 1, "etag"))
    assert recorded(path) == [1, 2, 3]


@pytest.fixture
def notes() -> list[str]:
    """The notes for the user."""
    return []


@pytest.fixture
def observe(notes: list[str]) -> Callable[[events.Event], None]:
    """Collect notes."""
    return lambda event: notes.append(event.text) if isinstance(event, events.Noted) else None


def test_the_first_checkpoint_can_use_the_fallback_path(
    tmp_path: Path, notes: list[str], observe: Callable[[events.Event], None]
) -> None:
    """And it is removed after success."""
    fallback = tmp_path / "fallback"
    record = ProgressRecord(
        CHECKPOINT, tmp_path / "no-folder" / "checkpoint", fallback=fallback, observe=observe
    )
    record.write()
    assert checkpoints.load(fallback) == CHECKPOINT
    assert len(notes) == 1
    assert str(fallback) in notes[0]
    record.remove()
    assert not fallback.exists()


def test_an_older_checkpoint_is_not_replaced_by_a_second_one(
    tmp_path: Path, notes: list[str], observe: Callable[[events.Event], None]
) -> None:
    """A later run must find one checkpoint only: the older one, completed by what the store lists."""
    path, fallback = tmp_path / "checkpoint", tmp_path / "fallback"
    path.mkdir()
    record = ProgressRecord(CHECKPOINT, path, fallback=fallback, observe=observe)
    record.write()
    record.write()
    assert not fallback.exists()
    assert len(notes) == 1
    assert "continuing without" in notes[0]
    # It shows until when this run sends parts, nevertheless.
    before = path.stat().st_mtime_ns
    with record.kept_current(0.001):
        wait_for(lambda: path.stat().st_mtime_ns > before)


def test_another_writer_of_the_checkpoint_is_noted_once(
    tmp_path: Path, notes: list[str], observe: Callable[[events.Event], None]
) -> None:
    """Two machines on storage without locks run the same upload; one alone, and the next run, note nothing."""
    path = tmp_path / "checkpoint"
    first, second = (ProgressRecord(CHECKPOINT, path, observe=observe) for _ in range(2))
    for record in (first, first, second, second):
        record.write()
    assert notes == []
    first.write()
    first.write()
    [note] = notes
    assert note.startswith(f"another process writes {path}: ")


def test_a_run_that_sends_parts_keeps_the_time_of_its_checkpoint_current(
    tmp_path: Path, notes: list[str], observe: Callable[[events.Event], None]
) -> None:
    """It shows until when the run may have stored parts, and hides no other writer."""
    path = tmp_path / "checkpoint"
    first, second = (ProgressRecord(CHECKPOINT, path, observe=observe) for _ in range(2))
    first.write()
    written = path.stat().st_mtime_ns
    with first.kept_current(0.001):
        wait_for(lambda: path.stat().st_mtime_ns > written)
        first.write()
        assert notes == []
        second.write()
        first.write()
    assert len(notes) == 1

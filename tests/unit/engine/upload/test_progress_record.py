"""When receipts reach the checkpoint, and where they go when it cannot be written."""

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

MEANT = Checkpoint(
    source="/data/bigfile",
    stat=SourceStat(10_000, 1, 2, 3, 4),
    upload=Upload(Target("obs", "http://127.0.0.1", "bucket", "key"), "id"),
    part_size=1,
    receipts={},
    created=1.0,
    headers_digest="00",
)


class Clock:
    """Seconds that go by when told to; *tick_s* more with each look."""

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
    """10,000 parts are not 10,000 rewrites of 10,000 lines; what is not written yet is written at the end."""
    path, clock = tmp_path / "checkpoint", Clock()
    record = ProgressRecord(MEANT, path, monotonic=clock)
    versions = set()
    for number in range(1, 101):
        clock.now_s += MIN_INTERVAL_S / 10
        record.add(Receipt(number, 1, "etag"))
        versions.add(path.stat().st_mtime_ns)
    assert len(versions) <= 11
    assert len(recorded(path)) >= 90
    record.flush()
    assert recorded(path) == list(range(1, 101))


def test_parts_that_come_slowly_are_not_a_rewrite_each(fs: FakeFilesystem) -> None:
    """The work of all writes grows with the parts, not with their square; the record lags by a fiftieth at most."""
    path, clock, parts = Path("/checkpoint"), Clock(), 3000
    record = ProgressRecord(MEANT, path, monotonic=clock)
    seen, lines, behind = 0, 0, 0
    for number in range(1, parts + 1):
        clock.now_s += 100 * MIN_INTERVAL_S
        record.add(Receipt(number, 1, "etag"))
        if path.stat().st_ino != seen:
            seen, behind = path.stat().st_ino, 0
            lines += number
        else:
            behind += 1
            assert behind <= MIN_NEW_SHARE * number
    assert lines <= 1.1 * parts / MIN_NEW_SHARE
    assert fs.exists(path)


def test_a_slow_disk_is_written_to_less_often(tmp_path: Path) -> None:
    """Writing takes a small share of the time, however long one write takes."""
    path, clock = tmp_path / "checkpoint", Clock()
    record = ProgressRecord(MEANT, path, monotonic=clock)
    clock.tick_s = 1.0  # each look at the clock, and so each write, takes a second
    record.add(Receipt(1, 1, "etag"))
    clock.tick_s = 0.0
    wrote = path.stat().st_mtime_ns
    clock.now_s += 1.0 / MAX_WRITING_SHARE - 2
    record.add(Receipt(2, 1, "etag"))
    assert path.stat().st_mtime_ns == wrote
    clock.now_s += 3
    record.add(Receipt(3, 1, "etag"))
    assert recorded(path) == [1, 2, 3]


@pytest.fixture
def notes() -> list[str]:
    """What the user is told."""
    return []


@pytest.fixture
def observe(notes: list[str]) -> Callable[[events.Event], None]:
    """Collect notes."""
    return lambda event: notes.append(event.text) if isinstance(event, events.Noted) else None


def test_the_spare_place_takes_a_first_checkpoint(
    tmp_path: Path, notes: list[str], observe: Callable[[events.Event], None]
) -> None:
    """And goes with success."""
    spare = tmp_path / "spare"
    record = ProgressRecord(MEANT, tmp_path / "no-folder" / "checkpoint", fallback=spare, observe=observe)
    record.write()
    assert checkpoints.load(spare) == MEANT
    assert len(notes) == 1
    assert str(spare) in notes[0]
    record.remove()
    assert not spare.exists()


def test_an_older_checkpoint_is_not_left_for_a_second_one(
    tmp_path: Path, notes: list[str], observe: Callable[[events.Event], None]
) -> None:
    """Two checkpoints of one upload would be one too many: the older is found, and the store knows the rest."""
    path, spare = tmp_path / "checkpoint", tmp_path / "spare"
    path.mkdir()
    record = ProgressRecord(MEANT, path, fallback=spare, observe=observe)
    record.write()
    record.write()
    assert not spare.exists()
    assert len(notes) == 1
    assert "going on without" in notes[0]

"""Sending one part: how often its progress is reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from obsup import events
from obsup.dialects.registry import find_dialect
from obsup.engine.job.send_options import SendOptions
from obsup.engine.proof.part_proof import DigestChoice
from obsup.engine.send.content import REPORT_INTERVAL_S
from obsup.engine.send.part import send_content
from obsup.local.source.buffers import BLOCK_BYTES
from obsup.local.source.file import FileWindow
from obsup.local.source.identity import stat_when_stable
from obsup.model import Part, Target, Upload
from tests.doubles.memory_store import MemoryStore

BLOCKS = 40


def reported_blocks(path: Path, seconds_per_block: float) -> list[int]:
    """Send a part of BLOCKS blocks, of which each takes so long; return the reported progress in blocks."""
    with path.open("wb") as file:
        file.truncate(BLOCKS * BLOCK_BYTES)
    store = MemoryStore(find_dialect("s3"))
    target = Target("s3", "http://127.0.0.1", "bucket", "key")
    upload = Upload(target, store.initiate(target, {}).upload_id)
    reported: list[int] = []
    now_s = 100.0

    def observe(event: events.Event) -> None:
        if isinstance(event, events.PartSent):
            reported.append(event.sent // BLOCK_BYTES)

    def send_slowly(size: int) -> int:
        nonlocal now_s
        now_s += seconds_per_block
        return size

    monotonic: Callable[[], float] = lambda: now_s  # noqa: E731 - the clock moves with the blocks
    window = FileWindow(path, Part(1, 0, BLOCKS * BLOCK_BYTES), stat_when_stable(path))
    send_options = SendOptions(
        DigestChoice(md5=False, crc64=False), observe=observe, gate=send_slowly, monotonic=monotonic
    )
    send_content(window, upload, store, send_options)
    return reported


@pytest.mark.parametrize(
    ("seconds_per_block", "expected"),
    [
        (REPORT_INTERVAL_S / 10.5, [*range(1, BLOCKS, 11), BLOCKS]),
        (REPORT_INTERVAL_S * 1.2, list(range(1, BLOCKS + 1))),
        (0.0, [1, BLOCKS]),
    ],
    ids=["fast network", "slow network", "no time passes"],
)
def test_progress_is_reported_at_most_once_per_interval_and_at_the_end(
    tmp_path: Path, seconds_per_block: float, expected: list[int]
) -> None:
    """On a fast network, an event per block would take more CPU time than sending the block."""
    assert reported_blocks(tmp_path / "source", seconds_per_block) == expected

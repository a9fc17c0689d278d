"""One part on its way: what is said of it, and how often."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from obsup import events
from obsup.dialects.registry import find_dialect
from obsup.engine.job.send_options import SendOptions
from obsup.engine.proof.part_proof import DigestChoice
from obsup.engine.send.content import REPORT_INTERVAL_S
from obsup.engine.send.part import send_content
from obsup.local.source.buffers import BLOCK_BYTES
from obsup.local.source.file import FileWindow, stat_when_stable
from obsup.model import Part, Target, Upload
from tests.doubles.memory_store import MemoryStore


def said_of(path: Path, blocks: int, gate: Callable[[int], int]) -> list[tuple[float, int]]:
    """Send a file of many blocks as one part; return when it was said how far it was, and how far."""
    with path.open("wb") as file:
        file.truncate(blocks * BLOCK_BYTES)
    store = MemoryStore(find_dialect("s3"))
    target = Target("s3", "http://127.0.0.1", "bucket", "key")
    upload = Upload(target, store.initiate(target, {}))
    said: list[tuple[float, int]] = []

    def observe(event: events.Event) -> None:
        if isinstance(event, events.PartSent):
            said.append((time.monotonic(), event.sent))

    window = FileWindow(path, Part(1, 0, blocks * BLOCK_BYTES), stat_when_stable(path))
    send_options = SendOptions(
        DigestChoice(md5=False, crc64=False), observe=observe, gate=gate, read_gate=gate
    )
    send_content(window, upload, store, send_options)
    return said


def test_progress_is_said_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    """Not by the block: on a fast line that costs more of the interpreter than sending does."""
    blocks = 200
    said = said_of(tmp_path / "source", blocks, lambda size: size)
    assert said[0][1] == BLOCK_BYTES
    assert said[-1][1] == blocks * BLOCK_BYTES
    times = [at for at, _ in said[:-1]]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(gap > REPORT_INTERVAL_S * 0.9 for gap in gaps)


def test_a_slow_part_says_each_block(tmp_path: Path) -> None:
    """Where the line lets a block go now and then, the bar moves with each one."""

    def slow(size: int) -> int:
        time.sleep(1.2 * REPORT_INTERVAL_S)
        return size

    said = said_of(tmp_path / "source", 4, slow)
    assert [sent for _, sent in said] == [BLOCK_BYTES, 2 * BLOCK_BYTES, 3 * BLOCK_BYTES, 4 * BLOCK_BYTES]

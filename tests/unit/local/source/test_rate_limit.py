"""The bandwidth limit: exact, smooth, and shared by all workers."""

from __future__ import annotations

import heapq
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup.errors import Interrupted
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import PartBody
from obsup.local.source.identity import stat_source
from obsup.local.source.rate_limit import BLOCK_S, CREDIT_S, RateLimit, RateSchedule
from obsup.model import Part
from obsup.rate import constant_rate, parse_rate

BURST_S = 0.25


def simulate(rate: float, *, workers: int, seconds: float, lateness: list[float]) -> list[tuple[float, int]]:
    """Return (time, bytes) of each block that *workers* send; each wakes up late by the next of *lateness*."""
    schedule = RateSchedule(rate)
    waiting = [(0.0, worker) for worker in range(workers)]
    sent: list[tuple[float, int]] = []
    while waiting[0][0] < seconds:
        now, worker = heapq.heappop(waiting)
        wait = schedule.reserve(schedule.block_bytes, now)
        gone = now + wait + (lateness[len(sent) % len(lateness)] if wait else 0.0)
        sent.append((gone, schedule.block_bytes))
        heapq.heappush(waiting, (gone, worker))
    return sorted(sent)


def longest_burst(sent: list[tuple[float, int]], rate: float) -> float:
    """Return the largest number of seconds by which the bytes of any interval were ahead of the rate."""
    ahead = worst = 0.0
    before = sent[0][0]
    for at, size in sent:
        ahead = max(0.0, ahead - (at - before)) + size / rate
        worst, before = max(worst, ahead), at
    return worst


@given(
    rate=st.floats(1, 2e9),
    workers=st.integers(1, 32),
    lateness=st.lists(st.floats(0, 0.02), min_size=1, max_size=7),
)
def test_the_rate_is_exact_and_smooth(rate: float, workers: int, lateness: list[float]) -> None:
    """Within 5 % over 10 s, and at most 250 ms ahead, even if every worker wakes up late."""
    rate = max(rate, 20.0)  # below, a single byte lasts longer than a block may
    seconds = min(10.0, 20_000 * RateSchedule(rate).block_bytes / rate)
    sent = simulate(rate, workers=workers, seconds=seconds, lateness=lateness)
    total = sum(size for at, size in sent if at < seconds)
    assert total <= rate * (seconds + CREDIT_S + BLOCK_S)
    if seconds == 10.0:
        assert total == pytest.approx(rate * 10, rel=0.05)
    assert longest_burst(sent, rate) <= BURST_S


def test_an_idle_connection_catches_up_only_its_credit() -> None:
    """After an idle minute, the next blocks are sent at the rate."""
    schedule = RateSchedule(1000)
    schedule.reserve(50, 0.0)
    at_once = 0
    while not schedule.reserve(50, 60.0):
        at_once += 50
    assert at_once <= 1000 * (CREDIT_S + BLOCK_S)


def test_the_block_size_depends_on_the_rate() -> None:
    """A block lasts at most 50 ms and has 1 byte to 1 MiB."""
    assert RateSchedule(100_000).block_bytes == 5_000
    assert RateSchedule(1e9).block_bytes == 2**20
    assert RateSchedule(3).block_bytes == 1


def test_threads_share_one_limit() -> None:
    """Four threads with the real clock are not ahead of the rate."""
    limit, counted, lock = RateLimit(constant_rate(1_000_000)), [0], threading.Lock()
    begun = time.monotonic()

    def send() -> None:
        while time.monotonic() - begun < 0.4:
            granted = limit(2**20)
            with lock:
                counted[0] += granted

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.monotonic() - begun
    assert 0 < counted[0] <= 1_000_000 * (elapsed + CREDIT_S + BLOCK_S)


def test_the_wait_ends_on_a_stop() -> None:
    """At 0.01 bytes per second, Ctrl-C still works at once."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def check() -> None:
        if now[0] > 1:
            raise Interrupted("stopped", "")

    limit = RateLimit(constant_rate(0.01), check=check, monotonic=lambda: now[0], sleep=sleep)
    assert limit(5) == 1
    with pytest.raises(Interrupted):
        limit(5)
    assert now[0] < 2


def test_a_body_returns_what_its_gate_allows(tmp_path: Path) -> None:
    """Smaller blocks at a low rate, with the same bytes and the same digest."""
    path = tmp_path / "source"
    path.write_bytes(bytes(range(250)) * 10)
    body = PartBody(
        path,
        Part(1, 100, 2000),
        stat_source(path),
        digest=PartDigest(md5=True),
        gate=lambda size: min(size, 300),
    )
    try:
        blocks = [bytes(block) for block in iter(body.read, b"")]
    finally:
        body.close()
    assert [len(block) for block in blocks] == [300] * 6 + [200]
    assert b"".join(blocks) == path.read_bytes()[100:2100]
    whole = PartDigest(md5=True)
    whole.update(path.read_bytes()[100:2100])
    assert body.digest.md5 == whole.md5


def test_a_timetable_changes_the_rate_while_a_worker_sends() -> None:
    """Local time: 1,000 bytes per second from 08:00 on, 4,000 from 18:00 on, and no limit after 22:00."""
    now, day = [0.0], [17 * 60]
    limit = RateLimit(
        parse_rate("08:00,1000B 18:00,4000B 22:00,off"),
        monotonic=lambda: now[0],
        minute=lambda: day[0],
        sleep=lambda seconds: now.__setitem__(0, now[0] + seconds),
    )

    def seconds_for(size: int) -> float:
        before, left = now[0], size
        while left:
            left -= limit(left)
        return now[0] - before

    assert seconds_for(10_000) == pytest.approx(10, abs=0.2)
    day[0] = 18 * 60
    assert seconds_for(10_000) == pytest.approx(2.5, abs=0.2)
    day[0] = 22 * 60
    assert seconds_for(10_000_000) == 0
    day[0] = 3 * 60  # the last step lasts until the first of the next day
    assert seconds_for(10_000_000) == 0
    day[0] = 8 * 60
    assert seconds_for(10_000) == pytest.approx(10, abs=0.2)

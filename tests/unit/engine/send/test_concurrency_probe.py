"""``--jobs auto`` over simulated lines: full where connections are held back, small where one fills the line."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from obsup.engine.job.request import INITIAL_JOBS, MAX_JOBS
from obsup.engine.send.concurrency import ConcurrencyLimit
from obsup.engine.send.concurrency_probe import ConcurrencyProbe
from obsup.events import PartSent, PartStored, Retried
from obsup.units import MIB

MB = 10**6
PART = 16 * MIB
BUFFER = 3 * MIB
STEP_S = 0.01


@dataclass
class Connection:
    """One part on its way: bytes that arrived, bytes handed out in blocks, and seconds until it is answered.

    Blocks are handed out as long as the buffers of the sender's machine take them.
    """

    number: int
    passed: float = 0.0
    sent: int = 0
    answer_s: float = 0.0


@dataclass
class Line:
    """A line: bytes a second of a connection and of all, seconds of an answer, a share of noise, a limit in flight."""

    connection: float
    total: float
    latency_s: float = 0.03
    noise: float = 0.1
    most: int = 10_000
    part: int = PART
    now_s: float = 0.0
    passed: float = 0.0
    refused: int = 0
    seed: int = 7
    history: list[tuple[float, int, float]] = field(default_factory=list)

    def run(self, seconds: float, concurrency: ConcurrencyLimit) -> None:
        """Send parts as *concurrency* allows."""
        chance = random.Random(self.seed)
        numbers: Iterator[int] = iter(range(1, 10**9))
        moving: list[Connection] = []
        while self.now_s < seconds:
            self.now_s += STEP_S
            while len(moving) < concurrency.allowed:
                moving.append(Connection(next(numbers)))
            if len(moving) > self.most:
                self.refused += 1
                concurrency(Retried(moving.pop().number, 1, "503 SlowDown", 0.1, throttled=True))
            share = min(self.connection, self.total / len(moving)) * STEP_S
            for one in list(moving):
                self._move(one, share * (1 + chance.uniform(-self.noise, self.noise)), concurrency)
                if one.answer_s >= self.latency_s:
                    moving.remove(one)
                    concurrency(PartStored(one.number, self.part))
            self.history.append((self.now_s, len(moving), self.passed))

    def _move(self, one: Connection, size: float, concurrency: ConcurrencyLimit) -> None:
        if one.passed >= self.part:
            one.answer_s += STEP_S
            return
        self.passed += min(size, self.part - one.passed)
        one.passed = min(self.part, one.passed + size)
        while one.sent < min(self.part, one.passed + BUFFER):
            one.sent += MIB
            concurrency(PartSent(one.number, one.sent))

    def rate(self, begin_s: float, end_s: float) -> float:
        """Return the bytes a second between two moments."""
        passed = [size for at, _, size in self.history if begin_s <= at <= end_s]
        return (passed[-1] - passed[0]) / (end_s - begin_s)

    def in_flight(self, begin_s: float, end_s: float) -> float:
        """Return how many parts were in flight on average between two moments."""
        counts = [count for at, count, _ in self.history if begin_s <= at <= end_s]
        return sum(counts) / len(counts)


def fly(line: Line, seconds: float) -> Line:
    """Run *line* for so many seconds under the controller."""
    line.run(seconds, ConcurrencyLimit(MAX_JOBS, probe=ConcurrencyProbe(), monotonic=lambda: line.now_s))
    return line


def capacity(line: Line, count: int) -> float:
    """Return the bytes a second that *count* parts in flight can carry: they wait for their answers too."""
    share = min(line.connection, line.total / count)
    return count * line.part / (line.part / share + line.latency_s)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("part", [5 * MIB, 9 * MIB, 16 * MIB, 100 * MIB])
def test_a_line_that_holds_each_connection_back_is_filled(part: int, noise: float, seed: int) -> None:
    """25 MB/s a connection: five would stand at 125 MB/s; three times that within three seconds, then all of it."""
    line = fly(Line(25 * MB, 10_000 * MB, part=part, noise=noise, seed=seed), 30)
    assert line.rate(4, 6) >= 3 * 125 * MB
    assert line.rate(10, 30) >= 0.85 * capacity(line, MAX_JOBS)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("total", "latency_s"), [(2 * MB, 0.05), (12 * MB, 0.03), (110 * MB, 0.03), (300 * MB, 0.01)]
)
def test_a_line_that_one_connection_fills_stays_small(total: float, latency_s: float, seed: int) -> None:
    """More is tried now and then, and taken back."""
    line = fly(Line(total, total, latency_s, seed=seed), 120)
    assert line.in_flight(0, 120) <= 1.6 * INITIAL_JOBS
    assert line.in_flight(90, 120) <= 1.25 * INITIAL_JOBS
    assert line.rate(5, 120) >= 0.9 * total


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("total", [200 * MB, 300 * MB, 500 * MB])
def test_a_line_in_between_is_full_with_few_too_many(total: float, seed: int) -> None:
    """25 MB/s a connection and a limit for all: full, though not with the most there may be."""
    line = fly(Line(25 * MB, total, seed=seed), 120)
    assert line.rate(10, 120) >= 0.85 * total
    assert line.in_flight(60, 120) <= 1.5 * total / (25 * MB) + 2


@pytest.mark.parametrize("seed", range(3))
def test_a_store_that_refuses_is_believed(seed: int) -> None:
    """A store that takes twelve at once: few refusals, and most of what it takes is used."""
    line = fly(Line(25 * MB, 10_000 * MB, most=12, seed=seed), 120)
    assert 1 <= line.refused <= 40
    assert line.rate(20, 120) >= 0.7 * capacity(line, 12)


def test_more_in_flight_hide_slow_answers() -> None:
    """A fast line to a store that takes its time to answer: more parts in flight carry more."""
    line = fly(Line(1000 * MB, 1000 * MB, latency_s=0.3), 60)
    assert line.rate(20, 60) >= 0.9 * capacity(line, MAX_JOBS)


def test_what_is_sent_again_says_nothing_of_the_line() -> None:
    """A part that begins again at its first byte neither counts twice nor backwards."""
    probe = ConcurrencyProbe()
    for attempt in range(50):
        for block in range(1, 9):
            for number in range(1, 6):
                probe.sent(number, block * MIB, attempt + block * 0.1)
        for number in range(1, 6):
            probe.failed(number)
    assert INITIAL_JOBS <= probe.goal <= 2 * INITIAL_JOBS


def test_a_line_that_becomes_free_is_found() -> None:
    """Others used it at first: what did not pay then is tried again."""
    line = Line(25 * MB, 125 * MB)
    concurrency = ConcurrencyLimit(MAX_JOBS, probe=ConcurrencyProbe(), monotonic=lambda: line.now_s)
    line.run(40, concurrency)
    assert line.in_flight(20, 40) <= 10
    line.total = 10_000 * MB
    line.run(140, concurrency)
    assert line.in_flight(120, 140) >= 3 * INITIAL_JOBS


def test_few_parts_change_nothing() -> None:
    """An upload of fewer parts than it begins with never tries anything."""
    probe = ConcurrencyProbe()
    for block in range(1, 5000):
        probe.sent(block % 3, block * MIB, block * 0.01)
    assert probe.goal == INITIAL_JOBS


@pytest.mark.parametrize("most", [1, 3, 5])
def test_it_never_passes_its_limits(most: int) -> None:
    """Not even where it begins with more."""
    line = Line(25 * MB, 10_000 * MB)
    line.run(20, ConcurrencyLimit(most, probe=ConcurrencyProbe(most=most), monotonic=lambda: line.now_s))
    assert max(count for _, count, _ in line.history) == most

"""``--jobs auto`` over simulated networks: many connections if each is limited, few if one uses all the bandwidth."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from obsup.engine.plan.concurrency import ConcurrencyLimit
from obsup.engine.plan.concurrency_probe import ConcurrencyProbe
from obsup.engine.plan.file_plan import INITIAL_JOBS, MAX_JOBS
from obsup.events import PartSent, PartStored, Retried
from obsup.units import MIB

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]

MB = 10**6
PART = 16 * MIB
BUFFER = 3 * MIB
STEP_S = 0.01


@dataclass
class Connection:
    """One part in flight: bytes that arrived, bytes sent in blocks, and seconds since the last byte arrived.

    Blocks are sent as long as the buffers of the sending machine have room.
    """

    number: int
    arrived: float = 0.0
    sent: int = 0
    response_s: float = 0.0


@dataclass
class Network:
    """A network: bytes per second per connection and in total, response time, noise, and a limit of parts in flight."""

    per_connection: float
    total: float
    latency_s: float = 0.03
    noise: float = 0.1
    most: int = 10_000
    part_size: int = PART
    now_s: float = 0.0
    arrived: float = 0.0
    rejected: int = 0
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
                self.rejected += 1
                concurrency(Retried(moving.pop().number, 1, "503 SlowDown", 0.1, throttled=True))
            share = min(self.per_connection, self.total / len(moving)) * STEP_S
            for part in list(moving):
                self._move(part, share * (1 + chance.uniform(-self.noise, self.noise)), concurrency)
                if part.response_s >= self.latency_s:
                    moving.remove(part)
                    concurrency(PartStored(part.number, self.part_size))
            self.history.append((self.now_s, len(moving), self.arrived))

    def _move(self, part: Connection, size: float, concurrency: ConcurrencyLimit) -> None:
        if part.arrived >= self.part_size:
            part.response_s += STEP_S
            return
        self.arrived += min(size, self.part_size - part.arrived)
        part.arrived = min(self.part_size, part.arrived + size)
        while part.sent < min(self.part_size, part.arrived + BUFFER):
            part.sent += MIB
            concurrency(PartSent(part.number, part.sent))

    def rate(self, begin_s: float, end_s: float) -> float:
        """Return the bytes per second between two times."""
        arrived = [size for at, _, size in self.history if begin_s <= at <= end_s]
        return (arrived[-1] - arrived[0]) / (end_s - begin_s)

    def in_flight(self, begin_s: float, end_s: float) -> float:
        """Return how many parts were in flight on average between two times."""
        counts = [count for at, count, _ in self.history if begin_s <= at <= end_s]
        return sum(counts) / len(counts)


def simulate(network: Network, seconds: float) -> Network:
    """Run *network* for so many seconds with a probe."""
    network.run(
        seconds, ConcurrencyLimit(MAX_JOBS, probe=ConcurrencyProbe(), monotonic=lambda: network.now_s)
    )
    return network


def capacity(network: Network, count: int) -> float:
    """Return the bytes per second that *count* parts in flight can transfer, including the wait for responses."""
    share = min(network.per_connection, network.total / count)
    return count * network.part_size / (network.part_size / share + network.latency_s)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("part_size", [5 * MIB, 9 * MIB, 16 * MIB, 100 * MIB])
def test_a_limit_per_connection_leads_to_many_connections(part_size: int, noise: float, seed: int) -> None:
    """25 MB/s per connection: five reach 125 MB/s; after four seconds it is three times that, then all of it."""
    network = simulate(Network(25 * MB, 10_000 * MB, part_size=part_size, noise=noise, seed=seed), 30)
    assert network.rate(4, 6) >= 3 * 125 * MB
    assert network.rate(10, 30) >= 0.85 * capacity(network, MAX_JOBS)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("total", "latency_s"), [(2 * MB, 0.05), (12 * MB, 0.03), (110 * MB, 0.03), (300 * MB, 0.01)]
)
def test_one_connection_that_uses_all_bandwidth_leads_to_few(
    total: float, latency_s: float, seed: int
) -> None:
    """More connections are tried from time to time, and reverted."""
    network = simulate(Network(total, total, latency_s, seed=seed), 120)
    assert network.in_flight(0, 120) <= 1.6 * INITIAL_JOBS
    assert network.in_flight(90, 120) <= 1.25 * INITIAL_JOBS
    assert network.rate(5, 120) >= 0.9 * total


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("total", [200 * MB, 300 * MB, 500 * MB])
def test_a_limit_in_between_is_reached_with_few_connections_too_many(total: float, seed: int) -> None:
    """25 MB/s per connection and a total limit: all bandwidth is used, without the maximum of connections."""
    network = simulate(Network(25 * MB, total, seed=seed), 120)
    assert network.rate(10, 120) >= 0.85 * total
    assert network.in_flight(60, 120) <= 1.5 * total / (25 * MB) + 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_store_that_throttles_gets_fewer_requests(seed: int) -> None:
    """A store that accepts twelve at once rejects few requests, and most of its capacity is used."""
    network = simulate(Network(25 * MB, 10_000 * MB, most=12, seed=seed), 120)
    assert 1 <= network.rejected <= 40
    assert network.rate(20, 120) >= 0.7 * capacity(network, 12)


def test_more_parts_in_flight_hide_slow_responses() -> None:
    """On a fast network to a store with slow responses, more parts in flight transfer more."""
    network = simulate(Network(1000 * MB, 1000 * MB, latency_s=0.3), 60)
    assert network.rate(20, 60) >= 0.9 * capacity(network, MAX_JOBS)


def test_resent_parts_do_not_count_as_throughput() -> None:
    """A part that restarts at its first byte counts neither twice nor backwards."""
    probe = ConcurrencyProbe()
    for attempt in range(50):
        for block in range(1, 9):
            for number in range(1, 6):
                probe.sent(number, block * MIB, attempt + block * 0.1)
        for number in range(1, 6):
            probe.failed(number)
    assert INITIAL_JOBS <= probe.goal <= 2 * INITIAL_JOBS


def test_bandwidth_that_becomes_free_is_used() -> None:
    """More connections that did not pay while others used the network are tried again."""
    network = Network(25 * MB, 125 * MB)
    concurrency = ConcurrencyLimit(MAX_JOBS, probe=ConcurrencyProbe(), monotonic=lambda: network.now_s)
    network.run(40, concurrency)
    assert network.in_flight(20, 40) <= 10
    network.total = 10_000 * MB
    network.run(140, concurrency)
    assert network.in_flight(120, 140) >= 3 * INITIAL_JOBS


def test_few_parts_do_not_change_the_concurrency() -> None:
    """An upload with fewer parts than the initial concurrency never starts a trial."""
    probe = ConcurrencyProbe()
    for block in range(1, 5000):
        probe.sent(block % 3, block * MIB, block * 0.01)
    assert probe.goal == INITIAL_JOBS


@pytest.mark.parametrize("most", [1, 3, 5])
def test_it_never_exceeds_its_maximum(most: int) -> None:
    """Not even if the initial concurrency is higher."""
    network = Network(25 * MB, 10_000 * MB)
    network.run(
        20, ConcurrencyLimit(most, probe=ConcurrencyProbe(most=most), monotonic=lambda: network.now_s)
    )
    assert max(count for _, count, _ in network.history) == most

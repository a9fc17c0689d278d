"""The limit of parts in flight: halved if the store asks to slow down, then it grows back."""

from __future__ import annotations

from obsup.engine.plan.concurrency import THROTTLE_PAUSE_S, ConcurrencyLimit
from obsup.events import PartSent, PartStored, Retried

THROTTLED = Retried(1, 1, "503 SlowDown", 0.5, throttled=True)
FAILED = Retried(1, 1, "500 InternalError", 0.5)


class ManualClock:
    """A clock that the test sets, in seconds."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def store(concurrency: ConcurrencyLimit, parts: int) -> None:
    """Report to *concurrency* that so many parts were stored."""
    for number in range(1, parts + 1):
        concurrency(PartSent(number, 1))
        concurrency(PartStored(number, 1))


def test_it_starts_at_the_maximum_with_one_more_part_queued_per_worker() -> None:
    """At full speed no worker waits for the driver."""
    concurrency = ConcurrencyLimit(8)
    assert (concurrency.allowed, concurrency.window) == (8, 16)
    store(concurrency, 1000)
    assert (concurrency.allowed, concurrency.window) == (8, 16)


def test_a_throttled_request_halves_the_limit() -> None:
    """No further parts are queued beyond it."""
    clock = ManualClock()
    concurrency = ConcurrencyLimit(32, monotonic=clock)
    windows = []
    for _ in range(7):
        concurrency(THROTTLED)
        windows.append(concurrency.window)
        clock.now_s += THROTTLE_PAUSE_S
    assert windows == [16, 8, 4, 2, 1, 1, 1]


def test_a_burst_of_throttled_requests_halves_once() -> None:
    """A store that wants half as many rejects requests of all 32 workers at once."""
    clock = ManualClock()
    concurrency = ConcurrencyLimit(32, monotonic=clock)
    for _ in range(32):
        concurrency(THROTTLED)
        clock.now_s += THROTTLE_PAUSE_S / 100
    assert concurrency.allowed == 16


def test_other_failures_do_not_change_the_limit() -> None:
    """A 500 or a reset connection is retried with the same concurrency."""
    concurrency = ConcurrencyLimit(32)
    concurrency(FAILED)
    assert concurrency.allowed == 32


def test_it_grows_by_one_per_round() -> None:
    """Additive increase: one more after as many stored parts as are in flight."""
    concurrency = ConcurrencyLimit(8)
    concurrency(THROTTLED)
    assert concurrency.allowed == 4
    store(concurrency, 5)
    assert concurrency.allowed == 5
    store(concurrency, 6)
    assert concurrency.allowed == 6
    store(concurrency, 100)
    assert (concurrency.allowed, concurrency.window) == (8, 16)


def test_the_limit_follows_the_number_of_workers() -> None:
    """More are used at once, unless the store asked to slow down; without any, one part may wait for one."""
    workers = 2
    concurrency = ConcurrencyLimit(2, follow=lambda: workers)
    assert concurrency.window == 4
    workers = 8
    assert concurrency.window == 16
    concurrency(THROTTLED)
    workers = 16
    assert concurrency.window == 4
    workers = 0
    assert concurrency.allowed == 1

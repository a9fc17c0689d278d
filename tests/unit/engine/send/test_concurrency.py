"""What is in flight: halved when the store asks to slow down, and it grows back."""

from __future__ import annotations

from obsup.engine.send.concurrency import THROTTLE_PAUSE_S, ConcurrencyLimit
from obsup.events import PartSent, PartStored, Retried

THROTTLED = Retried(1, 1, "503 SlowDown", 0.5, throttled=True)
FAILED = Retried(1, 1, "500 InternalError", 0.5)


class Hands:
    """A clock that is set by hand, in seconds."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def store(concurrency: ConcurrencyLimit, parts: int) -> None:
    """Tell *concurrency* that so many parts were stored."""
    for number in range(1, parts + 1):
        concurrency(PartSent(number, 1))
        concurrency(PartStored(number, 1))


def test_it_begins_with_all_and_one_more_ready_for_each() -> None:
    """At full speed no worker waits for the driver."""
    concurrency = ConcurrencyLimit(8)
    assert (concurrency.allowed, concurrency.window) == (8, 16)
    store(concurrency, 1000)
    assert (concurrency.allowed, concurrency.window) == (8, 16)


def test_a_request_to_slow_down_halves() -> None:
    """And nothing lies ready beyond it."""
    clock = Hands()
    concurrency = ConcurrencyLimit(32, monotonic=clock)
    seen = []
    for _ in range(7):
        concurrency(THROTTLED)
        seen.append(concurrency.window)
        clock.now_s += THROTTLE_PAUSE_S
    assert seen == [16, 8, 4, 2, 1, 1, 1]


def test_a_burst_of_refusals_is_one_message() -> None:
    """32 workers are refused at once by a store that wants half as many, not one."""
    clock = Hands()
    concurrency = ConcurrencyLimit(32, monotonic=clock)
    for _ in range(32):
        concurrency(THROTTLED)
        clock.now_s += THROTTLE_PAUSE_S / 100
    assert concurrency.allowed == 16


def test_other_failures_say_nothing_about_the_load() -> None:
    """A 500 or a reset is retried, with as many as before."""
    concurrency = ConcurrencyLimit(32)
    concurrency(FAILED)
    assert concurrency.allowed == 32


def test_it_grows_back_by_one_a_round() -> None:
    """Additive increase: as many parts stored as are in flight, and one more may be."""
    concurrency = ConcurrencyLimit(8)
    concurrency(THROTTLED)
    assert concurrency.allowed == 4
    store(concurrency, 5)
    assert concurrency.allowed == 5
    store(concurrency, 6)
    assert concurrency.allowed == 6
    store(concurrency, 100)
    assert (concurrency.allowed, concurrency.window) == (8, 16)

"""What is in flight: halved when the store asks to slow down, and it grows back."""

from __future__ import annotations

from obsup.engine.send.concurrency import DEAF_S, Flight
from obsup.events import PartSent, PartStored, Retried

THROTTLED = Retried(1, 1, "503 SlowDown", 0.5, throttled=True)
FAILED = Retried(1, 1, "500 InternalError", 0.5)


class Hands:
    """A clock that is set by hand, in seconds."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def store(flight: Flight, parts: int) -> None:
    """Tell *flight* that so many parts were stored."""
    for number in range(1, parts + 1):
        flight(PartSent(number, 1))
        flight(PartStored(number, 1))


def test_it_begins_with_all_and_one_more_ready_for_each() -> None:
    """At full speed no worker waits for the driver."""
    flight = Flight(8)
    assert (flight.allowed, flight.window) == (8, 16)
    store(flight, 1000)
    assert (flight.allowed, flight.window) == (8, 16)


def test_a_request_to_slow_down_halves() -> None:
    """And nothing lies ready beyond it."""
    clock = Hands()
    flight = Flight(32, monotonic=clock)
    seen = []
    for _ in range(7):
        flight(THROTTLED)
        seen.append(flight.window)
        clock.now_s += DEAF_S
    assert seen == [16, 8, 4, 2, 1, 1, 1]


def test_a_burst_of_refusals_is_one_message() -> None:
    """32 workers are refused at once by a store that wants half as many, not one."""
    clock = Hands()
    flight = Flight(32, monotonic=clock)
    for _ in range(32):
        flight(THROTTLED)
        clock.now_s += DEAF_S / 100
    assert flight.allowed == 16


def test_other_failures_say_nothing_about_the_load() -> None:
    """A 500 or a reset is retried, with as many as before."""
    flight = Flight(32)
    flight(FAILED)
    assert flight.allowed == 32


def test_it_grows_back_by_one_a_round() -> None:
    """Additive increase: as many parts stored as are in flight, and one more may be."""
    flight = Flight(8)
    flight(THROTTLED)
    assert flight.allowed == 4
    store(flight, 5)
    assert flight.allowed == 5
    store(flight, 6)
    assert flight.allowed == 6
    store(flight, 100)
    assert (flight.allowed, flight.window) == (8, 16)

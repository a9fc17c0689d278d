"""Stop an upload by a signal, a deadline or a failure."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

import pytest

from obsup.cli.run.signals import stopping_on_signals
from obsup.engine.job.stop import StopSignal
from obsup.errors import Interrupted, OutOfTime, Terminated

INTERRUPTED = Interrupted("stopped by SIGINT")


class ManualClock:
    """A clock that only advances in ``pause``."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        """Advance by *seconds*."""
        self.now_s += seconds


def make_stop(*, deadline_s: float | None = None) -> tuple[StopSignal, ManualClock]:
    """Return a stop signal with a grace period of 5 s, and its clock."""
    clock = ManualClock()
    return StopSignal(grace_s=5, deadline_s=deadline_s, monotonic=clock, pause=clock.pause), clock


def test_nothing_stops_without_a_reason() -> None:
    """Without a signal or a deadline the work continues."""
    stop, clock = make_stop()
    assert not stop.sleep(1000)
    assert clock.now_s == pytest.approx(1100)
    stop.check()
    stop.check_in_flight()
    assert (stop.reason, stop.is_over, stop.grace_left_s) == (None, False, None)


def test_parts_in_flight_get_a_grace_period() -> None:
    """No new part starts; parts in flight have some seconds to end."""
    stop, clock = make_stop()
    stop.request_stop(INTERRUPTED)
    with pytest.raises(Interrupted):
        stop.check()
    stop.check_in_flight()
    clock.now_s += 4.9
    stop.check_in_flight()
    clock.now_s += 0.1
    with pytest.raises(Interrupted):
        stop.check_in_flight()


def test_the_first_reason_counts() -> None:
    """A second reason does not extend the grace period."""
    stop, clock = make_stop()
    stop.request_stop(INTERRUPTED)
    clock.now_s += 4
    stop.request_stop(Terminated("stopped by SIGTERM"))
    assert stop.reason is INTERRUPTED
    assert stop.grace_left_s == pytest.approx(1)
    stop.request_stop(INTERRUPTED, at_once=True)
    assert stop.is_over


def test_a_deadline_is_a_reason_to_stop() -> None:
    """--max-time: exit 75, with a grace period of one second, however late the reason is asked for."""
    stop, clock = make_stop(deadline_s=110)
    assert stop.grace_left_s == pytest.approx(11)
    assert stop.sleep(1000)
    assert clock.now_s == pytest.approx(110, abs=0.2)
    assert isinstance(stop.reason, OutOfTime)
    assert not stop.is_over
    clock.now_s = 111.2
    assert stop.is_over
    stop, clock = make_stop(deadline_s=110)
    clock.now_s = 111.2
    assert stop.is_over


def test_a_signal_before_the_deadline_does_not_extend_it() -> None:
    stop, clock = make_stop(deadline_s=110)
    clock.now_s = 109
    stop.request_stop(INTERRUPTED)
    assert stop.grace_left_s == pytest.approx(2)


def test_a_stop_ends_a_wait() -> None:
    """A backoff of half a minute does not delay a stop."""
    stop = StopSignal()
    threading.Timer(0.1, stop.request_stop, [INTERRUPTED]).start()
    assert stop.sleep(60)


def sleep_interrupted_at(step: int) -> bool:
    """Sleep, and request a stop at the *step*-th executed line; return whether there is such a line."""
    stop, steps = StopSignal(), 0

    def trace(_frame: FrameType, _event: str, _arg: object) -> Any:
        nonlocal steps
        steps += 1
        if steps == step:
            stop.request_stop(INTERRUPTED)
        return trace

    sys.settrace(trace)
    try:
        stop.sleep(0.001)
    finally:
        sys.settrace(None)
    return steps >= step


def test_a_signal_may_come_at_any_line() -> None:
    """The handler takes no lock: a handler that interrupts the wait that it must end would deadlock."""
    lines = []

    def try_all() -> None:
        step = 1
        while sleep_interrupted_at(step):
            lines.append(step)
            step += 1

    thread = threading.Thread(target=try_all, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), f"stuck at line {len(lines) + 1}"
    assert len(lines) > 5


def test_a_signal_interrupts_a_main_thread_that_waits_for_the_store() -> None:
    """Complete can take minutes: the reason is raised at the place of the wait.

    Its handler stays: the same signal may come twice, and must not interrupt the report.
    """
    stop, before = StopSignal(grace_s=0.0), signal.getsignal(signal.SIGTERM)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGTERM]).start()
    try:
        with pytest.raises(Terminated), stopping_on_signals(stop):
            time.sleep(60)
        assert signal.getsignal(signal.SIGTERM) is not before
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_deadline_interrupts_a_wait() -> None:
    """--max-time applies even during a request."""
    stop = StopSignal(grace_s=0.0, deadline_s=time.monotonic() + 0.1)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(OutOfTime), stopping_on_signals(stop):
        time.sleep(60)
    assert signal.getsignal(signal.SIGTERM) is before

"""How an upload is asked to stop."""

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


class Hands:
    """A clock that only moves when someone pauses."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        """Let *seconds* go by."""
        self.now_s += seconds


def stop_by_hand(*, deadline_s: float | None = None) -> tuple[StopSignal, Hands]:
    """Return a stop signal of 5 s grace, and its clock."""
    clock = Hands()
    return StopSignal(grace_s=5, deadline_s=deadline_s, monotonic=clock, pause=clock.pause), clock


def test_nothing_stops_by_itself() -> None:
    """Without a signal and a deadline the work goes on."""
    stop, clock = stop_by_hand()
    assert not stop.sleep(1000)
    assert clock.now_s == pytest.approx(1100)
    stop.check()
    stop.check_in_flight()
    assert (stop.reason, stop.is_over, stop.grace_left_s) == (None, False, None)


def test_parts_in_flight_have_their_grace() -> None:
    """Nothing new begins at once; what was begun ends some seconds later."""
    stop, clock = stop_by_hand()
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
    """And a second asker does not lengthen the grace."""
    stop, clock = stop_by_hand()
    stop.request_stop(INTERRUPTED)
    clock.now_s += 4
    stop.request_stop(Terminated("stopped by SIGTERM"))
    assert stop.reason is INTERRUPTED
    assert stop.grace_left_s == pytest.approx(1)
    stop.request_stop(INTERRUPTED, at_once=True)
    assert stop.is_over


def test_a_deadline_is_a_reason_of_its_own() -> None:
    """--max-time: exit 75, with the same grace."""
    stop, clock = stop_by_hand(deadline_s=110)
    assert stop.grace_left_s == pytest.approx(15)
    assert stop.sleep(1000)
    assert clock.now_s == pytest.approx(110, abs=0.2)
    assert isinstance(stop.reason, OutOfTime)
    assert not stop.is_over
    clock.now_s = 115.2
    assert stop.is_over


def test_a_sleeper_wakes_when_asked() -> None:
    """A backoff of half a minute does not hold a stop back."""
    stop = StopSignal()
    threading.Timer(0.1, stop.request_stop, [INTERRUPTED]).start()
    assert stop.sleep(60)


def sleep_interrupted_at(step: int) -> bool:
    """Sleep, and ask for the end at the *step*-th line that runs; return whether there was such a line."""
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
    """The handler takes no lock: one that interrupts the very wait it is to end would wait for ever."""
    hit = []

    def try_all() -> None:
        step = 1
        while sleep_interrupted_at(step):
            hit.append(step)
            step += 1

    thread = threading.Thread(target=try_all, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive(), f"stuck at line {len(hit) + 1}"
    assert len(hit) > 5


def test_a_main_thread_that_waits_for_the_store_is_broken_off() -> None:
    """Complete may keep a call waiting for minutes: the reason is raised where it waits."""
    stop = StopSignal(grace_s=0.0)
    threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGTERM]).start()
    with pytest.raises(Terminated), stopping_on_signals(stop):
        time.sleep(60)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_deadline_breaks_a_wait_off_too() -> None:
    """--max-time holds even while a call waits for its answer."""
    stop = StopSignal(grace_s=0.0, deadline_s=time.monotonic() + 0.1)
    with pytest.raises(OutOfTime), stopping_on_signals(stop):
        time.sleep(60)

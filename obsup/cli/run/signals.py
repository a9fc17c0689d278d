"""SIGINT and SIGTERM: the first requests an orderly end, the second exits at once. Also enforces the deadline."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from obsup.engine.job.stop import StopSignal
from obsup.errors import Interrupted, Terminated

_REASONS = {signal.SIGINT: Interrupted, signal.SIGTERM: Terminated}
# How long after the end of the grace period a request that still waits for the store is interrupted, and how often.
_MARGIN_S = 1.0


@contextmanager
def stopping_on_signals(
    stop: StopSignal, forward_signal: Callable[[int], None] | None = None
) -> Iterator[None]:
    """Inside the context, the first signal requests a *stop*, and the second exits at once.

    *forward_signal* receives each signal, and SIGKILL before the immediate exit, to pass it to a child process.

    After the grace period of the parts in flight, the reason for the stop is raised in the main thread if it still
    waits for the store (Complete may take minutes).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_stopping = False

    def request_stop(number: int, _frame: FrameType | None) -> None:
        nonlocal is_stopping
        error = _REASONS[signal.Signals(number)]
        if forward_signal is not None:
            forward_signal(signal.SIGKILL if is_stopping else number)
        if is_stopping:
            os._exit(error.exit_code)
        is_stopping = True
        stop.request_stop(error(f"stopped by {signal.Signals(number).name}", "Progress is kept"))
        set_alarm(stop)

    handlers: dict[int, Callable[[int, FrameType | None], None]] = dict.fromkeys(_REASONS, request_stop)
    if sys.platform != "win32":
        handlers[signal.SIGALRM] = lambda _number, _frame: stop.check_in_flight()
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    set_alarm(stop)
    try:
        yield
    finally:
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, previous in before.items():
            signal.signal(number, previous)


def set_alarm(stop: StopSignal) -> None:
    """Schedule SIGALRM for the end of the grace period, if a stop was requested or a deadline is set."""
    if sys.platform != "win32" and stop.grace_left_s is not None:
        signal.setitimer(signal.ITIMER_REAL, stop.grace_left_s + _MARGIN_S, _MARGIN_S)

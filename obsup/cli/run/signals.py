"""SIGINT and SIGTERM: the first asks for an orderly end, the second ends at once. A deadline is kept as well."""

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
# An orderly end is given so long before a call that still waits for the store is broken off, and then again.
_MARGIN_S = 1.0


@contextmanager
def stopping_on_signals(stop: StopSignal, hear: Callable[[int], None] | None = None) -> Iterator[None]:
    """While inside, turn the first signal into a request to *stop*, and let the second exit at once.

    *hear* is told of each signal, and of SIGKILL before the exit at once: it hands them on to a command.

    Once the parts in flight have had their time, a main thread that waits for the store (Complete may take
    minutes) gets the reason to stop raised where it waits.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def ask(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        error = _REASONS[signal.Signals(number)]
        if hear is not None:
            hear(signal.SIGKILL if asked else number)
        if asked:
            os._exit(error.exit_code)
        asked = True
        stop.ask(error(f"stopped by {signal.Signals(number).name}", "progress is kept"))
        set_alarm(stop)

    handlers: dict[int, Callable[[int, FrameType | None], None]] = dict.fromkeys(_REASONS, ask)
    if sys.platform != "win32":
        handlers[signal.SIGALRM] = lambda _number, _frame: stop.cut()
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
    """Have SIGALRM come after the moment from which nothing may be under way any more, where one is known."""
    if sys.platform != "win32" and stop.cut_in_s is not None:
        signal.setitimer(signal.ITIMER_REAL, stop.cut_in_s + _MARGIN_S, _MARGIN_S)

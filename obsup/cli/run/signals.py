"""SIGINT, SIGTERM, SIGHUP: the first requests an orderly end, the second exits at once. Also enforces the deadline."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from obsup.errors import HungUp, Interrupted, ObsupError, Terminated
from obsup.local.platform.signals import KILL, WaitAlarm

if TYPE_CHECKING:
    from obsup.engine.job.stop import StopSignal

# SIGBREAK of Windows stands for Ctrl-Break, and for the end of the console or of the session.
_NAMES = {"SIGINT": Interrupted, "SIGTERM": Terminated, "SIGHUP": HungUp, "SIGBREAK": Terminated}
_REASONS = {getattr(signal, name): error for name, error in _NAMES.items() if hasattr(signal, name)}
# How long after the end of the grace period a request that still waits for the store is interrupted, and how often.
_MARGIN_S = 0.5


# Signals that arrive within this time are one: "timeout" sends SIGTERM to obsup and then to its process group.
_SAME_SIGNAL_S = 1.0


def interrupt_on_signals() -> None:
    """Until ``stopping_on_signals``, every signal that it handles raises KeyboardInterrupt, with its number."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    _handle_signals(interrupt)


def ignore_signals() -> None:
    """Ignore the signals from now on: the result is reported, and the process ends."""
    _handle_signals(signal.SIG_IGN)


def _handle_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> dict[int, Any]:
    """Let *handler* handle the signals that were not ignored when the process started; return the earlier handlers."""
    numbers = [number for number in _REASONS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in numbers}


def stopped_by(number: int) -> Interrupted:
    """Return the error for the signal *number*."""
    return _REASONS[number](f"stopped by {signal.Signals(number).name}", "It ended before its work was done")


class _Handler:
    """Handles the signals: the first one requests a stop, another one exits at once."""

    def __init__(
        self,
        stop: StopSignal,
        forward_signal: Callable[[int], None] | None,
        print_error: Callable[[ObsupError], None],
    ) -> None:
        self._stop = stop
        self._forward_signal = forward_signal or (lambda _: None)
        self._print_error = print_error
        self._stopped_at_s: float | None = None
        self.alarm = WaitAlarm(stop.check_in_flight, self, self.leave)

    @property
    def has_stopped(self) -> bool:
        """Whether a signal requested the stop."""
        return self._stopped_at_s is not None

    def __call__(self, number: int) -> None:
        """Handle one signal."""
        error = stopped_by(number)
        if self._stopped_at_s is None:
            self._stopped_at_s = time.monotonic()
            self._forward_signal(number)
            self._stop.request_stop(error)
            set_alarm(self.alarm, self._stop)
        elif time.monotonic() - self._stopped_at_s > _SAME_SIGNAL_S:
            self._leave(error)

    def leave(self) -> None:
        """Exit at once, for the reason of the stop."""
        if self._stop.reason is not None:
            self._leave(self._stop.reason)

    def _leave(self, error: ObsupError) -> None:
        self._forward_signal(KILL)
        self._print_error(error)
        os._exit(error.exit_code)


@contextmanager
def stopping_on_signals(
    stop: StopSignal,
    forward_signal: Callable[[int], None] | None = None,
    *,
    print_error: Callable[[ObsupError], None] = lambda _: None,
) -> Iterator[None]:
    """Inside the context, the first signal requests a *stop*, and the second exits at once, after *print_error*.

    *forward_signal* receives each signal, and SIGKILL before the immediate exit, to pass it to a child process. A
    signal that was ignored when the process started stays ignored. After a stop, the handler stays.

    After the grace period of the parts in flight, the reason for the stop is raised in the main thread if it still
    waits for the store (Complete may take minutes).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = _Handler(stop, forward_signal, print_error)
    before = _handle_signals(handler.alarm.handle)
    try:
        with handler.alarm.active():
            set_alarm(handler.alarm, stop)
            yield
    finally:
        for number, previous in before.items() if not handler.has_stopped else ():
            signal.signal(number, previous)


def set_alarm(alarm: WaitAlarm, stop: StopSignal) -> None:
    """Schedule *alarm* for the end of the grace period, if a stop was requested or a deadline is set."""
    if stop.grace_left_s is not None:
        alarm.set(stop.grace_left_s + _MARGIN_S, _MARGIN_S)

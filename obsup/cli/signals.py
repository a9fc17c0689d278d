"""SIGINT and SIGTERM: the first asks for an orderly end, the second ends at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from obsup.engine.stop import StopSignal
from obsup.errors import Interrupted, Terminated

_REASONS = {signal.SIGINT: Interrupted, signal.SIGTERM: Terminated}


@contextmanager
def stopping_on_signals(stop: StopSignal) -> Iterator[None]:
    """While inside, turn the first signal into a request to *stop*, and let the second exit at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def ask(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        error = _REASONS[signal.Signals(number)]
        if asked:
            os._exit(error.exit_code)
        asked = True
        stop.ask(error(f"stopped by {signal.Signals(number).name}", "progress is kept"))

    before = {number: signal.signal(number, ask) for number in _REASONS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

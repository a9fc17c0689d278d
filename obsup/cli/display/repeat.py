"""Repeat an action by the clock while something else runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from obsup.local.platform.processes import start_thread


@contextmanager
def every(seconds: float, action: Callable[[], None]) -> Iterator[None]:
    """Call *action* in a thread every so many *seconds* while inside; never if no thread can be started."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            action()

    thread = threading.Thread(target=repeat, name="display", daemon=True)
    with suppress(RuntimeError):
        start_thread(thread)
    try:
        yield
    finally:
        ended.set()
        if thread.ident is not None:
            thread.join()

"""How many parts are in flight: halved when the store asks to slow down, one more after each full round without.

Pure but for its lock and clock: events in, a number out. Additive increase, multiplicative decrease, as TCP.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from obsup import events

# What was under way when the number was halved may be refused as well: so long that says nothing new, in seconds.
DEAF_S = 1.0


class Flight:
    """An Observer that says how many parts may be in flight, from 1 to *most*. It begins with *most*."""

    def __init__(self, most: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._allowed = float(most)
        self._deaf_until = float("-inf")

    @property
    def allowed(self) -> int:
        """How many parts may be in flight now."""
        return int(self._allowed)

    @property
    def window(self) -> int:
        """How many parts may be submitted now: at full speed another lies ready for each worker."""
        return 2 * self.most if self.allowed == self.most else self.allowed

    def __call__(self, event: events.Event) -> None:
        """Take *event* in: a part stored counts for more, a call throttled for less."""
        with self._lock:
            if isinstance(event, events.PartStored):
                self._allowed = min(self.most, self._allowed + 1 / self._allowed)
            elif isinstance(event, events.Retried) and event.throttled:
                self._halve()

    def _halve(self) -> None:
        now = self._monotonic()
        if now >= self._deaf_until:
            self._allowed = max(1.0, self._allowed / 2)
            self._deaf_until = now + DEAF_S

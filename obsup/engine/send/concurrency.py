"""How many parts are in flight: halved when the store asks to slow down, one more after each full round without.

Pure but for its lock and clock: events in, a number out. Additive increase, multiplicative decrease, as TCP.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from obsup import events
from obsup.engine.send.concurrency_probe import ConcurrencyProbe

# What was under way when the number was halved may be refused as well: so long that says nothing new, in seconds.
THROTTLE_PAUSE_S = 1.0


class ConcurrencyLimit:
    """An Observer that says how many parts may be in flight, from 1 to *most*.

    It begins with *most*, or with what *probe* says: then that is the number to grow back to, as it changes.
    """

    def __init__(
        self,
        most: int,
        *,
        probe: ConcurrencyProbe | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = most
        self._probe = probe
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._goal = most if probe is None else probe.goal
        self._allowed = float(self._goal)
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
                self._allowed = min(self._goal, self._allowed + 1 / self._allowed)
            elif isinstance(event, events.Retried) and event.throttled:
                self._halve()
            if self._probe is not None:
                self._follow(self._probe, event)

    def _halve(self) -> None:
        now = self._monotonic()
        if now >= self._deaf_until:
            self._allowed = max(1.0, self._allowed / 2)
            self._deaf_until = now + THROTTLE_PAUSE_S
            if self._probe is not None:
                self._probe.throttled(now)
                self._goal = self._probe.goal
                self._allowed = min(self._allowed, self._goal)

    def _follow(self, probe: ConcurrencyProbe, event: events.Event) -> None:
        """Let *probe* hear of the parts in flight, and take up what it wants to try."""
        if isinstance(event, events.PartSent):
            probe.sent(event.number, event.sent, self._monotonic())
        elif isinstance(event, events.PartStored):
            probe.stored(event.number, event.size, self._monotonic())
        elif isinstance(event, events.Retried) and event.number is not None:
            probe.failed(event.number)
        if probe.goal != self._goal:
            self._goal = probe.goal
            self._allowed = float(self._goal)

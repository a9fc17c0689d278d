"""The limit of parts in flight: halved if the store asks to slow down, one more after each full round.

Additive increase, multiplicative decrease, as TCP does. Pure, except for its lock and clock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from obsup import events
from obsup.engine.plan.concurrency_probe import ConcurrencyProbe

# Requests in flight when the limit is halved may be rejected as well: they do not halve it again for so many seconds.
THROTTLE_PAUSE_S = 1.0


class ConcurrencyLimit:
    """An Observer that computes how many parts may be in flight, from 1 to *most*.

    The limit starts at *most*, or at the goal of *probe*; it grows back to that number, which a probe may change.
    *follow* returns the number of workers, if that changes: it becomes *most*.
    """

    def __init__(
        self,
        most: int,
        *,
        probe: ConcurrencyProbe | None = None,
        follow: Callable[[], int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = most
        self._probe = probe
        self._follow = follow
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._goal = most if probe is None else probe.goal
        self._allowed = float(self._goal)
        self._ignore_until_s = float("-inf")

    @property
    def allowed(self) -> int:
        """The number of parts that may be in flight now."""
        if self._follow is not None:
            self._resize(max(1, self._follow()))
        return int(self._allowed)

    @property
    def window(self) -> int:
        """The number of parts that may be submitted now: at full speed, one more per worker is queued."""
        allowed = self.allowed
        return 2 * self.most if allowed == self.most else allowed

    def _resize(self, most: int) -> None:
        """Adopt another number of workers; more of them are used at once, unless the store asked to slow down."""
        with self._lock:
            if most != self.most:
                is_full = self._allowed == self._goal
                self.most = self._goal = most
                self._allowed = float(most) if is_full else min(self._allowed, most)

    def __call__(self, event: events.Event) -> None:
        """Raise the limit for a stored part, lower it for a throttled request."""
        with self._lock:
            if isinstance(event, events.PartStored):
                self._allowed = min(self._goal, self._allowed + 1 / self._allowed)
            elif isinstance(event, events.Retried) and event.throttled:
                self._halve()
            if self._probe is not None:
                self._update_probe(self._probe, event)

    def _halve(self) -> None:
        now_s = self._monotonic()
        if now_s < self._ignore_until_s:
            return
        self._allowed = max(1.0, self._allowed / 2)
        self._ignore_until_s = now_s + THROTTLE_PAUSE_S
        if self._probe is not None:
            self._probe.throttled(now_s)
            self._goal = self._probe.goal
            self._allowed = min(self._allowed, self._goal)

    def _update_probe(self, probe: ConcurrencyProbe, event: events.Event) -> None:
        """Pass the progress of parts to *probe*, and adopt its goal if it changed."""
        if isinstance(event, events.PartSent):
            probe.sent(event.number, event.sent, self._monotonic())
        elif isinstance(event, events.PartStored):
            probe.stored(event.number, event.size, self._monotonic())
        elif isinstance(event, events.Retried) and event.number is not None:
            probe.failed(event.number)
        if probe.goal != self._goal:
            self._goal = probe.goal
            self._allowed = float(self._goal)

"""The bandwidth limit: one schedule for all workers, which assigns each block the time when it may be sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from obsup.units import MIB

# The longest burst: what an idle connection may catch up, plus the duration of one block.
CREDIT_S = 0.1
BLOCK_S = 0.05
# How often a waiting worker checks whether the upload is stopped.
POLL_S = 0.2


class RateSchedule:
    """Assigns times to blocks so that they are sent at *rate_bytes_per_s*. Pure: the clock is an argument.

    In any time *t* it allows at most ``rate × (t + CREDIT_S + BLOCK_S)`` bytes and, as long as there is something to
    send, at least ``rate × (t - BLOCK_S)``: a worker that wakes up late delays no other.
    """

    def __init__(self, rate_bytes_per_s: float) -> None:
        self._rate = rate_bytes_per_s
        self._free_at_s = float("-inf")
        self.block_bytes = max(1, min(MIB, int(rate_bytes_per_s * BLOCK_S)))

    def reserve(self, size: int, now_s: float) -> float:
        """Reserve time for *size* bytes, at most ``block_bytes``; return in how many seconds they may be sent."""
        begin_s = max(self._free_at_s, now_s - CREDIT_S)
        self._free_at_s = begin_s + size / self._rate
        return max(0.0, begin_s - now_s)


class RateLimit:
    """Delays blocks so that all threads together send at most *rate_bytes_per_s*.

    *check* is called while a thread waits; an exception of it ends the wait.
    """

    def __init__(
        self,
        rate_bytes_per_s: float,
        *,
        check: Callable[[], object] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.rate_bytes_per_s = rate_bytes_per_s
        self._schedule = RateSchedule(rate_bytes_per_s)
        self._lock = threading.Lock()
        self._check = check
        self._monotonic = monotonic
        self._sleep = sleep

    def __call__(self, size: int) -> int:
        """Wait, then return how many of *size* bytes may be sent now: at least one."""
        granted = min(size, self._schedule.block_bytes)
        with self._lock:
            now_s = self._monotonic()
            due_s = now_s + self._schedule.reserve(granted, now_s)
        while (left_s := due_s - self._monotonic()) > 0:
            self._sleep(min(left_s, POLL_S))
            self._check()
        return granted

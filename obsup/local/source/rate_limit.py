"""The rate limit: one schedule for all workers, which tells each block when it may go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from obsup.units import MIB

# What a line that was idle may catch up on, and what one block may take: together the longest burst, in seconds.
CREDIT_S = 0.1
BLOCK_S = 0.05
# How soon a worker that waits for its turn notices that the work is to end, in seconds.
POLL_S = 0.2


class Pace:
    """Places blocks one behind the other on a line of *rate_bytes_per_s*. Pure: the clock is an argument.

    Over any time *t* it lets through at most ``rate × (t + CREDIT_S + BLOCK_S)`` bytes, and as long as there is
    somebody to send no less than ``rate × (t - BLOCK_S)``: who comes late to his turn delays nobody else.
    """

    def __init__(self, rate_bytes_per_s: float) -> None:
        self._rate = rate_bytes_per_s
        self._free_s = float("-inf")
        self.block = max(1, min(MIB, int(rate_bytes_per_s * BLOCK_S)))

    def reserve(self, size: int, now_s: float) -> float:
        """Take the line for *size* bytes, at most ``block``; return in how many seconds they may go."""
        begin_s = max(self._free_s, now_s - CREDIT_S)
        self._free_s = begin_s + size / self._rate
        return max(0.0, begin_s - now_s)


class RateLimit:
    """Holds blocks back so that all threads together send *rate_bytes_per_s*, and no more.

    *check* is called while a thread waits for its turn; what it raises ends the wait.
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
        self._pace = Pace(rate_bytes_per_s)
        self._lock = threading.Lock()
        self._check = check
        self._monotonic = monotonic
        self._sleep = sleep

    def __call__(self, size: int) -> int:
        """Wait for a turn, and return how many of *size* bytes may go now: at least one."""
        granted = min(size, self._pace.block)
        with self._lock:
            now_s = self._monotonic()
            turn_s = now_s + self._pace.reserve(granted, now_s)
        while (left_s := turn_s - self._monotonic()) > 0:
            self._sleep(min(left_s, POLL_S))
            self._check()
        return granted

"""The bandwidth limit: one schedule for all workers, which assigns each block the time when it may be sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from obsup.rate import Rate
from obsup.units import MIB

# The longest burst: what an idle connection may catch up, plus the duration of one block.
CREDIT_S = 0.1
BLOCK_S = 0.05
# How often a waiting worker checks whether the upload is stopped.
POLL_S = 0.2


class RateSchedule:
    """Assigns times to blocks so that they are sent at ``rate_bytes_per_s``, which may be changed at any time.

    In any time *t* it allows at most ``rate × (t + CREDIT_S + BLOCK_S)`` bytes and, as long as there is something to
    send, at least ``rate × (t - BLOCK_S)``: a worker that wakes up late delays no other. The clock is an argument.
    """

    def __init__(self, rate_bytes_per_s: float) -> None:
        self.rate_bytes_per_s = rate_bytes_per_s
        self._free_at_s = float("-inf")

    @property
    def block_bytes(self) -> int:
        """The size of a block at the current rate."""
        return max(1, min(MIB, int(self.rate_bytes_per_s * BLOCK_S)))

    def reserve(self, size: int, now_s: float) -> float:
        """Reserve time for *size* bytes, at most ``block_bytes``; return in how many seconds they may be sent."""
        begin_s = max(self._free_at_s, now_s - CREDIT_S)
        self._free_at_s = begin_s + size / self.rate_bytes_per_s
        return max(0.0, begin_s - now_s)


def local_minute() -> int:
    """Return the minute of the local day."""
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min


class RateLimit:
    """Delays blocks so that all threads together send at most at *rate*.

    *check* is called while a thread waits; an exception of it ends the wait. *minute* is the minute of the local day.
    """

    def __init__(
        self,
        rate: Rate,
        *,
        check: Callable[[], object] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        minute: Callable[[], int] = local_minute,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.rate = rate
        self._schedule = RateSchedule(0.0)
        self._lock = threading.Lock()
        self._check = check
        self._monotonic = monotonic
        self._minute = minute
        self._sleep = sleep

    def __call__(self, size: int) -> int:
        """Wait, then return how many of *size* bytes may be sent now: at least one."""
        bytes_per_s = self.rate.at(self._minute())
        if bytes_per_s is None:
            return size
        with self._lock:
            self._schedule.rate_bytes_per_s = bytes_per_s
            granted = min(size, self._schedule.block_bytes)
            now_s = self._monotonic()
            due_s = now_s + self._schedule.reserve(granted, now_s)
        while (left_s := due_s - self._monotonic()) > 0:
            self._sleep(min(left_s, POLL_S))
            self._check()
        return granted

"""The store's clock, as far as we know it: ours, corrected by what a refusal taught us."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class ServerClock:
    """Tells the time that the store expects in a signature."""

    def __init__(self, time_s: Callable[[], float] = time.time) -> None:
        self._time_s = time_s
        self.offset_s = 0.0

    def now(self) -> datetime:
        """Return the store's time, aware, in UTC."""
        return datetime.fromtimestamp(self._time_s() + self.offset_s, UTC)

    def learn(self, date: str) -> bool:
        """Take over the Date header of an answer; return whether it could be read."""
        try:
            moment = parsedate_to_datetime(date)
        except (ValueError, TypeError, IndexError):
            return False
        if not 2000 <= moment.year < 2200:  # no store's clock
            return False
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        self.offset_s = moment.timestamp() - self._time_s()
        return True

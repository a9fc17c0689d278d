"""The store's clock, as far as we know it: ours, corrected by what a refusal taught us."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from obsup.units import format_duration

# No store minds a minute, and the answer was under way.
DIFFERS_S = 60.0


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
        ahead_s = self.ahead_s(date)
        if ahead_s is None:
            return False
        self.offset_s = -ahead_s
        return True

    def ahead_s(self, date: str) -> float | None:
        """Return by how many seconds our own clock is ahead of a Date header of now; None where it is none."""
        try:
            moment = parsedate_to_datetime(date)
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
        if not 2000 <= moment.year < 2200:  # no store's clock
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return self._time_s() - moment.timestamp()


def difference(ahead_s: float | None, endpoint: str) -> str:
    """Return by how much our clock and that of *endpoint* differ, and which way; nothing where they do not."""
    if ahead_s is None or abs(ahead_s) < DIFFERS_S:
        return ""
    way = "ahead of" if ahead_s > 0 else "behind"
    host = urlsplit(endpoint).netloc or "the store's"
    return f"this computer's clock is {format_duration(abs(ahead_s))} {way} {host}"

"""The clock of the store, which dates signatures: this computer's clock plus an offset learned from a response."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from obsup.dates import parse_date
from obsup.units import format_duration

# No store rejects a difference of a minute, which the response may have spent on the network.
MIN_REPORTED_DIFFERENCE_S = 60.0


class ServerClock:
    """The time that the store expects in a signature.

    ``shown_offset_s`` is that of the last response to HEAD or GET: stores accept signatures that are wrong by minutes.
    """

    def __init__(self, time_s: Callable[[], float] = time.time) -> None:
        self._time_s = time_s
        self.offset_s = 0.0
        self.shown_offset_s = 0.0

    def now(self) -> datetime:
        """Return the time of the store, aware, in UTC."""
        return datetime.fromtimestamp(self._time_s() + self.offset_s, UTC)

    def learn(self, date: str) -> bool:
        """Adopt the Date header of a response; return whether it was valid."""
        ahead_s = self.ahead_s(date)
        if ahead_s is None:
            return False
        self.offset_s = self.shown_offset_s = -ahead_s
        return True

    def note(self, date: str) -> None:
        """Note the Date header of a response just received, if it is valid."""
        ahead_s = self.ahead_s(date)
        if ahead_s is not None:
            self.shown_offset_s = -ahead_s

    @property
    def true_offset_s(self) -> float:
        """The offset that responses show, if it certainly differs from that of the signatures."""
        differs = abs(self.shown_offset_s - self.offset_s) >= MIN_REPORTED_DIFFERENCE_S
        return self.shown_offset_s if differs else self.offset_s

    def ahead_s(self, date: str) -> float | None:
        """Return how many seconds this computer's clock is ahead of a Date header just received; None if invalid."""
        date_s = parse_date(date)
        if date_s is None or not 2000 <= datetime.fromtimestamp(date_s, UTC).year < 2200:
            return None
        return self._time_s() - date_s


def describe_difference(ahead_s: float | None, endpoint: str) -> str:
    """Return a sentence about the difference to the clock of *endpoint*; empty if the clocks agree."""
    if ahead_s is None or abs(ahead_s) < MIN_REPORTED_DIFFERENCE_S:
        return ""
    direction = "ahead of" if ahead_s > 0 else "behind"
    host = urlsplit(endpoint).netloc or "the store's"
    return f"This computer's clock is {format_duration(abs(ahead_s))} {direction} {host}"

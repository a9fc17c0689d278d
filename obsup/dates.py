"""Dates in headers, documents and messages."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

# The seconds since the epoch that a date of four digits for the year can have.
_FIRST_S, _LAST_S = -62135596800, 253402300799


def iso_date(seconds: float) -> str:
    """Return *seconds* since the epoch as an ISO 8601 date in UTC; the nearest one if a damaged file has none."""
    moment = datetime.fromtimestamp(min(max(_FIRST_S, seconds), _LAST_S), UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


@lru_cache(maxsize=64)  # the responses of one second have the same date
def parse_date(text: str) -> float | None:
    """Return the seconds since the epoch of an ISO 8601 or HTTP date; None if it is invalid. UTC without a zone."""
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
            seconds = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return seconds if _FIRST_S <= seconds <= _LAST_S else None
    return None

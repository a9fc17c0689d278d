"""Dates in headers, documents and messages."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache


def iso_date(seconds: float) -> str:
    """Return *seconds* since the epoch as an ISO 8601 date in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(maxsize=64)  # the responses of one second have the same date
def parse_date(text: str) -> float | None:
    """Return the seconds since the epoch of an ISO 8601 or HTTP date; None if it is invalid. UTC without a zone."""
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
            return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None

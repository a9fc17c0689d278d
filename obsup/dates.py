"""Dates in headers, documents and messages."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

# The seconds since the epoch that a date of four digits for the year can have.
_FIRST_S, _LAST_S = -62135596800, 253402300799

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# RFC 9110, section 5.6.7: the form that is sent.
_HTTP_DATE = re.compile(
    rf"(?:{'|'.join(_DAYS)}), (\d\d) ({'|'.join(_MONTHS)}) (\d{{4}}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII
)


def iso_date(seconds: float) -> str:
    """Return *seconds* since the epoch as an ISO 8601 date in UTC; the nearest one if a damaged file has none."""
    moment = datetime.fromtimestamp(min(max(_FIRST_S, seconds), _LAST_S), UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


@lru_cache(maxsize=8)  # the requests of one second have the same date
def http_date(moment: datetime) -> str:
    """Return *moment*, which is in UTC, as the date of a header, in English in every locale."""
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day:02} {month} {moment.year:04} {moment:%H:%M:%S} GMT"


def parse_http_date(text: str) -> datetime:
    """Return the moment of the date of a header, in any form that a mail may have as well; naive without a zone.

    Raises ValueError, TypeError or OverflowError.
    """
    if match := _HTTP_DATE.fullmatch(text):
        day, month, year, hour, minute, second = match.groups()
        number = _MONTHS.index(month) + 1
        return datetime(int(year), number, int(day), int(hour), int(minute), int(second), tzinfo=UTC)
    from email.utils import parsedate_to_datetime  # few dates need it, and it loads the email package

    return parsedate_to_datetime(text)


@lru_cache(maxsize=64)  # the responses of one second have the same date
def parse_date(text: str) -> float | None:
    """Return the seconds since the epoch of an ISO 8601 or HTTP date; None if it is invalid. UTC without a zone."""
    for parse in (datetime.fromisoformat, parse_http_date):
        try:
            moment = parse(text)
            seconds = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return seconds if _FIRST_S <= seconds <= _LAST_S else None
    return None

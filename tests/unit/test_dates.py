"""Dates that a damaged file, a store or a user can name."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup.dates import http_date, iso_date, parse_date, parse_http_date


@pytest.mark.parametrize(
    ("seconds", "date"),
    [
        (0.9, "1970-01-01T00:00:00Z"),
        (1e300, "9999-12-31T23:59:59Z"),
        (-1e300, "0001-01-01T00:00:00Z"),
        (math.inf, "9999-12-31T23:59:59Z"),
        (math.nan, "0001-01-01T00:00:00Z"),
    ],
)
def test_any_number_is_a_date(seconds: float, date: str) -> None:
    """A number without a date is shown as the nearest one."""
    assert iso_date(seconds) == date


@pytest.mark.parametrize(
    "text",
    ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "31 Feb", "Fri, 31 Dec 9999 23:59:59 -1400"],
)
def test_a_date_outside_all_years_is_invalid(text: str) -> None:
    """In UTC it has no year of four digits."""
    assert parse_date(text) is None


def test_the_last_date_is_valid() -> None:
    """It can be shown again."""
    assert iso_date(parse_date("9999-12-31T23:59:59Z") or 0) == "9999-12-31T23:59:59Z"


@given(st.datetimes(datetime(100, 1, 1), timezones=st.just(UTC)))
def test_the_date_of_a_header_is_that_of_the_email_package(moment: datetime) -> None:
    """Which takes long to load; it takes years below 100 for short ones."""
    text = http_date(moment)
    assert text == format_datetime(moment, usegmt=True)
    assert parse_http_date(text) == parsedate_to_datetime(text) == moment.replace(microsecond=0)


@pytest.mark.parametrize(
    "text", ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "6 Nov 1994 09:49:37 +0100"]
)
def test_older_forms_of_the_date_of_a_header_are_read(text: str) -> None:
    """RFC 9110, section 5.6.7, requires the first two."""
    assert parse_date(text) == parse_date("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777


@pytest.mark.parametrize(
    "text", ["Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT", "now", ""]
)
def test_the_date_of_a_header_that_does_not_exist_is_invalid(text: str) -> None:
    assert parse_date(text) is None

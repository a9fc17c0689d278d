"""Dates that a damaged file, a store or a user can name."""

from __future__ import annotations

import math

import pytest

from obsup.dates import iso_date, parse_date


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

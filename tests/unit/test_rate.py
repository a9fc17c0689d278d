"""RATE: a size per second, or a timetable of the local day."""

from __future__ import annotations

import pytest

from obsup.rate import parse_rate


@pytest.mark.parametrize(
    ("text", "minute", "bytes_per_s"),
    [
        ("10M", 0, 10 * 2**20),
        ("10M", 1439, 10 * 2**20),
        ("08:00,2M 18:00,off", 8 * 60 - 1, None),
        ("08:00,2M 18:00,off", 8 * 60, 2 * 2**20),
        ("08:00,2M 18:00,off", 18 * 60 - 1, 2 * 2**20),
        ("08:00,2M 18:00,off", 18 * 60, None),
        ("18:00,OFF  8:00,2MB", 9 * 60, 2_000_000),
        ("23:30,1K 00:30,2K", 0, 1024),
        ("23:30,1K 00:30,2K", 30, 2048),
        ("12:00,5K", 0, 5120),
    ],
)
def test_rate_in_a_minute_of_the_day(text: str, minute: int, bytes_per_s: int | None) -> None:
    """The last step lasts across midnight until the first one."""
    assert parse_rate(text).at(minute) == bytes_per_s


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "off",
        "x",
        "8,2M",
        "24:00,2M",
        "08:60,2M",
        "08:00,0",
        "08:00,x",
        "08:00,",
        "08:00 2M,1",
        "8:00,1K 08:00,2K",
    ],
)
def test_invalid_rates_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"rate|size|timetable"):
        parse_rate(text)


@pytest.mark.parametrize("text", ["10M", "1000", "08:00,2M 18:00,off", "00:00,1K 12:30,1500"])
def test_rate_is_printed_as_it_is_written(text: str) -> None:
    assert str(parse_rate(text)) == text
    assert parse_rate(str(parse_rate(text))) == parse_rate(text)


def test_workers_share_a_rate() -> None:
    """No limit stays no limit."""
    assert str(parse_rate("08:00,2M 18:00,off").divided(4)) == "08:00,512K 18:00,off"

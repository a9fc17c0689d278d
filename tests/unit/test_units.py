"""Parse and format sizes, durations and rates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup.units import exact_duration, exact_size, format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1048576", 1048576),
        ("100K", 102400),
        ("9M", 9437184),
        ("5G", 5368709120),
        ("9MiB", 9437184),
        ("9MB", 9000000),
        ("1.5G", 1610612736),
        (" 16m ", 16777216),
        ("2T", 2199023255552),
        ("7B", 7),
    ],
)
def test_size_units_are_those_of_the_vendors(text: str, size: int) -> None:
    """K, M, G are binary; KB, MB, GB are decimal."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "9 apples", "1e6", "9MM", "0x10", "٣M"])
def test_an_invalid_size_is_rejected_with_an_example(text: str) -> None:
    """The message shows valid sizes."""
    with pytest.raises(ValueError, match="9M"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("15m", 900), ("7h", 25200), ("2d", 172800), ("45", 45), ("0.5s", 0.5)]
)
def test_durations_are_parsed(text: str, seconds: float) -> None:
    """A number without a unit is seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5 weeks", "-3s", "1h30m"])
def test_an_invalid_duration_is_rejected(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="15m"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=2**60))
def test_an_exact_size_parses_back_to_the_same_size(size: int) -> None:
    """A size in a message can be used on the command line."""
    assert parse_size(exact_size(size)) == size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.1, "0.1s"), (1e-7, "0.0000001s"), (90, "90s"), (7200, "2h"), (1e6 + 1, "1000001s")],
)
def test_an_exact_duration_parses_back_to_the_same_duration(seconds: float, text: str) -> None:
    """A duration in a message can be used on the command line."""
    assert exact_duration(seconds) == text
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (9437184, "9.0 MiB"), (2**40, "1.0 TiB")],
)
def test_sizes_are_formatted(size: int, text: str) -> None:
    """Binary units, one digit."""
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (42, "42 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (59.9, "1 min 0 s")],
)
def test_durations_are_formatted(seconds: float, text: str) -> None:
    """At most two units."""
    assert format_duration(seconds) == text

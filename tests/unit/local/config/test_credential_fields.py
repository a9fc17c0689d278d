"""Access key, secret and token: trimming, incomplete pairs, invalid characters, times of expiry."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup.dialects.vendor import KeyNames
from obsup.errors import Denied
from obsup.local.config.credential_fields import pair_keys, parse_expiry, parse_json_object
from obsup.model import Credentials

NAMES = KeyNames("ID", "KEY", ("TOKEN", "OLD_TOKEN"))


def pair(**values: object) -> Credentials | None:
    return pair_keys(values, names=NAMES, origin="a test")


def test_white_space_around_a_value_is_removed() -> None:
    assert pair(ID=" AK\n", KEY="\tSK\r\n", TOKEN=" T ") == Credentials("AK", "SK", "T", origin="a test")


@pytest.mark.parametrize("values", [{}, {"ID": "", "KEY": " \n"}, {"TOKEN": "T"}])
def test_neither_key_nor_secret_is_none(values: dict[str, object]) -> None:
    assert pair(**values) is None


@pytest.mark.parametrize(
    ("values", "present", "missing"),
    [({"ID": "AK"}, "ID", "KEY"), ({"KEY": "SK", "ID": " "}, "KEY", "ID")],
)
def test_incomplete_pair_names_the_missing_value(
    values: dict[str, object], present: str, missing: str
) -> None:
    with pytest.raises(Denied, match=rf"{present} is set, {missing} is not \(a test\)") as caught:
        pair(**values)
    assert caught.value.exit_code == 77


def test_first_token_that_is_set_applies() -> None:
    found = pair(ID="AK", KEY="SK", TOKEN=" ", OLD_TOKEN="T")
    assert found is not None
    assert found.token == "T"


def test_access_key_may_contain_a_colon() -> None:
    found = pair(ID="account:user", KEY="SK")
    assert found is not None
    assert found.access_key == "account:user"


def test_secret_may_contain_characters_that_are_invalid_in_headers() -> None:
    found = pair(ID="AK", KEY="ein Schlüssel")
    assert found is not None
    assert found.secret_key == "ein Schlüssel"


@pytest.mark.parametrize(
    ("values", "position"),
    [
        ({"ID": "AK\nx", "KEY": "SK"}, "ID.*position 3"),
        ({"ID": "SAME\u00e9", "KEY": "SAME\u00e9"}, "ID.*position 5"),
        ({"ID": "AK", "KEY": "SK\rhidden"}, "KEY.*position 3"),
        ({"ID": "AK", "KEY": "SK", "TOKEN": "hid den"}, "TOKEN.*position 4"),
    ],
)
def test_invalid_characters_are_refused_and_not_shown(values: dict[str, object], position: str) -> None:
    with pytest.raises(Denied, match=position) as caught:
        pair(**values)
    assert "hid" not in repr(caught.value)


def test_value_that_is_not_text_is_refused_and_not_shown() -> None:
    with pytest.raises(Denied, match="KEY is not text") as caught:
        pair(ID="AK", KEY=["hidden"])
    assert "hidden" not in repr(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02T00:00:00Z", 86400.0),
        ("1970-01-01T00:00:00.250Z", 0.25),
        ("1970-01-01T00:00:00.123456789Z", 0.123456),
        ("1970-01-01T02:00:00+02:00", 0.0),
        (" 1970-01-01T00:00:01.000000Z\n", 1.0),
    ],
)
def test_expiry_is_seconds_since_the_epoch(text: str, seconds: float) -> None:
    assert parse_expiry(text) == pytest.approx(seconds, abs=1e-9)


def test_time_without_a_zone_is_utc_in_every_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert parse_expiry("1970-01-01T00:01:00") == 60.0
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "tomorrow", None, 1700000000, "2026-13-01T00:00:00Z"])
def test_invalid_time_is_none(text: object) -> None:
    assert parse_expiry(text) is None


@given(st.text())
def test_parsers_raise_for_no_text(text: str) -> None:
    parse_expiry(text)
    parse_json_object(text)


@pytest.mark.parametrize("text", ["", "[1]", "{", "null", "[" * 100_000])
def test_only_a_json_object_is_accepted(text: str) -> None:
    assert parse_json_object(text) is None

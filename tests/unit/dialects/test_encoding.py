"""Percent-encoding: servers decode exactly the original key."""

from __future__ import annotations

import re
from random import Random
from urllib.parse import parse_qsl, quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup.dialects.encoding import canonical_query, encode_key, encode_query

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
PAIRS = st.lists(st.tuples(TEXT, TEXT | st.none()), max_size=8)


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        ("plain.txt", "plain.txt"),
        ("a b+c%25d", "a%20b%2Bc%2525d"),
        ("对象/文件 名.txt", "%E5%AF%B9%E8%B1%A1/%E6%96%87%E4%BB%B6%20%E5%90%8D.txt"),
        ("dir//x", "dir//x"),
        ("/leading", "/leading"),
        ("a/../b/./c", "a/../b/./c"),
        ("~tilde", "~tilde"),
        ("s!*'();:@$,[]x", "s%21%2A%27%28%29%3B%3A%40%24%2C%5B%5Dx"),
        ("é/🚀&#.bin", "%C3%A9/%F0%9F%9A%80%26%23.bin"),
        ("e\u0301", "e%CC%81"),
        ("a\r\nb\x00", "a%0D%0Ab%00"),
        ("a\\b", "a%5Cb"),
    ],
)
def test_awkward_keys(key: str, encoded: str) -> None:
    assert encode_key(key) == encoded


@given(TEXT)
def test_encoded_key_decodes_to_the_key(key: str) -> None:
    encoded = encode_key(key)
    assert unquote(encoded, errors="strict") == key
    assert re.fullmatch(r"(?:[A-Za-z0-9._~/-]|%[0-9A-F]{2})*", encoded)
    assert encoded.count("/") == key.count("/")


@given(PAIRS)
def test_encoded_query_decodes_to_its_pairs(pairs: list[tuple[str, str | None]]) -> None:
    encoded = encode_query(pairs)
    assert re.fullmatch(r"(?:[A-Za-z0-9._~&=-]|%[0-9A-F]{2})*", encoded)
    named = [(name, value or "") for name, value in pairs if name or value is not None]
    assert parse_qsl(encoded, keep_blank_values=True) == named


def test_query_keeps_bare_names_empty_values_and_order() -> None:
    assert encode_query([("uploads", None), ("b", ""), ("a", "x y/+")]) == "uploads&b=&a=x%20y%2F%2B"
    assert encode_query([]) == ""


@given(PAIRS, st.randoms(use_true_random=False))
def test_canonical_query_does_not_depend_on_the_order(
    pairs: list[tuple[str, str | None]], random: Random
) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)
    for bare in (True, False):
        canonical = canonical_query(pairs, bare_when_empty=bare)
        assert canonical == canonical_query(shuffled, bare_when_empty=bare)


@given(PAIRS)
def test_canonical_query_is_sorted_by_encoded_name_then_value(pairs: list[tuple[str, str | None]]) -> None:
    fields = canonical_query(pairs, bare_when_empty=False).split("&") if pairs else []
    split = [tuple(field.split("=")) for field in fields]
    assert split == sorted((quote(name, safe=""), quote(value or "", safe="")) for name, value in pairs)


def test_canonical_query_sorts_encoded_parameters() -> None:
    """Encoded, "é" begins with % and sorts before "a"; decoded it would sort after it."""
    assert canonical_query([("a", "1"), ("é", "2")], bare_when_empty=False) == "%C3%A9=2&a=1"


def test_empty_value_of_a_canonical_query_is_as_the_vendor_writes_it() -> None:
    pairs = [("uploads", None), ("prefix", "")]
    assert canonical_query(pairs, bare_when_empty=False) == "prefix=&uploads="
    assert canonical_query(pairs, bare_when_empty=True) == "prefix&uploads"

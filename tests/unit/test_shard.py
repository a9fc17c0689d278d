"""Shares of files: disjoint, complete, and about equal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup.shard import Shard, parse_shard


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 50))
def test_each_key_belongs_to_one_share(key: str, count: int) -> None:
    assert sum(Shard(index, count).has(key) for index in range(1, count + 1)) == 1


def test_shares_are_about_equal() -> None:
    keys = [f"photos/{number}.jpg" for number in range(10_000)]
    for index in (1, 2, 3, 4):
        assert 2300 < sum(Shard(index, 4).has(key) for key in keys) < 2700


def test_share_of_a_key_never_changes() -> None:
    """Machines with different versions of obsup must agree."""
    assert [index for index in (1, 2, 3) if Shard(index, 3).has("2026/photos/a.jpg")] == [3]
    assert Shard(1, 1).has("\udcff")


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b"])
def test_invalid_shards_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid shard"):
        parse_shard(text)


def test_shard_is_printed_as_it_is_written() -> None:
    assert str(parse_shard("2/4")) == "2/4"

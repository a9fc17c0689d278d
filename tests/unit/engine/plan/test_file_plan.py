"""The plan covers the source exactly, within the store's limits, or says what would work."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup.dialects.registry import DIALECTS
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE, FilePlan, fit_part_size, make_plan
from obsup.errors import WrongUsage
from obsup.units import GIB, KIB, MIB, TIB, parse_size

OBS = DIALECTS["obs"].limits
S3 = DIALECTS["s3-v4"].limits


@given(size=st.integers(0, 10**7), part_size=st.integers(1, 10**6))
def test_parts_cover_the_source_without_gap_or_overlap(size: int, part_size: int) -> None:
    """Part n begins where part n-1 ends, and the last ends where the source does."""
    plan = FilePlan(size, max(part_size, size // 1000 + 1))
    end = 0
    for number, part in enumerate(plan.parts(), start=1):
        assert (part.number, part.offset) == (number, end)
        assert 0 < part.size <= plan.part_size or size == 0
        end += part.size
    assert end == size
    assert number == plan.count


@given(st.integers(0, OBS.max_object))
def test_every_source_that_the_store_can_hold_has_a_plan(size: int) -> None:
    """The default grows so that 10,000 parts always do."""
    plan = make_plan(size, OBS)
    assert plan.count <= OBS.max_parts
    assert DEFAULT_PART_SIZE <= plan.part_size <= OBS.max_part


@given(size=st.integers(1, 10**12), parts=st.integers(1, 10_000))
def test_parts_n_makes_n_parts_or_says_what_works(size: int, parts: int) -> None:
    """The nearest value that an error names does work."""
    try:
        plan = make_plan(size, OBS, parts=parts)
    except WrongUsage as exc:
        advised = re.search(r"--parts (\d+)", str(exc.next_step))
        assert advised
        plan, parts = make_plan(size, OBS, parts=int(advised[1])), int(advised[1])
    assert plan.count == parts
    assert plan.part_size >= OBS.min_part or plan.count == 1


@given(size=st.integers(0, OBS.max_object), part_size=st.integers(0, 2 * OBS.max_part))
def test_part_size_is_taken_as_given_or_an_error_names_one_that_works(size: int, part_size: int) -> None:
    """What the provider refuses is never adjusted in silence."""
    try:
        plan = make_plan(size, OBS, part_size=part_size)
    except WrongUsage as exc:
        advised = re.search(r"--part-size (\w+)", str(exc.next_step))
        assert advised
        part_size = parse_size(advised[1])
        try:
            plan = make_plan(size, OBS, part_size=part_size)
        except WrongUsage as second:
            advised = re.search(r"--part-size (\w+)", str(second.next_step))
            assert advised
            part_size = parse_size(advised[1])
            plan = make_plan(size, OBS, part_size=part_size)
    assert plan.part_size == part_size


def test_the_default_is_nine_mib_and_grows_by_whole_mib() -> None:
    """The vendor's default; beyond 10,000 × 9 MiB it grows."""
    assert fit_part_size(1 * GIB, 9 * MIB, OBS) == 9 * MIB
    grown = fit_part_size(1 * TIB, 9 * MIB, OBS)
    assert grown == 105 * MIB
    assert fit_part_size(10_000 * 9 * MIB, 9 * MIB, OBS) == 9 * MIB
    assert fit_part_size(10_000 * 9 * MIB + 1, 9 * MIB, OBS) == 10 * MIB


def test_an_empty_source_is_one_empty_part() -> None:
    """Files from 0 bytes up."""
    assert [part.size for part in make_plan(0, OBS).parts()] == [0]
    assert make_plan(0, OBS, parts=1).count == 1


@pytest.mark.parametrize("parts", [0, -1, 10_001, 10**9])
def test_an_impossible_count_names_the_nearest(parts: int) -> None:
    """taskNum=0 of the vendor's client sent half a file; here a wrong count sends nothing."""
    with pytest.raises(WrongUsage, match=r"1 to 10000 parts") as caught:
        make_plan(1 * GIB, OBS, parts=parts)
    assert str(caught.value.next_step) == f"use --parts {1 if parts < 1 else 10_000}"


def test_parts_below_the_least_size_name_the_most_that_fit() -> None:
    """300 KiB in five parts cannot be on OBS; in three they can."""
    with pytest.raises(WrongUsage) as caught:
        make_plan(300 * KIB, OBS, parts=5)
    assert str(caught.value.next_step) == "use --parts 3"
    assert make_plan(300 * KIB, OBS, parts=3).part_size == 100 * KIB


def test_each_vendor_has_its_own_least_part() -> None:
    """5 MiB on S3, 100 KiB on OBS."""
    with pytest.raises(WrongUsage) as caught:
        make_plan(1 * GIB, S3, part_size=1 * MIB)
    assert str(caught.value.next_step) == "use --part-size 5M"
    assert make_plan(1 * GIB, OBS, part_size=1 * MIB).count == 1024


def test_a_source_beyond_the_store_is_refused() -> None:
    """Nobody is made to wait for an upload that cannot be completed."""
    with pytest.raises(WrongUsage, match="too large"):
        make_plan(OBS.max_object + 1, OBS)


def test_parts_and_part_size_exclude_each_other() -> None:
    """Each decides the other."""
    with pytest.raises(WrongUsage, match="exclude each other"):
        make_plan(1 * GIB, OBS, parts=3, part_size=100 * MIB)

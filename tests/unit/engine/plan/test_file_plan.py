"""The plan covers the source exactly, within the store's limits, or the error names the nearest valid value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup.dialects.registry import DIALECTS
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE, FilePlan, fit_part_size, make_plan
from obsup.errors import NextStep, WrongUsage
from obsup.units import GIB, KIB, MIB, TIB, parse_size

OBS = DIALECTS["obs"].limits
S3 = DIALECTS["s3-v4"].limits


def advised_value(error: WrongUsage, option: str) -> str:
    """Return the value of *option* that the next step of *error* adds to the command."""
    step = error.next_step
    assert isinstance(step, NextStep)
    assert step.rerun
    name, value = step.add
    assert name == option
    return value


@given(size=st.integers(0, 10**7), part_size=st.integers(1, 10**6))
def test_parts_cover_the_source_without_gap_or_overlap(size: int, part_size: int) -> None:
    """Part n starts at the end of part n-1, and the last part ends at the end of the source."""
    plan = FilePlan(size, max(part_size, size // 1000 + 1))
    end = 0
    for number, part in enumerate(plan.parts(), start=1):
        assert (part.number, part.offset) == (number, end)
        assert 0 < part.size <= plan.part_size or size == 0
        end += part.size
    assert end == size
    assert number == plan.count


@given(st.integers(0, OBS.max_object))
def test_every_source_that_the_store_accepts_has_a_plan(size: int) -> None:
    """The default part size increases so that 10,000 parts always suffice."""
    plan = make_plan(size, OBS)
    assert plan.count <= OBS.max_parts
    assert DEFAULT_PART_SIZE <= plan.part_size <= OBS.max_part


@given(size=st.integers(1, 10**12), parts=st.integers(1, 10_000))
def test_parts_n_makes_n_parts_or_the_error_names_a_valid_number(size: int, parts: int) -> None:
    """The value in the next step works."""
    try:
        plan = make_plan(size, OBS, parts=parts)
    except WrongUsage as exc:
        parts = int(advised_value(exc, "--parts"))
        plan = make_plan(size, OBS, parts=parts)
    assert plan.count == parts
    assert plan.part_size >= OBS.min_part or plan.count == 1


@given(size=st.integers(0, OBS.max_object), part_size=st.integers(0, 2 * OBS.max_part))
def test_a_part_size_is_used_unchanged_or_the_error_names_a_valid_one(size: int, part_size: int) -> None:
    """An invalid part size is never adjusted silently."""
    try:
        plan = make_plan(size, OBS, part_size=part_size)
    except WrongUsage as exc:
        part_size = parse_size(advised_value(exc, "--part-size"))
        try:
            plan = make_plan(size, OBS, part_size=part_size)
        except WrongUsage as second:
            part_size = parse_size(advised_value(second, "--part-size"))
            plan = make_plan(size, OBS, part_size=part_size)
    assert plan.part_size == part_size


def test_the_default_is_9_mib_and_increases_by_whole_mib() -> None:
    """The vendor's default; it increases beyond 10,000 × 9 MiB."""
    assert fit_part_size(1 * GIB, 9 * MIB, OBS) == 9 * MIB
    grown = fit_part_size(1 * TIB, 9 * MIB, OBS)
    assert grown == 105 * MIB
    assert fit_part_size(10_000 * 9 * MIB, 9 * MIB, OBS) == 9 * MIB
    assert fit_part_size(10_000 * 9 * MIB + 1, 9 * MIB, OBS) == 10 * MIB


def test_an_empty_source_has_one_empty_part() -> None:
    """Files of 0 bytes can be uploaded."""
    assert [part.size for part in make_plan(0, OBS).parts()] == [0]
    assert make_plan(0, OBS, parts=1).count == 1


def test_a_part_size_that_is_too_small_names_the_nearest() -> None:
    """To the KiB: a few parts fewer than the limit instead of a tenth of them."""
    with pytest.raises(WrongUsage, match="--part-size 100K is too small") as caught:
        make_plan(1 * GIB, OBS, part_size=100 * KIB)
    assert advised_value(caught.value, "--part-size") == "105K"
    assert make_plan(1 * GIB, OBS, part_size=105 * KIB).count <= OBS.max_parts


@pytest.mark.parametrize("parts", [0, -1, 10_001, 10**9])
def test_an_invalid_number_of_parts_names_the_nearest(parts: int) -> None:
    """An invalid number of parts sends nothing."""
    with pytest.raises(WrongUsage, match=r"between 1 and 10000") as caught:
        make_plan(1 * GIB, OBS, parts=parts)
    assert advised_value(caught.value, "--parts") == ("1" if parts < 1 else "10000")


def test_parts_that_are_too_small_name_the_largest_valid_number() -> None:
    """OBS accepts 300 KiB in three parts, but not in five."""
    with pytest.raises(WrongUsage) as caught:
        make_plan(300 * KIB, OBS, parts=5)
    assert advised_value(caught.value, "--parts") == "3"
    assert make_plan(300 * KIB, OBS, parts=3).part_size == 100 * KIB


def test_each_vendor_has_its_own_smallest_part() -> None:
    """5 MiB on S3, 100 KiB on OBS."""
    with pytest.raises(WrongUsage) as caught:
        make_plan(1 * GIB, S3, part_size=1 * MIB)
    assert advised_value(caught.value, "--part-size") == "5M"
    assert make_plan(1 * GIB, OBS, part_size=1 * MIB).count == 1024


def test_a_source_larger_than_the_largest_object_is_rejected() -> None:
    """It fails before anything is sent."""
    with pytest.raises(WrongUsage, match="too large"):
        make_plan(OBS.max_object + 1, OBS)


def test_parts_and_part_size_exclude_each_other() -> None:
    """Each determines the other."""
    with pytest.raises(WrongUsage, match="exclude each other"):
        make_plan(1 * GIB, OBS, parts=3, part_size=100 * MIB)

"""The part sizes of a stream: small at the beginning, and yet all that the store can hold within its part limit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from obsup.dialects.dialect import Dialect, Limits
from obsup.dialects.registry import DIALECTS
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE, Growth
from obsup.engine.plan.stream_plan import (
    StreamPlan,
    StreamSizes,
    goal_of,
    growing,
    make_stream_sizes,
    parts_in_memory,
)
from obsup.errors import WrongUsage
from obsup.units import GIB, KIB, MIB

TB = 10**12

limits = st.builds(
    lambda parts, largest, share: Limits(
        min_part=100 * KIB,
        max_part=largest,
        max_parts=parts,
        max_object=max(1, parts * largest * share // 100),
        max_put=5 * GIB,
        max_key=1024,
        max_metadata=8 * KIB,
    ),
    parts=st.integers(1, 10_000),
    largest=st.integers(DEFAULT_PART_SIZE, 50 * GIB),
    share=st.integers(1, 100),
)
schedules = st.builds(
    lambda found, fixed: StreamSizes(fixed, found.max_part, found.max_parts) if fixed else growing(found),
    found=limits,
    fixed=st.sampled_from([None, 100 * KIB, 9 * MIB]),
)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_48_8_tb_are_reachable_from_the_default_start(dialect: Dialect) -> None:
    """No stream that the vendors' largest object could hold ends at the part limit."""
    found = dialect.limits
    sizes = growing(found)
    assert sizes.size_of(1) == 9 * MIB
    assert sizes.reach >= 48.8 * TB
    assert sizes.count_of(int(48.8 * TB)) <= found.max_parts
    assert max(sizes.size_of(number) for number in range(1, found.max_parts + 1)) <= found.max_part


def test_a_short_stream_has_small_parts() -> None:
    """What is common costs little memory: the size doubles only every 110 parts."""
    sizes = growing(DIALECTS["obs"].limits)
    assert sizes.growth == Growth(2, 110)
    assert sizes.size_of(sizes.count_of(10**9)) == 9 * MIB
    assert sizes.size_of(sizes.count_of(10**10)) == 72 * MIB
    assert sizes.size_of(sizes.count_of(10**11)) == 576 * MIB


@settings(deadline=None)
@given(limits)
def test_sizes_only_grow_and_reach_the_goal(found: Limits) -> None:
    """Part after part no smaller, never too large, and as a whole enough."""
    sizes = growing(found)
    numbers = {1, 2, found.max_parts, *range(1, found.max_parts, max(1, found.max_parts // 50))}
    found_sizes = [sizes.size_of(number) for number in sorted(numbers) if number <= found.max_parts]
    assert found_sizes == sorted(found_sizes)
    assert found_sizes[0] == DEFAULT_PART_SIZE
    assert found_sizes[-1] <= found.max_part
    if found.max_parts > 20:  # with a handful of parts, a small first one is a large share of what there is
        assert sizes.reach >= goal_of(found)


@pytest.mark.parametrize("parts", [40, 100, 1000])
def test_a_store_with_few_parts_gets_faster_growth(parts: int) -> None:
    """A store that takes 40 parts is not full after 40 small ones."""
    found = replace(DIALECTS["obs"].limits, max_parts=parts)
    assert growing(found).reach >= goal_of(found) >= 0.9 * parts * found.max_part


@settings(deadline=None)
@given(schedules, st.data())
def test_offsets_are_the_sums_of_the_sizes(sizes: StreamSizes, data: st.DataObject) -> None:
    """The next part begins where this one ends."""
    number = data.draw(st.integers(1, sizes.max_parts))
    assert sizes.offset_of(1) == 0
    assert sizes.offset_of(number + 1) == sizes.offset_of(number) + sizes.size_of(number)


@settings(deadline=None)
@given(schedules, st.data())
def test_a_plan_covers_the_stream_without_gap(sizes: StreamSizes, data: st.DataObject) -> None:
    """The parts of an ended stream: each has its size, and the last ends where the stream does."""
    size = data.draw(st.integers(0, sizes.reach))
    plan = StreamPlan(size, sizes)
    last = plan.part(plan.count)
    assert last.offset + last.size == size
    assert last.size > 0 or (size == 0 and plan.count == 1)
    if plan.count > 1:
        before = plan.part(plan.count - 1)
        assert before.offset + before.size == last.offset
        assert before.size == sizes.size_of(before.number)


@settings(deadline=None)
@given(st.integers(100 * KIB, 5 * GIB), st.integers(100 * KIB, 100 * MIB), st.integers(1, 1000))
def test_memory_is_bounded_while_parts_grow(part_size: int, start: int, jobs: int) -> None:
    """(parts in flight + 1) × part size, and less than that where 256 MiB would be passed."""
    count = parts_in_memory(part_size, start, jobs)
    assert 2 <= count <= jobs + 1
    assert count * part_size <= max(256 * MIB, (jobs + 1) * start, 2 * part_size)
    assert parts_in_memory(start, start, jobs) == jobs + 1


def test_a_part_size_is_fixed() -> None:
    """--part-size is what the user says it is, from the first part to the last."""
    sizes = make_stream_sizes(DIALECTS["obs"].limits, part_size=MIB)
    assert sizes.growth is None
    assert sizes.reach == 10_000 * MIB
    with pytest.raises(WrongUsage, match="--part-size 1K cannot be"):
        make_stream_sizes(DIALECTS["obs"].limits, part_size=KIB)


def test_an_expected_size_decides_the_part_size() -> None:
    """Whoever names the size gets the parts of a file of that size."""
    assert make_stream_sizes(DIALECTS["obs"].limits, expected=10**11) == StreamSizes(
        10 * MIB, 5 * GIB, 10_000
    )
    assert make_stream_sizes(DIALECTS["obs"].limits, expected=10 * MIB, parts=4).start == 2.5 * MIB


def test_a_stream_of_unknown_size_has_no_number_of_parts() -> None:
    """--parts needs a size to divide."""
    with pytest.raises(WrongUsage, match="--parts cannot split a stream"):
        make_stream_sizes(DIALECTS["obs"].limits, parts=5)

"""The part sizes of a stream: small at first, and large enough for the store's largest object in the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from obsup.dialects.dialect import Dialect, Limits
from obsup.dialects.registry import DIALECTS
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE, Growth
from obsup.engine.plan.stream_plan import (
    StreamPlan,
    StreamSizes,
    growing,
    jobs_in_memory,
    make_stream_sizes,
    parts_in_memory,
    required_reach,
)
from obsup.errors import WrongUsage
from obsup.units import GIB, KIB, MIB, TIB

TB = 10**12

store_limits = st.builds(
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
sizes_of_streams = st.builds(
    lambda limits, fixed: StreamSizes(fixed, limits.max_part, limits.max_parts) if fixed else growing(limits),
    limits=store_limits,
    fixed=st.sampled_from([None, 100 * KIB, 9 * MIB]),
)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_48_8_tb_are_reachable_from_the_default_start(dialect: Dialect) -> None:
    """A stream of the size of the vendors' largest object fits into the part limit."""
    limits = dialect.limits
    sizes = growing(limits)
    assert sizes.size_of(1) == 9 * MIB
    assert sizes.reach >= 48.8 * TB
    assert sizes.count_of(int(48.8 * TB)) <= limits.max_parts
    assert max(sizes.size_of(number) for number in range(1, limits.max_parts + 1)) <= limits.max_part


def test_a_short_stream_has_small_parts() -> None:
    """Common streams need little memory: the part size doubles only every 110 parts."""
    sizes = growing(DIALECTS["obs"].limits)
    assert sizes.growth == Growth(2, 110)
    assert sizes.size_of(sizes.count_of(10**9)) == 9 * MIB
    assert sizes.size_of(sizes.count_of(10**10)) == 72 * MIB
    assert sizes.size_of(sizes.count_of(10**11)) == 576 * MIB


@given(store_limits)
def test_sizes_never_shrink_and_reach_the_required_size(limits: Limits) -> None:
    """No part is smaller than the one before or too large, and together they are large enough."""
    sizes = growing(limits)
    numbers = {1, 2, limits.max_parts, *range(1, limits.max_parts, max(1, limits.max_parts // 50))}
    part_sizes = [sizes.size_of(number) for number in sorted(numbers) if number <= limits.max_parts]
    assert part_sizes == sorted(part_sizes)
    assert part_sizes[0] == DEFAULT_PART_SIZE
    assert part_sizes[-1] <= limits.max_part
    if limits.max_parts > 20:  # with few parts, a small first part is a large share of the total
        assert sizes.reach >= required_reach(limits)


@pytest.mark.parametrize("parts", [40, 100, 1000])
def test_a_store_with_few_parts_gets_faster_growth(parts: int) -> None:
    """A store that accepts 40 parts still accepts large streams."""
    limits = replace(DIALECTS["obs"].limits, max_parts=parts)
    assert growing(limits).reach >= required_reach(limits) >= 0.9 * parts * limits.max_part


@given(sizes_of_streams, st.data())
def test_offsets_are_the_sums_of_the_sizes(sizes: StreamSizes, data: st.DataObject) -> None:
    """Each part starts at the end of the previous one."""
    number = data.draw(st.integers(1, sizes.max_parts))
    assert sizes.offset_of(1) == 0
    assert sizes.offset_of(number + 1) == sizes.offset_of(number) + sizes.size_of(number)


@given(sizes_of_streams, st.data())
def test_a_plan_covers_the_stream_without_gap(sizes: StreamSizes, data: st.DataObject) -> None:
    """Each part has its size, and the last part ends at the end of the stream."""
    size = data.draw(st.integers(0, sizes.reach))
    plan = StreamPlan(size, sizes)
    last = plan.part(plan.count)
    assert last.offset + last.size == size
    assert last.size > 0 or (size == 0 and plan.count == 1)
    if plan.count > 1:
        before = plan.part(plan.count - 1)
        assert before.offset + before.size == last.offset
        assert before.size == sizes.size_of(before.number)


@given(st.integers(100 * KIB, 5 * GIB), st.integers(100 * KIB, 100 * MIB), st.integers(1, 1000))
def test_memory_is_bounded_while_parts_grow(part_size: int, start: int, jobs: int) -> None:
    """(parts in flight + 1) × part size, and less if that exceeds 256 MiB."""
    count = parts_in_memory(part_size, start, jobs)
    assert 2 <= count <= jobs + 1
    assert count * part_size <= max(256 * MIB, (jobs + 1) * start, 2 * part_size)
    assert parts_in_memory(start, start, jobs) == jobs + 1


def test_a_given_part_size_does_not_grow() -> None:
    """--part-size applies to all parts."""
    sizes = make_stream_sizes(DIALECTS["obs"].limits, part_size=MIB)
    assert sizes.growth is None
    assert sizes.reach == 10_000 * MIB
    with pytest.raises(WrongUsage, match="--part-size must be between 100K and 5G, not 1K"):
        make_stream_sizes(DIALECTS["obs"].limits, part_size=KIB)


@pytest.mark.parametrize(("max_object", "size_mib"), [(5 * TIB - 5 * GIB, 524), (90_001 * MIB, 10), (GIB, 9)])
def test_equal_parts_reach_the_largest_object(max_object: int, size_mib: int) -> None:
    """If all parts have one size, it is the smallest in which the largest object fits; large ones are sent singly."""
    limits = replace(DIALECTS["s3-v4"].limits, equal_parts=True, max_object=max_object)
    sizes = make_stream_sizes(limits)
    assert sizes == StreamSizes(size_mib * MIB, 5 * GIB, 10_000)
    assert sizes.reach >= max_object
    assert jobs_in_memory(sizes.start, 5) == (1 if size_mib > 85 else 5)
    assert parts_in_memory(sizes.start, sizes.start, 1) == 2
    assert make_stream_sizes(replace(limits, max_part=5 * MIB)).start == 5 * MIB


def test_an_expected_size_determines_the_part_size() -> None:
    """With --expect-size the parts are those of a file of that size."""
    assert make_stream_sizes(DIALECTS["obs"].limits, expected=10**11) == StreamSizes(
        10 * MIB, 5 * GIB, 10_000
    )
    assert make_stream_sizes(DIALECTS["obs"].limits, expected=10 * MIB, parts=4).start == 2.5 * MIB


def test_a_stream_of_unknown_size_cannot_be_split_into_n_parts() -> None:
    """--parts needs a size to divide."""
    with pytest.raises(WrongUsage, match="--parts cannot split a stream"):
        make_stream_sizes(DIALECTS["obs"].limits, parts=5)

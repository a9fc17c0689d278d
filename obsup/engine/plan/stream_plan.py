"""The part sizes of a stream, whose size is unknown until it ends. Pure; all sizes are bytes.

The store limits the number of parts. With small parts of one size a long stream would exceed that limit; with large
ones every stream would need much memory. So the first parts are small, and the part size grows in steps.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from obsup.dialects.dialect import Limits
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE, Growth, make_plan
from obsup.errors import NextStep, WrongUsage
from obsup.model import Part
from obsup.units import MIB
from obsup.value import Value

# 10,000 parts of 5 GiB are 53.7 TB, and the vendors' largest object is 48.8 TB: the small first parts may cost one
# eleventh of what parts of the largest size could hold.
REACH_NUMERATOR, REACH_DENOMINATOR = 10, 11

# Above this, fewer parts are in memory at once.
MAX_MEMORY_BYTES = 256 * MIB


class StreamSizes(Value):
    """The part sizes of a stream: *start*, multiplied by ``growth.factor`` after every ``growth.every`` parts.

    No part is larger than *max_part*. If *growth* is None, all parts have the size *start*.
    """

    start: int
    max_part: int
    max_parts: int
    growth: Growth | None = None

    def _levels(self) -> Iterator[tuple[int, int]]:
        """Yield (part size, number of parts with it) in order, up to the part limit."""
        size, left = self.start, self.max_parts
        while self.growth is not None and size < self.max_part and left > self.growth.every:
            yield size, self.growth.every
            left -= self.growth.every
            size = min(size * self.growth.factor, self.max_part)
        yield size, left

    def size_of(self, number: int) -> int:
        """Return the size of the part with this *number*, from 1, unless it is the last part."""
        for size, count in self._levels():
            if number <= count:
                return size
            number -= count
        raise ValueError(f"part {number} is beyond the part limit")

    def offset_of(self, number: int) -> int:
        """Return the offset of the part with this *number*; the number after the last part is allowed."""
        offset, left = 0, number - 1
        for size, count in self._levels():
            taken = min(left, count)
            offset += taken * size
            left -= taken
        return offset

    def count_of(self, size: int) -> int:
        """Return the number of parts of a stream of *size* bytes; an empty stream has one part."""
        return 1 + bisect_left(range(1, self.max_parts), size, key=lambda number: self.offset_of(number + 1))

    @property
    def reach(self) -> int:
        """The size of the largest stream that fits, in bytes."""
        return self.offset_of(self.max_parts + 1)


def required_reach(limits: Limits) -> int:
    """Return the size that a stream must be able to reach. Source: OBS API reference, "Uploading a Part", 48.8 TB."""
    return min(limits.max_object, limits.max_parts * limits.max_part * REACH_NUMERATOR // REACH_DENOMINATOR)


def growing(limits: Limits) -> StreamSizes:
    """Return the slowest growth from the default part size that reaches ``required_reach``.

    The part size doubles in equal steps. If even doubling with every part is not enough (a store with a limit of a few
    dozen parts), the factor is larger.
    """
    required, start = required_reach(limits), DEFAULT_PART_SIZE

    def sizes(factor: int, every: int) -> StreamSizes:
        return StreamSizes(start, limits.max_part, limits.max_parts, Growth(factor, every))

    # More parts per step reach less: use the most that still reach the required size.
    longest = bisect_right(
        range(1, limits.max_parts + 1), -required, key=lambda every: -sizes(2, every).reach
    )
    factor, chosen = 2, sizes(2, max(1, longest))
    while chosen.reach < required and start * factor < limits.max_part:
        factor *= 2
        chosen = sizes(factor, 1)
    return chosen


def make_stream_sizes(
    limits: Limits,
    *,
    parts: int | None = None,
    part_size: int | None = None,
    expected: int | None = None,
) -> StreamSizes:
    """Return the part sizes of a stream of *expected* bytes, None if that is unknown.

    With *part_size* or an expected size all parts have the same size, and if the store requires it: then one in which
    its largest object fits. Raises WrongUsage for what the store would reject, and for *parts* if the size is unknown.
    """
    if expected is not None:
        fixed = make_plan(expected, limits, parts=parts, part_size=part_size).part_size
        return StreamSizes(fixed, limits.max_part, limits.max_parts)
    if parts is not None:
        raise WrongUsage(
            "--parts cannot split a stream",
            "Its size is unknown before it ends",
            NextStep("use --part-size, or give the size of the stream with --expect-size"),
        )
    if part_size is not None:
        make_plan(part_size, limits, part_size=part_size)  # rejects a size that the store would reject
        return StreamSizes(part_size, limits.max_part, limits.max_parts)
    if limits.equal_parts:
        needed = -(-limits.max_object // (limits.max_parts * MIB)) * MIB
        start = min(max(DEFAULT_PART_SIZE, needed), limits.max_part)
        return StreamSizes(start, limits.max_part, limits.max_parts)
    return growing(limits)


def jobs_in_memory(part_size: int, jobs: int) -> int:
    """Return how many of *jobs* parts can be in flight, at least 1, while one more is read into the memory."""
    return max(1, min(jobs, MAX_MEMORY_BYTES // part_size - 1))


def parts_in_memory(part_size: int, start: int, jobs: int) -> int:
    """Return how many parts of *part_size* may be in memory at once: those in flight, and the one being read.

    For parts of the size *start* this is *jobs* + 1. For larger parts it is less, but at least two: one in flight, one
    being read.
    """
    budget = max(MAX_MEMORY_BYTES, (jobs + 1) * start)
    return max(2, min(jobs + 1, budget // part_size))


class StreamPlan(Value):
    """The plan of a stream: *size* bytes in parts of the sizes *sizes*."""

    size: int
    sizes: StreamSizes

    @property
    def part_size(self) -> int:
        """The size of the first parts, in bytes."""
        return self.sizes.start

    @property
    def growth(self) -> Growth | None:
        """How the part size grows, None if it does not."""
        return self.sizes.growth

    @property
    def count(self) -> int:
        """The number of parts."""
        return self.sizes.count_of(self.size)

    def part(self, number: int) -> Part:
        """Return the part with this *number*, from 1."""
        offset = self.sizes.offset_of(number)
        return Part(number, offset, max(0, min(self.sizes.size_of(number), self.size - offset)))

    def parts(self) -> Iterator[Part]:
        """Yield all parts in ascending order."""
        return (self.part(number) for number in range(1, self.count + 1))

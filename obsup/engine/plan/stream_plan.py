"""How large each part of a stream is, when nobody knows where it ends. Pure; all sizes are bytes.

The service takes so many parts and no more. Parts of one size would either end a long stream at the limit or
make a short one hold its memory; so parts begin small, and their size doubles every so many parts.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from obsup.dialects.dialect import Limits
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE, Growth, make_plan
from obsup.errors import WrongUsage
from obsup.model import Part
from obsup.units import MIB
from obsup.value import Value

# Ten thousand parts of 5 GiB are 53.7 TB and the vendors' largest object is 48.8 TB: small parts at the
# beginning may cost an eleventh of what all the largest together would hold.
REACH_NUMERATOR, REACH_DENOMINATOR = 10, 11

# Beyond this many bytes in memory, parts that have grown are fewer at a time.
MEMORY = 256 * MIB


class StreamSizes(Value):
    """The sizes of a stream's parts: *start*, times ``growth.factor`` after every ``growth.every`` parts.

    No part is larger than *max_part*. With *growth* None all are *start*.
    """

    start: int
    max_part: int
    max_parts: int
    growth: Growth | None = None

    def _levels(self) -> Iterator[tuple[int, int]]:
        """Yield (part size, how many parts of it follow) in order, up to the part limit."""
        size, left = self.start, self.max_parts
        while self.growth is not None and size < self.max_part and left > self.growth.every:
            yield size, self.growth.every
            left -= self.growth.every
            size = min(size * self.growth.factor, self.max_part)
        yield size, left

    def size_of(self, number: int) -> int:
        """Return the size of the part with this *number*, from 1, where it is not the last."""
        for size, count in self._levels():
            if number <= count:
                return size
            number -= count
        raise ValueError("the schedule ends before this part")

    def offset_of(self, number: int) -> int:
        """Return where the part with this *number* begins; one past the last part is allowed."""
        offset, left = 0, number - 1
        for size, count in self._levels():
            taken = min(left, count)
            offset += taken * size
            left -= taken
        return offset

    def count_of(self, size: int) -> int:
        """Return how many parts a stream of *size* bytes has; an empty one has one."""
        return 1 + bisect_left(range(1, self.max_parts), size, key=lambda number: self.offset_of(number + 1))

    @property
    def reach(self) -> int:
        """The longest stream that fits, in bytes."""
        return self.offset_of(self.max_parts + 1)


def required_reach(limits: Limits) -> int:
    """Return how long a stream must be able to become. Source: OBS API reference, "Uploading a Part", 48.8 TB."""
    return min(limits.max_object, limits.max_parts * limits.max_part * REACH_NUMERATOR // REACH_DENOMINATOR)


def growing(limits: Limits, start: int = DEFAULT_PART_SIZE) -> StreamSizes:
    """Return the gentlest schedule from *start* that reaches the goal of *limits*.

    Sizes double every so many parts. Where even doubling with every part does not reach it (a store that takes a
    few dozen parts), they grow faster.
    """
    goal = required_reach(limits)

    def sizes(factor: int, every: int) -> StreamSizes:
        return StreamSizes(start, limits.max_part, limits.max_parts, Growth(factor, every))

    # The longer a size stays, the less is reached: the longest that still reaches the goal is wanted.
    longest = bisect_right(range(1, limits.max_parts + 1), -goal, key=lambda every: -sizes(2, every).reach)
    factor, chosen = 2, sizes(2, max(1, longest))
    while chosen.reach < goal and start * factor < limits.max_part:
        factor *= 2
        chosen = sizes(factor, 1)
    return chosen


def make_stream_sizes(
    limits: Limits, *, parts: int | None = None, part_size: int | None = None, expected: int | None = None
) -> StreamSizes:
    """Return the schedule for a stream, of which *expected* bytes are foreseen where that is known.

    *part_size* fixes the size of every part, and so does an expected size. Raises WrongUsage for what the store
    would refuse, and for *parts* of a stream whose size nobody knows.
    """
    if expected is not None:
        fixed = make_plan(expected, limits, parts=parts, part_size=part_size).part_size
        return StreamSizes(fixed, limits.max_part, limits.max_parts)
    if parts is not None:
        raise WrongUsage(
            "--parts cannot split a stream",
            "nobody knows its size before it ends",
            "use --part-size, or name the size with --expect-size",
        )
    if part_size is not None:
        make_plan(part_size, limits, part_size=part_size)  # refuses a size that the store would refuse
        return StreamSizes(part_size, limits.max_part, limits.max_parts)
    return growing(limits)


def parts_in_memory(part_size: int, start: int, jobs: int) -> int:
    """Return how many parts of *part_size* may be in memory at once: those in flight, and the one being read.

    While parts have the size that they begin with, that is *jobs* + 1. Grown parts get fewer, at least two: one
    on its way, one being read.
    """
    budget = max(MEMORY, (jobs + 1) * start)
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
        """How the part size grows."""
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

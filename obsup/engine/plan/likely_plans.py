"""Guess how an object was split, from its size and its number of parts. Pure; sizes are bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice

from obsup.dialects.dialect import Limits
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE, FilePlan, Plan
from obsup.engine.plan.stream_plan import StreamPlan, growing
from obsup.units import MIB

# Common defaults: the tools of OSS and AWS use 5, 6, 8 and 10 MiB, browsers and scripts 5, 15 and 16 MiB.
COMMON_MIB = (8, 5, 10, 6, 16, 15, 20, 25, 32, 50, 64, 100, 128, 200, 256, 500, 512, 1000, 1024, 2048, 5120)
COMMON_MB = (5, 8, 10, 16, 20, 50, 64, 100, 128, 256, 500)
# Each plan costs an MD5 of the whole file.
MAX_PLANS = 24


def likely_plans(size: int, count: int, limits: Limits) -> list[Plan]:
    """Return up to MAX_PLANS plans of *size* bytes in *count* parts, the most likely first.

    They are our own default, our plan for streams, equal parts, the defaults of other tools, and then whole MiB.
    """
    return list(islice(_fitting(size, count, limits), MAX_PLANS))


def _fitting(size: int, count: int, limits: Limits) -> Iterator[Plan]:
    tried: set[int] = set()
    for part_size in _part_sizes(size, count):
        if part_size not in tried and FilePlan(size, part_size).count == count:
            tried.add(part_size)
            yield FilePlan(size, part_size)
        if part_size == DEFAULT_PART_SIZE:
            stream = StreamPlan(size, growing(limits))
            if (
                stream.count == count
                and stream.part(count).offset != FilePlan(size, part_size).part(count).offset
            ):
                yield stream


def _part_sizes(size: int, count: int) -> Iterator[int]:
    """Yield part sizes to try, the most likely first; not all of them result in *count* parts."""
    yield DEFAULT_PART_SIZE
    equal = max(1, -(-size // count))
    yield equal
    # If the default part size needs more than 10,000 parts, tools increase it to a whole MiB, or double it.
    yield -(-equal // MIB) * MIB
    yield from (one * MIB for one in COMMON_MIB)
    yield from (one * 10**6 for one in COMMON_MB)
    if count > 1:
        least, most = -(-equal // MIB), (size - 1) // (count - 1) // MIB
        yield from (one * MIB for one in range(least, most + 1))


class PlanDigest:
    """Computes the composite ETag that *plan* makes of the bytes of a file."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._sizes = (part.size for part in plan.parts())
        self._left = next(self._sizes)
        self._part = hashlib.md5(usedforsecurity=False)
        self._whole = hashlib.md5(usedforsecurity=False)

    def update(self, block: memoryview) -> None:
        """Add the next bytes."""
        while len(block) > self._left:
            self._part.update(block[: self._left])
            block = block[self._left :]
            self._end_part()
        self._part.update(block)
        self._left -= len(block)

    def _end_part(self) -> None:
        self._whole.update(self._part.digest())
        self._part = hashlib.md5(usedforsecurity=False)
        self._left = next(self._sizes)

    @property
    def etag(self) -> str:
        """The ETag, md5-of-md5s-N, after the last byte was added."""
        whole = self._whole.copy()
        whole.update(self._part.digest())
        return f"{whole.hexdigest()}-{self.plan.count}"

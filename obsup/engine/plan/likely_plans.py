"""How an object may have been cut, when only its size and its number of parts are known. Pure; sizes are bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice

from obsup.dialects.dialect import Limits
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE, FilePlan, Plan
from obsup.engine.plan.stream_plan import StreamPlan, growing
from obsup.units import MIB

# Defaults and habits: OSS's and AWS's tools begin with 5, 6, 8 and 10 MiB, browsers and scripts with 5, 15, 16 MiB.
USUAL_MIB = (8, 5, 10, 6, 16, 15, 20, 25, 32, 50, 64, 100, 128, 200, 256, 500, 512, 1000, 1024, 2048, 5120)
USUAL_MB = (5, 8, 10, 16, 20, 50, 64, 100, 128, 256, 500)
# Each plan costs a pass of MD5 over the file.
MAX_PLANS = 24


def likely_plans(size: int, count: int, limits: Limits) -> list[Plan]:
    """Return the plans of *size* bytes in *count* parts, the likeliest first: at most MOST.

    Our own default, equal parts, the defaults of other tools, our plan for streams, and then whole MiB.
    """
    return list(islice(_fitting(size, count, limits), MAX_PLANS))


def _fitting(size: int, count: int, limits: Limits) -> Iterator[Plan]:
    seen: set[int] = set()
    for part_size in _part_sizes(size, count):
        if part_size not in seen and FilePlan(size, part_size).count == count:
            seen.add(part_size)
            yield FilePlan(size, part_size)
        if part_size == DEFAULT_PART_SIZE:
            stream = StreamPlan(size, growing(limits))
            if (
                stream.count == count
                and stream.part(count).offset != FilePlan(size, part_size).part(count).offset
            ):
                yield stream


def _part_sizes(size: int, count: int) -> Iterator[int]:
    """Yield part sizes to try, likeliest first; not all of them give *count* parts."""
    yield DEFAULT_PART_SIZE
    equal = max(1, -(-size // count))
    yield equal
    # Where a default did not do for 10,000 parts, tools grow it: to a whole MiB, or by doubling.
    yield -(-equal // MIB) * MIB
    yield from (one * MIB for one in USUAL_MIB)
    yield from (one * 10**6 for one in USUAL_MB)
    if count > 1:
        least, most = -(-equal // MIB), (size - 1) // (count - 1) // MIB
        yield from (one * MIB for one in range(least, most + 1))


class PlanDigest:
    """Takes the bytes of a file in; gives the composite ETag that *plan* makes of them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._sizes = (part.size for part in plan.parts())
        self._left = next(self._sizes)
        self._part = hashlib.md5(usedforsecurity=False)
        self._whole = hashlib.md5(usedforsecurity=False)

    def update(self, block: memoryview) -> None:
        """Take the next bytes in."""
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
        """The ETag, once the file is read to its end: md5-of-md5s-N."""
        whole = self._whole.copy()
        whole.update(self._part.digest())
        return f"{whole.hexdigest()}-{self.plan.count}"

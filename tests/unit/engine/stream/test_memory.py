"""Streams that cannot fit into the memory are refused, unless the user chose the parts."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from obsup.dialects.registry import DIALECTS
from obsup.engine.job.request import Jobs, UploadRequest
from obsup.engine.plan.stream_plan import make_stream_sizes
from obsup.engine.stream.memory import check_memory, fitting_jobs
from obsup.errors import WrongUsage
from obsup.local.source.expectation import Expectation
from obsup.model import Target
from obsup.units import GIB, MIB, TIB

LIMITS = replace(DIALECTS["s3-v4"].limits, equal_parts=True, max_object=5 * TIB)


def request(part_size: int | None = None, expected: int | None = None, jobs: Jobs = "auto") -> UploadRequest:
    """Return the request of a stream."""
    target = Target("s3", "", "bucket", "key")
    return UploadRequest(Path("-"), target, part_size=part_size, expect=Expectation(size=expected), jobs=jobs)


@pytest.mark.parametrize(
    ("part_size", "expected", "memory", "fits"),
    [
        (None, None, 2 * 525 * MIB, True),
        (None, None, 2 * 525 * MIB - 1, False),
        (None, None, None, True),
        (GIB, None, 64 * MIB, True),
        (None, 100 * GIB, 64 * MIB, True),
        (None, 5 * TIB, GIB, False),
        (None, 10 * MIB, 10 * MIB, True),
        (None, 10 * MIB, 9 * MIB, False),
    ],
)
def test_two_parts_of_the_size_that_obsup_chose_must_fit(
    part_size: int | None, expected: int | None, memory: int | None, fits: bool
) -> None:
    """Or the whole stream, if it is shorter."""
    wanted = request(part_size, expected)
    sizes = make_stream_sizes(LIMITS, part_size=part_size, expected=expected)
    if fits:
        check_memory(wanted, LIMITS, sizes, memory)
    else:
        with pytest.raises(WrongUsage, match="of memory, and this process can have"):
            check_memory(wanted, LIMITS, sizes, memory)


@pytest.mark.parametrize(
    ("part_size", "expected", "jobs", "result"),
    [(None, None, "auto", 1), (None, None, 4, 4), (None, None, 9, 6), (GIB, None, "auto", 5)],
)
def test_parts_in_flight(part_size: int | None, expected: int | None, jobs: Jobs, result: int) -> None:
    """One, if the store requires parts so large; --jobs asks for more, up to what the memory allows (6 here)."""
    sizes = make_stream_sizes(LIMITS, part_size=part_size, expected=expected)
    assert fitting_jobs(request(part_size, expected, jobs), LIMITS, sizes, most=6) == result

"""Guess how an object was split from its number of parts, and compute the ETag of each plan."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup.dialects.registry import find_dialect
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE, FilePlan, Plan, make_plan
from obsup.engine.plan.likely_plans import MAX_PLANS, PlanDigest, likely_plans
from obsup.engine.plan.stream_plan import StreamPlan, growing
from obsup.engine.proof.object_proof import composite_etag
from obsup.units import GIB, MIB

LIMITS = find_dialect("obs").limits


@given(st.integers(1, 100 * GIB), st.integers(1, 10_000))
def test_every_likely_plan_has_the_number_of_parts(size: int, count: int) -> None:
    """No plan is useless or repeated, and there are only a few."""
    plans = likely_plans(size, count, LIMITS)
    assert all(plan.count == count for plan in plans)
    assert len(plans) <= MAX_PLANS
    assert len(set(plans)) == len(plans)


@pytest.mark.parametrize(
    ("size", "parts", "part_size"),
    [
        (100 * MIB, None, None),  # our default
        (100 * MIB, 5, None),  # --parts, as the vendors' samples do
        (30_000_000, 3, None),
        (3 * GIB, None, 8 * MIB),  # the AWS command line
        (3 * GIB, None, 5 * MIB),  # s3cmd, rclone
        (3 * GIB, None, 16 * MIB),
        (200 * GIB, None, None),  # increased to a whole MiB for 10,000 parts
        (100 * GIB, None, 100_000_000),
        (40 * GIB, None, 33 * MIB),
    ],
)
def test_the_plans_of_common_tools_are_likely(size: int, parts: int | None, part_size: int | None) -> None:
    """Default part sizes and --parts of other tools."""
    plan = make_plan(size, LIMITS, parts=parts, part_size=part_size)
    assert plan in likely_plans(size, plan.count, LIMITS)


def part_sizes(plan: Plan) -> list[int]:
    """Return the sizes of its parts."""
    return [part.size for part in plan.parts()]


def test_our_own_default_is_tried_first() -> None:
    """Usually one pass over the file is enough."""
    plan = make_plan(1000 * MIB, LIMITS)
    assert likely_plans(1000 * MIB, plan.count, LIMITS)[0] == FilePlan(1000 * MIB, DEFAULT_PART_SIZE)


def test_the_plan_of_a_stream_is_likely() -> None:
    """Its part size grows, so no plan with equal parts has its ETag."""
    size = 4 * GIB
    stream = StreamPlan(size, growing(LIMITS))
    assert stream in likely_plans(size, stream.count, LIMITS)
    assert part_sizes(stream) != part_sizes(FilePlan(size, DEFAULT_PART_SIZE))


@given(st.binary(max_size=300), st.integers(1, 50), st.integers(1, 70))
def test_the_etag_does_not_depend_on_the_block_size(data: bytes, part_size: int, block: int) -> None:
    """The ETag is md5-of-md5s-N of the parts."""
    plan = FilePlan(len(data), part_size)
    digest = PlanDigest(plan)
    for at in range(0, len(data), block):
        digest.update(memoryview(data[at : at + block]))
    parts = [data[part.offset : part.offset + part.size] for part in plan.parts()]
    assert digest.etag == composite_etag([hashlib.md5(part).hexdigest() for part in parts])

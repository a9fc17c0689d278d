"""The memory of a stream: whether its parts fit, and how many of them are in flight."""

from __future__ import annotations

from obsup.dialects.dialect import Limits
from obsup.engine.job.request import UploadRequest
from obsup.engine.plan.stream_plan import StreamSizes, jobs_in_memory
from obsup.errors import NextStep, WrongUsage, run_again
from obsup.units import MIB, exact_size, format_size


def check_memory(request: UploadRequest, limits: Limits, sizes: StreamSizes, memory: int | None) -> None:
    """Raise WrongUsage if the parts that obsup chose do not fit into *memory* bytes: one in flight, one being read.

    None: it is unknown. Parts that grow, and those that the user chose, are not checked: the stream may be short.
    """
    expected = request.expect.size
    needed = 2 * sizes.start if expected is None else min(2 * sizes.start, expected)
    is_chosen = request.part_size is not None or request.parts is not None
    if is_chosen or sizes.growth is not None or memory is None or needed <= memory:
        return
    fitting = max(limits.min_part, memory // 4 // MIB * MIB)
    if expected is None:
        why = f"All parts must have one size: {format_size(sizes.start)}, so that the largest object of the store fits"
        what = f"smaller parts, in which {format_size(fitting * sizes.max_parts)} fit"
        next_step = run_again(
            f"give the size with --expect-size, or use {what}", add=("--part-size", exact_size(fitting))
        )
    else:
        why = f"Its parts have {format_size(sizes.start)}, so that it fits into {sizes.max_parts} parts"
        next_step = NextStep("write it to a file and upload that: the parts of a file are not kept in memory")
    raise WrongUsage(
        f"a stream to {request.target} needs {format_size(needed)} of memory, and this process can have "
        f"{format_size(memory)}",
        f"{why}; two of them are in memory",
        next_step,
    )


def fitting_jobs(request: UploadRequest, limits: Limits, sizes: StreamSizes, *, most: int) -> int:
    """Return how many parts are in flight, at most *most*. With large parts of one size, only --jobs asks for many."""
    jobs = min(most, request.initial_jobs)
    is_sized = request.part_size is not None or request.expect.size is not None
    if request.given_jobs or is_sized or not limits.equal_parts:
        return jobs
    return jobs_in_memory(sizes.start, jobs)

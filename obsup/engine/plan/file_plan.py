"""The plan of an upload: how a source of known size is split into parts. Pure; sizes are bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from obsup.dialects.dialect import Limits
from obsup.errors import NextStep, WrongUsage, run_again
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import Part
from obsup.units import KIB, MIB, exact_size, format_size
from obsup.value import Value

DEFAULT_PART_SIZE = 9 * MIB
# Parts in flight with --jobs auto: at the start, and at most.
INITIAL_JOBS, MAX_JOBS = 5, 32


class Growth(NamedTuple):
    """How the part size grows: it is multiplied by *factor* after every *every* parts."""

    factor: int
    every: int


class Plan(Protocol):
    """How a source is split into parts."""

    @property
    def size(self) -> int:
        """The size of the source in bytes."""

    @property
    def part_size(self) -> int:
        """The size of part 1 in bytes, unless it is the last part."""

    @property
    def growth(self) -> Growth | None:
        """How the part size grows, None if it does not."""

    @property
    def count(self) -> int:
        """The number of parts."""

    def part(self, number: int) -> Part:
        """Return the part with this *number*, from 1."""

    def parts(self) -> Iterator[Part]:
        """Yield all parts in ascending order."""


class FilePlan(Value):
    """The plan of a file: parts of ``part_size`` bytes; the last may be smaller. An empty file has one part."""

    size: int
    part_size: int

    @property
    def growth(self) -> Growth | None:
        """None: all parts have the same size."""
        return None

    @property
    def count(self) -> int:
        """The number of parts."""
        return max(1, -(-self.size // self.part_size))

    def part(self, number: int) -> Part:
        """Return the part with this *number*, from 1."""
        offset = (number - 1) * self.part_size
        return Part(number, offset, max(0, min(self.part_size, self.size - offset)))

    def parts(self) -> Iterator[Part]:
        """Yield all parts in ascending order."""
        return (self.part(number) for number in range(1, self.count + 1))


def recorded_plan(checkpoint: Checkpoint) -> FilePlan:
    """Return the plan of the file that *checkpoint* records."""
    return FilePlan(checkpoint.stat.size, checkpoint.part_size)


def fit_part_size(size: int, wanted: int, limits: Limits, *, unit: int = MIB) -> int:
    """Return the smallest allowed part size of at least *wanted* that fits *size* into the part limit.

    An increased size is a multiple of *unit*. Raises WrongUsage if even the largest part size needs too many parts.
    Source: OBS API reference, "Uploading a Part", constraints.
    """
    least = -(-size // limits.max_parts)
    if least <= wanted:
        return max(wanted, limits.min_part)
    increased = max(-(-least // unit) * unit, limits.min_part)
    if increased <= limits.max_part:
        return increased
    if least <= limits.max_part:
        return limits.max_part
    raise _too_large(size, f"{limits.max_parts} parts of {format_size(limits.max_part)}")


def make_plan(
    size: int, limits: Limits, *, parts: int | None = None, part_size: int | None = None
) -> FilePlan:
    """Return the plan for *size* bytes: in *parts* parts, with *part_size*, or with the default part size.

    Raises WrongUsage, with the nearest valid value, for what the store would reject.
    """
    if size > limits.max_object:
        raise _too_large(size, f"objects of {format_size(limits.max_object)}")
    if parts is not None and part_size is not None:
        raise WrongUsage(
            "--parts and --part-size exclude each other",
            "Each of them determines the other",
            run_again("leave out --part-size", drop=("--part-size",)),
        )
    if parts is not None:
        return _plan_by_count(size, parts, limits)
    if part_size is not None:
        return _plan_by_size(size, part_size, limits)
    return FilePlan(size, fit_part_size(size, DEFAULT_PART_SIZE, limits))


def _too_large(size: int, most: str) -> WrongUsage:
    return WrongUsage(
        f"a source of {format_size(size)} is too large",
        f"The store accepts at most {most}",
        NextStep("split the source into several objects"),
    )


def _use(option: str, value: int | str, more: str = "") -> NextStep:
    return run_again(f"use {option} {value}{more}", add=(option, str(value)), option=option)


def _plan_by_count(size: int, parts: int, limits: Limits) -> FilePlan:
    if not 1 <= parts <= limits.max_parts:
        least, most = -(-size // limits.max_part), max(1, size // limits.min_part)
        raise WrongUsage(
            f"--parts must be between 1 and {limits.max_parts}, not {parts}",
            f"The store accepts at most {limits.max_parts} parts per upload",
            _use("--parts", min(max(parts, least, 1), most, limits.max_parts)),
        )
    part_size = max(1, -(-size // parts))
    if part_size > limits.max_part:
        raise WrongUsage(
            f"--parts {parts} makes parts of {format_size(part_size)}",
            f"The store accepts parts of at most {format_size(limits.max_part)}",
            _use("--parts", -(-size // limits.max_part), " or more"),
        )
    if parts > 1 and part_size < limits.min_part:
        raise WrongUsage(
            f"--parts {parts} makes parts of {format_size(part_size)}",
            f"Every part but the last must have at least {format_size(limits.min_part)}",
            _use("--parts", max(1, size // limits.min_part)),
        )
    return FilePlan(size, part_size)


def _plan_by_size(size: int, part_size: int, limits: Limits) -> FilePlan:
    nearest = min(max(part_size, limits.min_part), limits.max_part)
    if nearest != part_size:
        allowed = f"between {exact_size(limits.min_part)} and {exact_size(limits.max_part)}"
        raise WrongUsage(
            f"--part-size must be {allowed}, not {exact_size(part_size)}",
            "The store rejects other part sizes",
            _use("--part-size", exact_size(nearest)),
        )
    least = fit_part_size(size, part_size, limits, unit=KIB)
    if least != part_size:
        raise WrongUsage(
            f"--part-size {exact_size(part_size)} is too small for {format_size(size)}",
            f"The store accepts at most {limits.max_parts} parts per upload",
            _use("--part-size", exact_size(least)),
        )
    return FilePlan(size, part_size)

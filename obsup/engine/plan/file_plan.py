"""The plan: how a source of a known size is cut into parts. Pure; all sizes are bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from obsup.dialects.dialect import Limits
from obsup.errors import WrongUsage
from obsup.model import Part
from obsup.units import MIB, exact_size, format_size
from obsup.value import Value

DEFAULT_PART_SIZE = 9 * MIB


class Growth(NamedTuple):
    """How the part size grows: times *factor* after every *every* parts."""

    factor: int
    every: int


class Plan(Protocol):
    """How a source is split into parts."""

    @property
    def size(self) -> int:
        """The size of the source in bytes."""
        ...

    @property
    def part_size(self) -> int:
        """The size of part 1 in bytes, unless it is the last part."""
        ...

    @property
    def growth(self) -> Growth | None:
        """How the part size grows, None if it does not."""
        ...

    @property
    def count(self) -> int:
        """The number of parts."""
        ...

    def part(self, number: int) -> Part:
        """Return the part with this *number*, from 1."""
        ...

    def parts(self) -> Iterator[Part]:
        """Yield all parts in ascending order."""
        ...


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


def fit_part_size(size: int, wanted: int, limits: Limits) -> int:
    """Return the smallest allowed part size, at least *wanted*, that holds *size* in the part limit.

    A grown size is a whole number of MiB. Raises WrongUsage where even the largest part needs too many parts.
    Source: OBS API reference, "Uploading a Part", constraints.
    """
    least = -(-size // limits.max_parts)
    if least <= wanted:
        return max(wanted, limits.min_part)
    grown = max(-(-least // MIB) * MIB, limits.min_part)
    if grown > limits.max_part:
        if least <= limits.max_part:
            return limits.max_part
        raise WrongUsage(
            f"a source of {format_size(size)} is too large",
            f"the store holds at most {limits.max_parts} parts of {format_size(limits.max_part)}",
            "split the source",
        )
    return grown


def make_plan(size: int, limits: Limits, *, parts: int | None = None, part_size: int | None = None) -> Plan:
    """Return the plan for *size* bytes: in *parts* parts, or of *part_size*, or as fits.

    Raises WrongUsage, with the nearest value that works, for what the store would refuse.
    """
    if size > limits.max_object:
        raise WrongUsage(
            f"a source of {format_size(size)} is too large",
            f"the store's largest object is {format_size(limits.max_object)}",
            "split the source",
        )
    if parts is not None and part_size is not None:
        raise WrongUsage(
            "--parts and --part-size exclude each other", "each decides the other", "leave out one"
        )
    if parts is not None:
        return _plan_by_count(size, parts, limits)
    if part_size is not None:
        return _plan_by_size(size, part_size, limits)
    return FilePlan(size, fit_part_size(size, DEFAULT_PART_SIZE, limits))


def _plan_by_count(size: int, parts: int, limits: Limits) -> Plan:
    if not 1 <= parts <= limits.max_parts:
        nearest = min(max(parts, 1), limits.max_parts)
        raise WrongUsage(
            f"--parts {parts} cannot be",
            f"an upload has 1 to {limits.max_parts} parts",
            f"use --parts {nearest}",
        )
    part_size = max(1, -(-size // parts))
    if part_size > limits.max_part:
        raise WrongUsage(
            f"--parts {parts} makes parts of {format_size(part_size)}",
            f"a part has at most {format_size(limits.max_part)}",
            f"use --parts {-(-size // limits.max_part)} or more",
        )
    if parts > 1 and part_size < limits.min_part:
        raise WrongUsage(
            f"--parts {parts} makes parts of {format_size(part_size)}",
            f"every part but the last has at least {format_size(limits.min_part)}",
            f"use --parts {max(1, size // limits.min_part)}",
        )
    return FilePlan(size, part_size)


def _plan_by_size(size: int, part_size: int, limits: Limits) -> Plan:
    nearest = min(max(part_size, limits.min_part), limits.max_part)
    if nearest != part_size:
        raise WrongUsage(
            f"--part-size {exact_size(part_size)} cannot be",
            f"a part has {format_size(limits.min_part)} to {format_size(limits.max_part)}",
            f"use --part-size {exact_size(nearest)}",
        )
    least = fit_part_size(size, part_size, limits)
    if least != part_size:
        raise WrongUsage(
            f"--part-size {exact_size(part_size)} is too small for {format_size(size)}",
            f"an upload has at most {limits.max_parts} parts",
            f"use --part-size {exact_size(least)}",
        )
    return FilePlan(size, part_size)

"""Check the list of parts before an object is assembled from it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec import field

from obsup.engine.plan.file_plan import Plan
from obsup.errors import DataMismatch, run_again
from obsup.model import Part, Receipt, StoredPart
from obsup.value import Value

StoredOrSent = TypeVar("StoredOrSent", Receipt, StoredPart)
MAX_SHOWN_RUNS = 40


class WrongParts(DataMismatch):
    """The listed parts are not what is expected; ``faults`` names each difference."""

    faults: Sequence[str] = ()


class ExpectedParts(Value):
    """What is known of the list. Sizes are bytes.

    ``etags`` were confirmed when the parts were sent; with ``is_list`` the list must have these parts and no others.
    ``is_compared``: the content of the parts is compared with the source afterwards.
    """

    plan: Plan | None = None
    count: int | None = None
    size: int | None = None
    etags: Mapping[int, str] = field(default_factory=dict)
    is_list: bool = False
    is_compared: bool = False


def check_receipts(receipts: Mapping[int, Receipt], plan: Plan) -> list[Receipt]:
    """Return the receipts in order if they are the whole source, contiguous from part 1. Raises DataMismatch."""
    missing = [number for number in range(1, plan.count + 1) if number not in receipts]
    if missing:
        raise DataMismatch(
            f"{parts_are(missing)} missing",
            "An object without them would not be the source",
            run_again("send the missing parts"),
        )
    ordered = [receipts[number] for number in range(1, plan.count + 1)]
    wrong = [one.number for one in ordered if one.size != plan.part(one.number).size]
    total = sum(one.size for one in ordered)
    if wrong or total != plan.size:
        raise DataMismatch(
            f"{parts_are(wrong, 'has', 'have')} the wrong size" if wrong else f"the parts have {total} bytes",
            f"Together the parts must have the {plan.size} bytes of the source",
            run_again("start over with --restart", add=("--restart",)),
        )
    return ordered


def check_parts(listed: Iterable[StoredPart], expected: ExpectedParts) -> list[StoredPart]:
    """Return the *listed* parts in order if they are what is *expected*.

    Raises WrongParts, which names every part that is missing, unexpected, of the wrong size or with another ETag.
    """
    parts = {one.number: one for one in listed}
    faults = [*_count_faults(parts, expected), *_size_faults(parts, expected), *_etag_faults(parts, expected)]
    step = run_again("send the parts named above again")
    if not faults:
        total = sum(one.size for one in parts.values())
        if expected.size not in (None, total):
            faults = [f"the parts together have {total} bytes, not {expected.size}"]
        step = run_again("send the missing parts, or give the SOURCE of these parts or their --expect-size")
    if faults:
        error = WrongParts(
            f"cannot assemble the object: {'; '.join(faults)}",
            "An object assembled from these parts would not be the source; the upload is unchanged",
            step,
        )
        error.faults = faults
        raise error
    return [parts[number] for number in sorted(parts)]


def windows_of(parts: Sequence[StoredOrSent]) -> Iterator[tuple[Part, StoredOrSent]]:
    """Yield each of *parts*, which are all parts in order, with its window on the source."""
    offset = 0
    for one in parts:
        yield Part(one.number, offset, one.size), one
        offset += one.size


def show_numbers(numbers: Iterable[int]) -> str:
    """Return part numbers for a message: ``3, 7-9``."""
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:MAX_SHOWN_RUNS]]
    left = sum(last - first + 1 for first, last in runs[MAX_SHOWN_RUNS:])
    return f"{', '.join(shown)} and {left} more" if left else ", ".join(shown)


def parts_are(numbers: Sequence[int], singular: str = "is", plural: str = "are") -> str:
    """Return the start of a sentence about these parts: ``part 3 is``, ``parts 3, 7-9 are``."""
    if len(numbers) == 1:
        return f"part {numbers[0]} {singular}"
    return f"parts {show_numbers(numbers)} {plural}"


def _count_faults(parts: Mapping[int, StoredPart], expected: ExpectedParts) -> Iterator[str]:
    known = [count for count in (expected.count, expected.plan.count if expected.plan else None) if count]
    last = max([*known, *(expected.etags if expected.is_list else parts), 1])
    missing = [number for number in range(1, last + 1) if number not in parts]
    if missing:
        yield f"{parts_are(missing)} missing"
    most = min(known, default=None)
    extra = [
        number
        for number in parts
        if (most is not None and number > most) or (expected.is_list and number not in expected.etags)
    ]
    if extra:
        yield f"{parts_are(extra)} not expected"
    unlisted = [number for number in range(1, last + 1) if expected.is_list and number not in expected.etags]
    if unlisted and not extra and not missing:
        yield f"{parts_are(unlisted)} not in the given list"


def _size_faults(parts: Mapping[int, StoredPart], expected: ExpectedParts) -> Iterator[str]:
    plan = expected.plan
    if plan is not None:
        wrong = [n for n, one in parts.items() if n <= plan.count and one.size != plan.part(n).size]
    elif expected.is_list or expected.is_compared or (expected.count is None and expected.size is not None):
        wrong = []
    else:
        wrong = _unequal(parts)
    if wrong:
        yield f"{parts_are(wrong, 'has', 'have')} the wrong size"


def have_equal_sizes(parts: Iterable[StoredPart]) -> bool:
    """Return whether all *parts* have the same size, except that the last may be smaller."""
    return not _unequal({one.number: one for one in parts})


def _unequal(parts: Mapping[int, StoredPart]) -> list[int]:
    """Return the parts that are larger than the first, or smaller and not the last."""
    if not parts:
        return []
    first, last = parts[min(parts)].size, max(parts)
    return [n for n, one in sorted(parts.items()) if one.size > first or (one.size < first and n != last)]


def _etag_faults(parts: Mapping[int, StoredPart], expected: ExpectedParts) -> Iterator[str]:
    differing = [
        number
        for number, etag in expected.etags.items()
        if number in parts and parts[number].etag.lower() != etag.lower()
    ]
    if differing:
        yield f"{parts_are(differing, 'has', 'have')} another ETag than was confirmed"

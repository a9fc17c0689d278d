"""The list of parts that is to become an object: proved whole before anything is assembled. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import field

from obsup.engine.plan.file_plan import Plan
from obsup.errors import DataMismatch
from obsup.model import StoredPart
from obsup.value import Value

SHOWN_RUNS = 40


class ExpectedParts(Value):
    """What the list must be, as far as it is known. Sizes are bytes.

    ``etags`` are those that were confirmed when the parts were sent; with ``is_list`` they are all that may be.
    """

    plan: Plan | None = None
    count: int | None = None
    size: int | None = None
    etags: Mapping[int, str] = field(default_factory=dict)
    is_list: bool = False


def check_parts(listed: Iterable[StoredPart], wanted: ExpectedParts) -> list[StoredPart]:
    """Return the parts in order where they can be the whole of what is wanted.

    Raises DataMismatch, which names every part that is missing, too much, of the wrong size or with another ETag.
    """
    there = {one.number: one for one in listed}
    wrong = [*_count_faults(there, wanted), *_size_faults(there, wanted), *_etag_faults(there, wanted)]
    wrong = wrong or _sum_faults(there, wanted)
    if wrong:
        raise DataMismatch(
            f"the parts are not whole: {'; '.join(wrong)}",
            "an object assembled from them would not be the source; the upload is left as it is",
            "send the parts that are named, then run the same command again",
        )
    return [there[number] for number in sorted(there)]


def show_numbers(numbers: Iterable[int]) -> str:
    """Return part numbers for people: ``3, 7-9``."""
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs[:SHOWN_RUNS])
    left = sum(last - first + 1 for first, last in runs[SHOWN_RUNS:])
    return f"{shown} and {left} more" if left else shown


def parts_are(numbers: Sequence[int], one: str = "is", many: str = "are") -> str:
    """Return the beginning of a sentence on these parts: ``part 3 is``, ``parts 3, 7-9 are``."""
    return f"part {numbers[0]} {one}" if len(numbers) == 1 else f"parts {show_numbers(numbers)} {many}"


def _count_faults(there: Mapping[int, StoredPart], wanted: ExpectedParts) -> Iterator[str]:
    known = [count for count in (wanted.count, wanted.plan.count if wanted.plan else None) if count]
    last = max([*known, *(wanted.etags if wanted.is_list else there), 1])
    missing = [number for number in range(1, last + 1) if number not in there]
    if missing:
        yield f"{parts_are(missing)} missing"
    most = min(known, default=None)
    extra = [
        number
        for number in there
        if (most is not None and number > most) or (wanted.is_list and number not in wanted.etags)
    ]
    if extra:
        yield f"{parts_are(extra)} stored and not wanted"
    unlisted = [number for number in range(1, last + 1) if wanted.is_list and number not in wanted.etags]
    if unlisted and not extra and not missing:
        yield f"{parts_are(unlisted)} not in the list"


def _size_faults(there: Mapping[int, StoredPart], wanted: ExpectedParts) -> Iterator[str]:
    plan = wanted.plan
    if plan is not None:
        wrong = [n for n, one in there.items() if n <= plan.count and one.size != plan.part(n).size]
    elif wanted.size is None:
        # Nothing says how large the whole is: then the parts must at least be cut from one cloth.
        sizes = [there[number].size for number in sorted(there)]
        wrong = [
            number
            for number, size in zip(sorted(there), sizes, strict=True)
            if size > sizes[0] or (size < sizes[0] and number != max(there))
        ]
    else:
        wrong = []
    if wrong:
        yield f"{parts_are(wrong, 'has', 'have')} the wrong size"


def _sum_faults(there: Mapping[int, StoredPart], wanted: ExpectedParts) -> list[str]:
    total = sum(one.size for one in there.values())
    if wanted.size in (None, total):
        return []
    return [f"together they have {total} bytes, not {wanted.size}"]


def _etag_faults(there: Mapping[int, StoredPart], wanted: ExpectedParts) -> Iterator[str]:
    other = [
        number
        for number, etag in wanted.etags.items()
        if number in there and there[number].etag.lower() != etag.lower()
    ]
    if other:
        yield f"{parts_are(other, 'has', 'have')} another ETag than was confirmed"

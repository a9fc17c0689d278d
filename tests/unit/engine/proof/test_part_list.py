"""The check of the part list before complete: complete lists pass, all others are rejected."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from obsup.engine.plan.file_plan import FilePlan
from obsup.engine.proof.part_list import ExpectedParts, check_parts, show_numbers
from obsup.errors import DataMismatch
from obsup.model import StoredPart

plans = st.builds(FilePlan, st.integers(1, 300), st.integers(1, 60))
# Time is not tested here: the machine may be busy.


def parts_of(plan: FilePlan) -> list[StoredPart]:
    """Return the list of a store that has all parts of *plan*."""
    return [StoredPart(part.number, part.size, f"E{part.number:x}") for part in plan.parts()]


def expected_of(plan: FilePlan) -> ExpectedParts:
    """Return what a checkpoint of *plan* expects."""
    etags = {one.number: one.etag.lower() for one in parts_of(plan)}
    return ExpectedParts(plan=plan, count=plan.count, size=plan.size, etags=etags)


@given(plans, st.randoms())
def test_a_complete_list_passes_in_any_order(plan: FilePlan, random: object) -> None:
    """The result is sorted by part number. ETags are compared without case."""
    listed = parts_of(plan)
    random.shuffle(listed)  # type: ignore[attr-defined]
    for expected in (
        expected_of(plan),
        ExpectedParts(),
        ExpectedParts(size=plan.size),
        ExpectedParts(count=plan.count),
    ):
        assert check_parts(listed, expected) == parts_of(plan)


FAULTS: dict[str, Callable[[StoredPart], list[StoredPart]]] = {
    "missing": lambda _one: [],
    "short": lambda one: [StoredPart(one.number, one.size - 1, one.etag)],
    "long": lambda one: [StoredPart(one.number, one.size + 1, one.etag)],
    "other": lambda one: [StoredPart(one.number, one.size, "other")],
    "extra": lambda one: [one, StoredPart(5000, 1, "E")],
}


@pytest.mark.parametrize("fault", FAULTS)
@given(plan=plans, data=st.data())
def test_a_list_with_one_fault_is_rejected(fault: str, plan: FilePlan, data: st.DataObject) -> None:
    """A part is missing, has another size or ETag, or is not expected; the message names it."""
    damaged = data.draw(st.sampled_from(parts_of(plan)))
    listed = [new for one in parts_of(plan) for new in (FAULTS[fault](one) if one == damaged else [one])]
    with pytest.raises(DataMismatch) as caught:
        check_parts(listed, expected_of(plan))
    assert (caught.value.exit_code, "the upload is unchanged" in caught.value.why) == (65, True)
    named = 5000 if fault == "extra" else damaged.number
    assert str(named) in show_all(caught.value.what)


def show_all(text: str) -> str:
    """Return *text* with every range of part numbers expanded."""
    words = text.replace(",", " ").replace(";", " ").split()
    for word in list(words):
        first, dash, last = word.partition("-")
        if dash and first.isdigit() and last.isdigit():
            words += [str(number) for number in range(int(first), int(last) + 1)]
    return " ".join(words)


@given(st.sets(st.integers(1, 10_000), max_size=30))
def test_part_numbers_are_shown_as_ranges(numbers: set[int]) -> None:
    """The ranges contain exactly the numbers."""
    shown = show_numbers(numbers)
    found: set[int] = set()
    for run in filter(None, shown.split(", ")):
        first, _, last = run.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    assert found == numbers


def test_a_long_list_of_part_numbers_is_shortened() -> None:
    """5,000 single numbers would not help."""
    assert show_numbers(range(1, 10_000, 2)).endswith(" and 4960 more")
    assert len(show_numbers(range(1, 10_000, 2))) < 300

"""The guard of complete, without a store: what is whole passes, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from obsup.engine.plan.file_plan import FilePlan
from obsup.engine.proof.part_list import ExpectedParts, check_parts, show_numbers
from obsup.errors import DataMismatch
from obsup.model import StoredPart

plans = st.builds(FilePlan, st.integers(1, 300), st.integers(1, 60))
# The machine may be busy: time is not what is tried here.
unhurried = settings(deadline=None, max_examples=60)


def parts_of(plan: FilePlan) -> list[StoredPart]:
    """Return the list of a store that holds all of *plan*."""
    return [StoredPart(part.number, part.size, f"E{part.number:x}") for part in plan.parts()]


def wanted_of(plan: FilePlan) -> ExpectedParts:
    """Return all that a checkpoint wants of it."""
    etags = {one.number: one.etag.lower() for one in parts_of(plan)}
    return ExpectedParts(plan=plan, count=plan.count, size=plan.size, etags=etags)


@unhurried
@given(plans, st.randoms())
def test_what_is_whole_passes_in_any_order(plan: FilePlan, random: object) -> None:
    """And comes out in the order in which it is assembled; ETags in either case."""
    listed = parts_of(plan)
    random.shuffle(listed)  # type: ignore[attr-defined]
    for wanted in (
        wanted_of(plan),
        ExpectedParts(),
        ExpectedParts(size=plan.size),
        ExpectedParts(count=plan.count),
    ):
        assert check_parts(listed, wanted) == parts_of(plan)


DAMAGES: dict[str, Callable[[StoredPart], list[StoredPart]]] = {
    "missing": lambda _one: [],
    "short": lambda one: [StoredPart(one.number, one.size - 1, one.etag)],
    "long": lambda one: [StoredPart(one.number, one.size + 1, one.etag)],
    "other": lambda one: [StoredPart(one.number, one.size, "other")],
    "extra": lambda one: [one, StoredPart(5000, 1, "E")],
}


@pytest.mark.parametrize("damage", DAMAGES)
@unhurried
@given(plan=plans, data=st.data())
def test_whatever_differs_is_refused(damage: str, plan: FilePlan, data: st.DataObject) -> None:
    """One part missing, of another size, with another ETag, or one too many; the part is named."""
    victim = data.draw(st.sampled_from(parts_of(plan)))
    listed = [new for one in parts_of(plan) for new in (DAMAGES[damage](one) if one == victim else [one])]
    with pytest.raises(DataMismatch) as caught:
        check_parts(listed, wanted_of(plan))
    assert (caught.value.exit_code, "the upload is left as it is" in caught.value.why) == (65, True)
    named = 5000 if damage == "extra" else victim.number
    assert str(named) in show_all(caught.value.what)


def show_all(text: str) -> str:
    """Return *text* with every run of part numbers written out."""
    words = text.replace(",", " ").replace(";", " ").split()
    for word in list(words):
        first, dash, last = word.partition("-")
        if dash and first.isdigit() and last.isdigit():
            words += [str(number) for number in range(int(first), int(last) + 1)]
    return " ".join(words)


@unhurried
@given(st.sets(st.integers(1, 10_000), max_size=30))
def test_numbers_are_shown_in_runs(numbers: set[int]) -> None:
    """What is shown is what there is."""
    shown = show_numbers(numbers)
    found: set[int] = set()
    for run in filter(None, shown.split(", ")):
        first, _, last = run.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    assert found == numbers


def test_a_line_of_numbers_has_an_end() -> None:
    """5,000 single gaps are no help to anybody."""
    assert show_numbers(range(1, 10_000, 2)).endswith(" and 4960 more")
    assert len(show_numbers(range(1, 10_000, 2))) < 300

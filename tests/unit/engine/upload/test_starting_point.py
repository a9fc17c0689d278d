"""The decision table for the start of an upload."""

from __future__ import annotations

from itertools import product

import pytest

from obsup.engine.upload.starting_point import DECISIONS, Action, decide

YES, NO = True, False

# checkpoint, upload id, known to the store, object made by this upload
EXPECTED: dict[tuple[bool, ...], Action] = {
    (NO, NO, NO, NO): Action.INITIATE,
    (NO, NO, NO, YES): Action.INITIATE,
    (NO, NO, YES, NO): Action.RECOVER,
    (NO, NO, YES, YES): Action.FINISH,
    (YES, NO, NO, NO): Action.INITIATE,
    (YES, NO, NO, YES): Action.INITIATE,
    (YES, NO, YES, NO): Action.RECOVER,
    (YES, NO, YES, YES): Action.FINISH,
    (YES, YES, NO, NO): Action.REPLACE,
    (YES, YES, NO, YES): Action.FINISH,
    (YES, YES, YES, NO): Action.RESUME,
    (YES, YES, YES, YES): Action.FINISH,
}
# Without a checkpoint no upload id is recorded: the column is ignored.
EXPECTED |= {(NO, YES, *rest): EXPECTED[NO, NO, *rest] for rest in product((NO, YES), repeat=2)}


def test_the_cases_are_all_combinations() -> None:
    """Sixteen combinations of four conditions."""
    assert EXPECTED.keys() == set(product((NO, YES), repeat=4))


@pytest.mark.parametrize("combination", sorted(EXPECTED), ids=str)
def test_each_combination_has_one_action(combination: tuple[bool, ...]) -> None:
    """Exactly one row of the table matches each combination."""
    matching = [
        row
        for row in DECISIONS
        if all(wanted in (None, met) for wanted, met in zip(row[:4], combination, strict=True))
    ]
    assert [row.action for row in matching] == [EXPECTED[combination]]
    assert decide([lambda met=met: met for met in combination]) is EXPECTED[combination]  # type: ignore[misc]


@pytest.mark.parametrize(
    ("combination", "checked"),
    [
        ((NO, NO, NO, NO), "checkpoint known"),
        ((YES, NO, NO, NO), "checkpoint upload-id known"),
        ((YES, YES, YES, NO), "checkpoint upload-id known object"),
        ((YES, YES, NO, YES), "checkpoint upload-id known object"),
    ],
    ids=str,
)
def test_only_the_needed_conditions_are_checked(combination: tuple[bool, ...], checked: str) -> None:
    """Each check can cost requests or hashing; a new upload never checks the object."""
    names, seen = ("checkpoint", "upload-id", "known", "object"), []

    def condition(name: str, met: bool) -> bool:
        seen.append(name)
        return met

    decide(
        [
            lambda name=name, met=met: condition(name, met)  # type: ignore[misc]
            for name, met in zip(names, combination, strict=True)
        ]
    )
    assert list(dict.fromkeys(seen)) == checked.split()

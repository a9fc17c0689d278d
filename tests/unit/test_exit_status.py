"""One exit code for several files, in the order that --help documents."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from obsup.cli.main import cli
from obsup.exit_status import SEVERITY, worst_code


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([], 0),
        ([0, 0], 0),
        ([75, 0], 75),
        ([75, 66], 66),
        ([66, 65, 69], 69),
        ([77, 69], 77),
        ([130, 77], 130),
    ],
)
def test_the_most_severe_code_counts(codes: list[int], code: int) -> None:
    """75, which a rerun fixes, is the result only if nothing else failed."""
    assert worst_code(codes) == code


def test_an_unknown_code_is_still_a_failure() -> None:
    """0 must mean that every file is verified."""
    assert worst_code([99, 0]) == 99


def test_the_order_is_the_one_in_the_help() -> None:
    """And it has every code that a failure can have."""
    text = " ".join(CliRunner().invoke(cli, ["upload", "--help"], prog_name="obsup").output.split())
    shown = re.search(r"the first of these that occurred: ([0-9, ]+)\.", text)
    assert shown is not None
    assert tuple(map(int, shown[1].split(", "))) == SEVERITY
    assert set(SEVERITY) == {1, 2, 65, 66, 69, 70, 73, 74, 75, 76, 77, 78, 129, 130, 143}

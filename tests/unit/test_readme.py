"""README.md says what the code says."""

from __future__ import annotations

import pytest

from tests.tools.write_readme import BLOCKS, README, render


def test_the_generated_blocks_are_current() -> None:
    """Where this fails: python -m tests.tools.write_readme."""
    text = README.read_text()
    assert render(text) == text


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_each_block_has_its_place(name: str) -> None:
    """One beginning, then one end."""
    text = README.read_text()
    assert text.count(f"<!-- {name}:begin -->") == text.count(f"<!-- {name}:end -->") == 1
    assert text.index(f"<!-- {name}:begin -->") < text.index(f"<!-- {name}:end -->")


@pytest.mark.parametrize("name", ["first command", "test command"])
def test_the_two_commands_are_one_line_each(name: str) -> None:
    """What CI runs is what a new user copies: one line in a shell block."""
    after = README.read_text().split(f"<!-- {name} -->\n```sh\n")[1]
    lines = after.split("\n```")[0].splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("python3 -m venv .venv && ")

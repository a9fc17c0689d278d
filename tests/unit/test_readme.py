"""README.md and the long pages agree with the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.readme import README
from tests.tools.write_pages import BLOCKS, render

BLOCKS_OF_PAGES = [(page, name) for page, names in BLOCKS.items() for name in names]


@pytest.mark.parametrize("page", BLOCKS, ids=lambda page: page.name)
def test_the_generated_blocks_are_current(page: Path) -> None:
    """If this fails, run: python -m tests.tools.write_pages, then python -m tests.tools.generate."""
    assert render(page) == page.read_text()


@pytest.mark.parametrize(("page", "name"), BLOCKS_OF_PAGES)
def test_each_block_exists_once(page: Path, name: str) -> None:
    """One start mark, then one end mark."""
    text = page.read_text()
    assert text.count(f"<!-- {name}:begin -->") == text.count(f"<!-- {name}:end -->") == 1
    assert text.index(f"<!-- {name}:begin -->") < text.index(f"<!-- {name}:end -->")


@pytest.mark.parametrize("name", ["first command", "test command"])
def test_the_two_commands_are_one_line_each(name: str) -> None:
    """CI runs the commands that a new user copies: one line in a shell block."""
    after = README.read_text().split(f"<!-- {name} -->\n```sh\n")[1]
    lines = after.split("\n```")[0].splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("python3 -m venv .venv && ")

"""Write the generated blocks of README.md: ``python -m tests.tools.write_readme``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from obsup.cli.exits import EXIT_STATUSES

README = Path(__file__).parents[2] / "README.md"


def exit_table() -> str:
    """Return the exit status table in Markdown."""
    rows = [f"| {row.codes} | {row.meaning} | {row.do} |" for row in EXIT_STATUSES]
    return "\n".join(["| code | meaning | what cron should do |", "| --- | --- | --- |", *rows])


BLOCKS: dict[str, Callable[[], str]] = {"exits": exit_table}


def render(text: str) -> str:
    """Return *text* with every generated block as it should be."""
    for name, make in BLOCKS.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{make()}\n{end}{after}"
    return text


if __name__ == "__main__":
    README.write_text(render(README.read_text()))

"""The code blocks and the written sections of README.md and of the longer pages, found by their comments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "man" / "pages"
BENCHMARKS_PAGE = PAGES / "obsup-benchmarks.7.md"
CRON_PAGE = PAGES / "obsup-cron.7.md"
FAILURES_PAGE = PAGES / "obsup-failures.7.md"
FLEETS_PAGE = PAGES / "obsup-fleets.7.md"
GUARANTEES_PAGE = PAGES / "obsup-guarantees.7.md"
MONITORING_PAGE = PAGES / "obsup-monitoring.7.md"
PARAMETERS_PAGE = PAGES / "obsup-parameters.7.md"
PYTHON_PAGE = PAGES / "obsup-python.7.md"
STORES_PAGE = PAGES / "obsup-stores.7.md"
STREAMS_PAGE = PAGES / "obsup-streams.7.md"
TUTORIAL_PAGE = PAGES / "obsup-tutorial.7.md"
README = ROOT / "README.md"
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<kind>[a-z]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def with_section(page: str, name: str, section: str) -> str:
    """Return the text *page* with *section* between the comments ``NAME:begin`` and ``NAME:end``."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{section}\n{end}{after}"


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: *kind* is its language, *mark* the text of the comment above it."""

    kind: str
    text: str
    mark: str = ""


def blocks(page: Path) -> list[Block]:
    """Return all fenced blocks of *page*, in order."""
    return [
        Block(match["kind"], match["text"], match["mark"] or "")
        for match in _BLOCK.finditer(page.read_text())
    ]


def block(page: Path, mark: str) -> str:
    """Return the text of the only block of *page* with this *mark*."""
    (text,) = [block.text for block in blocks(page) if block.mark == mark]
    return text

"""Generate the man pages of section 7 from the simple Markdown of man/pages."""

from __future__ import annotations

import re
from collections.abc import Iterator

from obsup.version import __version__
from tests.tools.manpage import LONGER_PAGES
from tests.tools.roff import Page, bold, escape

# The width of indented lines on a terminal of 80 columns.
TABLE_WIDTH = 72


def text_page(name: str, text: str) -> tuple[str, str]:
    """Return (file name, roff) of a page in simple Markdown.

    *name* is ``obsup-cron.7``. The first line is ``# obsup-cron: summary``. Then follow sections (``##``),
    subsections (``###``), paragraphs, list items (``-``), tables, and fenced blocks, which are not changed.
    """
    stem, _, section = name.rpartition(".")
    heading, _, body = text.partition("\n")
    summary = heading.partition(": ")[2].strip().rstrip(".")
    page = Page(stem, int(section), source=f"obsup {__version__}", summary=summary)
    page.section("DESCRIPTION")
    for block in _blocks(body):
        _write_block(page, block)
    others = [other for other in LONGER_PAGES if other != stem]
    page.see_also([("obsup", 1), *((other, int(section)) for other in others)])
    return name, page.text()


def _write_block(page: Page, block: str) -> None:
    if block.startswith("```"):
        page.example(block.splitlines()[1:-1])
    elif block.startswith("### "):
        page.subsection(block[4:])
    elif block.startswith("## "):
        page.section(block[3:].upper())
    elif block.startswith("- "):
        for item in re.split(r"^- ", block, flags=re.MULTILINE)[1:]:
            page.item(r"\(bu", _plain(item))
    elif block.startswith("|"):
        _write_table(page, [_cells(line) for line in block.splitlines()])
    else:
        page.paragraph(_plain(block))


def _write_table(page: Page, lines: list[list[str]]) -> None:
    """Write a table in columns if it is narrow enough, otherwise one item per row. The second line is a rule."""
    head, _rule, *rows = lines
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    if sum(widths) + 2 * (len(widths) - 1) <= TABLE_WIDTH:
        shown = [head, *rows] if any(head) else rows
        page.example("  ".join(map(str.ljust, row, widths)).rstrip() for row in shown)
        return
    for tag, *cells in rows:
        fields = [
            f"{title}: {cell}" if title else cell for title, cell in zip(head[1:], cells, strict=True) if cell
        ]
        page.item(bold(tag) if tag else escape("-"), "; ".join(fields) + ".")


def _cells(line: str) -> list[str]:
    return [_plain(cell) for cell in line.strip().strip("|").split("|")]


def _plain(text: str) -> str:
    """Return Markdown prose as plain text; a link becomes its label."""
    text = re.sub(r"<!--.*?-->", "", text)
    text = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text)
    pieces = text.split("`")
    return "".join(piece if at % 2 else piece.replace("*", "") for at, piece in enumerate(pieces)).strip()


def _blocks(body: str) -> Iterator[str]:
    """Yield paragraphs and fenced blocks, without comments and pictures."""
    lines: list[str] = []
    is_fenced = False
    for line in body.splitlines():
        if line.startswith(("<!--", "![")):
            continue
        if line.startswith("```"):
            is_fenced = not is_fenced
        if line.strip() or is_fenced:
            lines.append(line)
        elif lines:
            yield "\n".join(lines)
            lines = []
        if line.startswith(("```", "#")) and not is_fenced:
            yield "\n".join(lines)
            lines = []
    if lines:
        yield "\n".join(lines)

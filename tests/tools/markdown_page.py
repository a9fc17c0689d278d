"""The longer pages of the manual, section 7, made from the little Markdown of man/pages."""

from __future__ import annotations

import re
from collections.abc import Iterator

from obsup.version import __version__
from tests.tools.manpage import LONGER_PAGES
from tests.tools.roff import Page, bold, escape

# What a terminal of 80 columns shows of an indented line.
TABLE_WIDTH = 72


def text_page(name: str, text: str) -> tuple[str, str]:
    """Return (file name, roff) of a longer page, written in a little Markdown.

    *name* is ``obsup-cron.7``. The first line is ``# obsup-cron: what it is about``; then sections (``##``),
    subsections (``###``), paragraphs, list items (``-``), tables, and blocks between fences, shown as they are.
    """
    stem, _, section = name.rpartition(".")
    heading, _, body = text.partition("\n")
    summary = heading.partition(": ")[2].strip().rstrip(".")
    page = Page(stem, int(section), source=f"obsup {__version__}", summary=summary)
    page.section("DESCRIPTION")
    for block in _blocks(body):
        _write_block(page, block)
    others = [one for one in LONGER_PAGES if one != stem]
    page.see_also([("obsup", 1), *((one, int(section)) for one in others)])
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
    """Write a table in columns where it is narrow enough, else an item a row. The second line is a rule."""
    head, _rule, *rows = lines
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    if sum(widths) + 2 * (len(widths) - 1) <= TABLE_WIDTH:
        shown = [head, *rows] if any(head) else rows
        page.example("  ".join(map(str.ljust, row, widths)).rstrip() for row in shown)
        return
    for tag, *cells in rows:
        told = [
            f"{title}: {cell}" if title else cell for title, cell in zip(head[1:], cells, strict=True) if cell
        ]
        page.item(bold(tag) if tag else escape("-"), "; ".join(told) + ".")


def _cells(line: str) -> list[str]:
    return [_plain(cell) for cell in line.strip().strip("|").split("|")]


def _plain(text: str) -> str:
    """Return Markdown prose without its marks; of a link, what it is called."""
    text = re.sub(r"<!--.*?-->", "", text)
    text = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text)
    pieces = text.split("`")
    return "".join(one if at % 2 else one.replace("*", "") for at, one in enumerate(pieces)).strip()


def _blocks(body: str) -> Iterator[str]:
    """Yield paragraphs and fenced blocks; comments are for other readers."""
    lines: list[str] = []
    is_fenced = False
    for line in body.splitlines():
        if line.startswith("<!--"):
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

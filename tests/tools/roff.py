"""A page in the man macros of roff: text in, escaped, so that no line of it is taken for a request."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

# The characters that roff reads, or turns into typography that nobody can copy into a shell.
_ESCAPES = {
    "\\": r"\(rs",
    "-": r"\-",
    "'": r"\(aq",
    "`": r"\(ga",
    "^": r"\(ha",
    "~": r"\(ti",
    '"': r"\(dq",
    "…": r".\|.\|.",
    "–": r"\(en",
    "—": r"\(em",
    "×": r"\(mu",
    "→": r"\(->",
    "≥": r"\(>=",
}
WIDTH = 78
# Not today's: a page that changes every day cannot be compared with the one that is committed.
DATE = "2026-11-21"
_OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z0-9-]*|-[a-z]{1,2}(?![\w-]))")


def escape(text: str) -> str:
    """Return *text* as roff prints it letter for letter."""
    return "".join(_ESCAPES.get(one) or (one if one.isascii() else f"\\[u{ord(one):04X}]") for one in text)


def bold(text: str) -> str:
    """Return *text* in bold."""
    return f"\\fB{escape(text)}\\fR"


def italic(text: str) -> str:
    """Return *text* in italics: a word that stands for another."""
    return f"\\fI{escape(text)}\\fR"


def prose(text: str) -> str:
    """Return a paragraph as guarded lines, with the options in it in bold."""
    pieces = _OPTION.split(" ".join(text.split()))
    return wrap("".join(bold(one) if at % 2 else escape(one) for at, one in enumerate(pieces)))


def wrap(escaped: str) -> str:
    """Return *escaped* text in lines of the length that lint asks for, none of which is a request."""
    lines = textwrap.wrap(escaped, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(guard(line) for line in lines)


def guard(line: str) -> str:
    """Return an escaped *line* that is no request: one that begins with a dot or a quote would vanish."""
    return rf"\&{line}" if line.startswith((".", "'", r"\(aq")) else line


class Page:
    """A page of section *section*, built piece by piece."""

    def __init__(self, name: str, section: int, *, source: str, summary: str) -> None:
        self._lines = [
            r".\" Generated: do not edit.",
            f'.TH {escape(name.upper())} {section} {DATE} "{source}" "obsup manual"',
            ".nh",
            ".ad l",
            ".SH NAME",
            wrap(rf"{escape(name)} \- {escape(summary)}"),
        ]

    def section(self, title: str) -> None:
        """Begin a section."""
        self._lines.append(f'.SH "{escape(title)}"' if " " in title else f".SH {escape(title)}")

    def subsection(self, title: str) -> None:
        """Begin a part of a section."""
        self._lines.append(f'.SS "{escape(title)}"' if " " in title else f".SS {escape(title)}")

    def paragraph(self, text: str) -> None:
        """Add a paragraph of prose."""
        is_first = self._lines[-1].startswith((".SH", ".SS"))
        self._lines += [prose(text)] if is_first else [".PP", prose(text)]

    def raw(self, line: str) -> None:
        """Add text that is escaped already."""
        self._lines.append(wrap(line))

    def item(self, tag: str, text: str) -> None:
        """Add an item: *tag* is escaped already."""
        self._lines += [".TP", guard(tag), prose(text)]

    def example(self, lines: Iterable[str]) -> None:
        """Add lines that are shown as they are."""
        if not self._lines[-1].startswith((".SH", ".SS")):
            self._lines.append(".PP")
        self._lines += [".RS 4", ".EX", *(guard(escape(line)) for line in lines), ".EE", ".RE"]

    def see_also(self, pages: Iterable[tuple[str, int]]) -> None:
        """End the page with the names and sections of others."""
        self.section("SEE ALSO")
        self.raw(", ".join(f"{bold(name)}({section})" for name, section in pages))

    def text(self) -> str:
        """Return the page."""
        return "\n".join([*self._lines, ""])

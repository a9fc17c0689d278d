"""Write a man page in roff; text is escaped, so that no line of it is read as a request."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

# Characters that roff interprets, or prints as other characters that a shell does not accept.
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
# A longer word does not fit into an indented line of a terminal.
MAX_WORD = 50
WIDTH = 78
# Fixed, so that a generated page can be compared with the committed one.
DATE = "2026-11-21"
_OPTION = re.compile(r"(?<![\w-])(--[a-z][a-z0-9-]*|-[a-z]{1,2}(?![\w-]))")


def escape(text: str) -> str:
    """Escape *text*, so that roff prints it literally."""
    return "".join(
        _ESCAPES.get(char) or (char if char.isascii() else f"\\[u{ord(char):04X}]") for char in text
    )


def bold(text: str) -> str:
    """Return *text* in bold."""
    return f"\\fB{escape(text)}\\fR"


def italic(text: str) -> str:
    """Return *text* in italics, for placeholders."""
    return f"\\fI{escape(text)}\\fR"


def prose(text: str) -> str:
    """Return an escaped and wrapped paragraph with its options in bold."""
    pieces = _OPTION.split(" ".join(text.split()))
    return wrap("".join(bold(piece) if at % 2 else escape(piece) for at, piece in enumerate(pieces)))


def wrap(escaped: str) -> str:
    """Wrap *escaped* text at the line length that mandoc accepts, so that no line is a request."""
    words = [_breakable(word) if len(word) > MAX_WORD else word for word in escaped.split(" ")]
    lines = textwrap.wrap(" ".join(words), WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(guard(line) for line in lines)


def _breakable(word: str) -> str:
    """Return a long name with places where roff may break it."""
    return re.sub(r"[_[](?=[a-z])", r"\g<0>\\:", word)


def guard(line: str) -> str:
    """Protect an escaped *line* that starts with a dot or a quote, which roff would read as a request."""
    return rf"\&{line}" if line.startswith((".", "'", r"\(aq")) else line


class Page:
    """A page of manual section *section*."""

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
        """Start a section."""
        self._lines.append(f'.SH "{escape(title)}"' if " " in title else f".SH {escape(title)}")

    def subsection(self, title: str) -> None:
        """Start a subsection."""
        self._lines.append(f'.SS "{escape(title)}"' if " " in title else f".SS {escape(title)}")

    def paragraph(self, text: str) -> None:
        """Add a paragraph of prose."""
        is_first = self._lines[-1].startswith((".SH", ".SS"))
        self._lines += [prose(text)] if is_first else [".PP", prose(text)]

    def raw(self, line: str) -> None:
        """Add escaped text."""
        self._lines.append(wrap(line))

    def item(self, tag: str, text: str) -> None:
        """Add an item; *tag* is already escaped."""
        self._lines += [".TP", guard(tag), prose(text)]

    def example(self, lines: Iterable[str]) -> None:
        """Add lines that are printed unchanged."""
        if not self._lines[-1].startswith((".SH", ".SS")):
            self._lines.append(".PP")
        self._lines += [".RS 4", ".EX", *(guard(escape(line)) for line in lines), ".EE", ".RE"]

    def see_also(self, pages: Iterable[tuple[str, int]]) -> None:
        """Add the SEE ALSO section with the names and sections of other pages."""
        self.section("SEE ALSO")
        self.raw(", ".join(f"{bold(name)}({section})" for name, section in pages))

    def text(self) -> str:
        """Return the text of the page."""
        return "\n".join([*self._lines, ""])

r"""Names and lines as they are shown: a terminal obeys nothing in them, and a shell reads them back as they were.

What is not printable (control characters, line breaks, what turns the direction of writing, bytes that are no
UTF-8) stands as the octal of its bytes, ``\033``: in ``$'…'``, as bash, zsh and ksh read it, and as printf does.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

_LIMIT = 500
_SHORT = {"\\": "\\\\", "\t": "\\t", "\n": "\\n"}


def shell_word(word: object) -> str:
    """Return *word* as a shell reads it back, byte for byte."""
    text = str(word)
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + one_line(text).replace("'", "\\'") + "'"


def shell_line(words: Iterable[object]) -> str:
    """Return the command line of *words*, fit to be copied."""
    return " ".join(map(shell_word, words))


def quoted(name: object) -> str:
    """Return *name* for a sentence: as it is, or as a word of a shell where it has blanks or is not printable."""
    text = str(name)
    return text if text.isprintable() and " " not in text and text else shell_word(text)


def one_line(text: str) -> str:
    """Return *text*, which may be anybody's key, as printf would read it: it forges no line and no column."""
    return "".join(_SHORT.get(one) or (one if one.isprintable() else _octal(one)) for one in text)


def shielded(text: str) -> str:
    """Return lines in which a terminal obeys nothing but their ends and their columns."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else _octal(one) for one in text)


def _octal(character: str) -> str:
    is_stray_byte = "\udc80" <= character <= "\udcff"
    data = character.encode("utf-8", "surrogateescape" if is_stray_byte else "surrogatepass")
    return "".join(f"\\{byte:03o}" for byte in data)


def clean(text: str) -> str:
    """Return *text* without what is not printable, and without white space at its ends."""
    if not text.isprintable():
        text = "".join(one if one.isprintable() else " " for one in text)
    return text.strip()


def printable(text: str) -> str:
    """Return *text* clean, and cut to a length that a terminal can bear."""
    cleaned = clean(text)
    return cleaned if len(cleaned) <= _LIMIT else cleaned[:_LIMIT] + "…"

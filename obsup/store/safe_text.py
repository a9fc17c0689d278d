"""A server's text, made safe for terminals, logs and files of one line."""

from __future__ import annotations

_LIMIT = 500


def clean(text: str) -> str:
    """Return *text* without what is not printable, and without white space at its ends."""
    if not text.isprintable():
        text = "".join(one if one.isprintable() else " " for one in text)
    return text.strip()


def printable(text: str) -> str:
    """Return *text* clean, and cut to a length that a terminal can bear."""
    cleaned = clean(text)
    return cleaned if len(cleaned) <= _LIMIT else cleaned[:_LIMIT] + "…"

"""A server's text, made safe for terminals, logs and files of one line."""

from __future__ import annotations

import re

# Control characters, and those that turn the direction of writing.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_LIMIT = 500


def clean(text: str) -> str:
    """Return *text* without control characters and without white space at its ends."""
    return _UNSAFE.sub(" ", text).strip()


def printable(text: str) -> str:
    """Return *text* clean, and cut to a length that a terminal can bear."""
    cleaned = clean(text)
    return cleaned if len(cleaned) <= _LIMIT else cleaned[:_LIMIT] + "…"

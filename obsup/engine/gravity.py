"""Many files, one exit code: the gravest, in the documented order. Pure."""

from __future__ import annotations

from collections.abc import Iterable

# From what most needs somebody to look at it to what running again mends by itself. What the user asked for (a
# signal) comes first: whoever sent it waits for its code.
GRAVITY = (143, 130, 70, 78, 77, 73, 74, 69, 65, 66, 2, 76, 1, 75)


def gravest(codes: Iterable[int]) -> int:
    """Return the gravest of the exit *codes* of several files; 0 where there are none, or nothing but 0."""
    found = {code for code in codes if code}
    ranked = (code for code in GRAVITY if code in found)
    return next(ranked, max(found, default=0))

"""The exit status table: one source for ``--help``, the man pages and the README."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class ExitStatus(NamedTuple):
    """One row: the code or codes, what they mean, and what cron should do."""

    codes: str
    meaning: str
    do: str


EXIT_STATUSES = (
    ExitStatus("0", "the object is in place and verified", "nothing"),
    ExitStatus("1", "a failure obsup has no better code for", "look"),
    ExitStatus("2", "the command line is wrong", "mend it"),
    ExitStatus(
        "65", "data: SOURCE changed, a digest differs, a gap at complete, verify says different", "look"
    ),
    ExitStatus("66", "SOURCE is missing or unreadable", "look"),
    ExitStatus("69", "the service refused for good: no such bucket, invalid request", "look"),
    ExitStatus("70", "a bug in obsup", "report it"),
    ExitStatus("73", "the checkpoint cannot be written anywhere", "look"),
    ExitStatus("74", "a local read or write failed", "look"),
    ExitStatus(
        "75",
        "not finished, progress kept: run the same command again "
        "(network, throttling, deadline, another run holds it)",
        "run again",
    ),
    ExitStatus("76", "the producer of --from-command failed; nothing was published", "look"),
    ExitStatus("77", "credentials or permission; progress kept", "mend the keys, run again"),
    ExitStatus("78", "configuration", "mend it"),
    ExitStatus("130, 143", "SIGINT, SIGTERM; progress kept", "run again"),
)

BUG = 70


# From what most needs somebody to look at it to what running again mends by itself. What the user asked for (a
# signal) comes first: whoever sent it waits for its code.
SEVERITY = (143, 130, 70, 78, 77, 73, 74, 69, 65, 66, 2, 76, 1, 75)


def worst_code(codes: Iterable[int]) -> int:
    """Return the gravest of the exit *codes* of several files; 0 where there are none, or nothing but 0."""
    found = {code for code in codes if code}
    ranked = (code for code in SEVERITY if code in found)
    return next(ranked, max(found, default=0))

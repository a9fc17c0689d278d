"""The exit status table: the source for the help, the man pages and the README."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class ExitStatus(NamedTuple):
    """One row: the exit codes, their meaning, and what a cron job should do."""

    codes: str
    meaning: str
    action: str


EXIT_STATUSES = (
    ExitStatus("0", "the object is in place and verified", "nothing"),
    ExitStatus("1", "unclassified failure", "investigate"),
    ExitStatus("2", "invalid command line", "fix it"),
    ExitStatus(
        "65",
        "data: SOURCE changed, a digest differs, parts are missing at complete, verify found a difference",
        "investigate",
    ),
    ExitStatus("66", "SOURCE is missing or unreadable", "investigate"),
    ExitStatus(
        "69",
        "the service rejected the request permanently: no such bucket, invalid request",
        "investigate",
    ),
    ExitStatus("70", "a bug in obsup", "report it"),
    ExitStatus("73", "the checkpoint cannot be written anywhere", "investigate"),
    ExitStatus("74", "a local read or write failed", "investigate"),
    ExitStatus(
        "75",
        "not finished, progress kept: run the same command again "
        "(network, throttling, deadline, another run in progress)",
        "run again",
    ),
    ExitStatus("76", "the --from-command command failed; nothing was published", "investigate"),
    ExitStatus("77", "credentials or permission; progress kept", "fix the keys, run again"),
    ExitStatus("78", "configuration (also: CA bundle, proxy URL, client certificate, endpoint)", "fix it"),
    ExitStatus(
        "129, 130, 143", "SIGHUP, SIGINT (Ctrl-C), SIGTERM (Windows: Ctrl-Break); progress kept", "run again"
    ),
)

BUG = 70

# From the most severe to the least: signals, because the sender expects their codes; then what needs attention most;
# last what a rerun fixes.
SEVERITY = (143, 130, 129, 70, 78, 77, 73, 74, 69, 65, 66, 2, 76, 1, 75)


def worst_code(codes: Iterable[int]) -> int:
    """Return the most severe of the exit *codes* of several files, 0 if all succeeded."""
    failures = {code for code in codes if code}
    ranked = (code for code in SEVERITY if code in failures)
    return next(ranked, max(failures, default=0))

"""The classification table of failures, as obsup-failures(7) shows it."""

from __future__ import annotations

from obsup.store.answers.failure_rule import Verdict
from obsup.store.answers.failure_table import VERDICTS

LINE = {
    "certificate": "the server's certificate is not accepted",
    "no-tls": "https is asked for, and not spoken there",
    "tunnel": "the proxy refuses to connect",
    "resolve": "the name is not resolved",
    "refused": "the connection is refused",
    "connect": "no connection is made",
    "proxy": "the proxy does not answer",
    "tls": "TLS breaks",
    "reset": "the connection is closed",
    "stall": "the line stands still",
    "incomplete": "the answer breaks off",
    "garbled": "the answer is none of the protocol",
}


def failure_table() -> str:
    """Return the table in Markdown, first match first."""
    rows = ["| what is heard | what is done | in the end | reason |", "| --- | --- | --- | --- |"]
    for verdict in VERDICTS:
        error = verdict.error
        again = ", again" if error.retryable else ""
        rows.append(
            f"| {_heard(verdict)} | {verdict.action.value} | {error.exit_code}{again} | {error.reason} |"
        )
    return "\n".join(rows)


def _heard(verdict: Verdict) -> str:
    """Return which failures *verdict* is about."""
    if verdict.kinds:
        return "; ".join(words for kind, words in LINE.items() if kind in verdict.kinds)
    words = [", ".join(sorted(verdict.codes)), ", ".join(map(str, sorted(verdict.statuses)))]
    words.append(" or ".join(f"“{phrase}”" for phrase in verdict.phrases))
    words.append("without a message" if verdict.silent else "")
    return "; ".join(filter(None, words)) or "any other answer"

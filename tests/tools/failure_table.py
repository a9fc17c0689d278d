"""The classification table of failures, as obsup-failures(7) shows it."""

from __future__ import annotations

from obsup.store.answers.failure_rule import FailureRule
from obsup.store.answers.failure_table import FAILURE_RULES

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
    for rule in FAILURE_RULES:
        error = rule.error
        again = ", again" if error.retryable else ""
        rows.append(
            f"| {_received(rule)} | {rule.action.value} | {error.exit_code}{again} | {error.reason} |"
        )
    return "\n".join(rows)


def _received(rule: FailureRule) -> str:
    """Return which failures *rule* is about."""
    if rule.kinds:
        return "; ".join(words for kind, words in LINE.items() if kind in rule.kinds)
    words = [", ".join(sorted(rule.codes)), ", ".join(map(str, sorted(rule.statuses)))]
    words.append(" or ".join(f"“{phrase}”" for phrase in rule.phrases))
    words.append("without a message" if rule.silent else "")
    return "; ".join(filter(None, words)) or "any other answer"

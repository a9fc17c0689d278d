"""The classification table of failures, as obsup-failures(7) shows it."""

from __future__ import annotations

from obsup.store.answers.failure_rule import FailureRule
from obsup.store.answers.failure_table import FAILURE_RULES

NETWORK = {
    "certificate": "the server's certificate is invalid",
    "dates": "the server's certificate has expired, or is not valid yet",
    "no-tls": "the server does not use TLS",
    "needs-tls": "the server uses TLS, and closes the first connection",
    "protocol": "the server uses another protocol, such as SSH",
    "alert": "the server rejects the TLS of the client",
    "proxy-certificate": "the proxy's certificate is invalid",
    "proxy-dates": "the proxy's certificate has expired, or is not valid yet",
    "proxy-no-tls": "the proxy does not use TLS",
    "proxy-alert": "the proxy rejects the TLS of the client",
    "proxy-login": "the proxy rejects user and password",
    "proxy-protocol": "the proxy uses another protocol than its URL names",
    "tunnel": "the proxy refuses to connect",
    "files": "this process, or the system, has too many open files",
    "resolve": "the host name cannot be resolved",
    "refused": "the connection is refused",
    "connect": "no connection can be established",
    "proxy": "the proxy cannot connect to the store, or cannot be reached",
    "tls": "a TLS error",
    "reset": "the connection is closed",
    "stall": "no data for the stall timeout",
    "slow": "the response trickles in",
    "incomplete": "the response is truncated",
    "garbled": "the response is not from the store",
    "no-copy": "the response to a part to copy is empty",
}


def failure_table() -> str:
    """Return the table in Markdown, first match first."""
    rows = ["| failure | action | exit code | reason |", "| --- | --- | --- | --- |"]
    for rule in FAILURE_RULES:
        error = rule.error
        retry_note = ", again" if error.retryable else ""
        rows.append(
            f"| {_received(rule)} | {rule.action.value} | {error.exit_code}{retry_note} | {error.reason} |"
        )
    return "\n".join(rows)


def _received(rule: FailureRule) -> str:
    """Return a description of the failures that *rule* matches."""
    if rule.kinds:
        return "; ".join(text for kind, text in NETWORK.items() if kind in rule.kinds)
    classes = [f"other {digit}xx" for digit in "45" if rule.statuses.issuperset(_class_of(digit))]
    single = sorted(rule.statuses.difference(*(_class_of(name[-3]) for name in classes)))
    conditions = [", ".join(sorted(rule.codes)), ", ".join([*map(str, single), *classes])]
    conditions.append(" or ".join(f"“{phrase}”" for phrase in rule.phrases))
    conditions.append("without a message" if rule.without_message else "")
    page = "a web page of a proxy" if rule.by_proxy else "a web page"
    conditions.append(page if rule.is_page else "")
    conditions.append(f"to a request with a header “…{rule.sent_header}…”" if rule.sent_header else "")
    return "; ".join(filter(None, conditions)) or "any other response"


def _class_of(digit: str) -> range:
    return range(int(digit) * 100, int(digit) * 100 + 100)

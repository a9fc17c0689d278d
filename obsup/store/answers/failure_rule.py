"""One rule of the failure table: which failures it covers, and how obsup handles them."""

from __future__ import annotations

from enum import Enum

from obsup.errors import NextStep, ObsupError, Refusal
from obsup.value import Value


class Action(Enum):
    """How obsup handles a failure. The values are the words of the documentation."""

    RETRY = "retry with backoff"
    RESEND = "read and send the part again, at most twice"
    REPEAT = "send the request again, at most twice"
    SLOW_DOWN = "retry later with fewer parts in flight"
    RELOAD_CREDENTIALS = "reload the credentials, then retry"
    SET_CLOCK = "adopt the server's clock, then retry"
    REPAIR = "list the parts and send those that do not match"
    ENLARGE = "send larger parts under the same upload id"
    ADD_DIGEST = "send the part again, and all later ones, with Content-MD5"
    FAIL = "stop and keep the progress"


class FailureRule(Value):
    """Which failures the rule covers, the action, and the error that is raised if the action does not help.

    ``statuses`` and ``codes`` are HTTP statuses and error codes; an empty set covers all. If there are ``phrases``
    (lower-case), the message of the store must contain one of them. ``without_message``: the store must send no
    message; ``is_page``: the response must be a web page; ``by_proxy``: it may be that of a proxy. ``sent_header``:
    the name of a header of the request must contain it. ``kinds`` are those of NetworkError. ``error`` is the
    class, and thereby the exit code, of the final error; ``why`` and ``next_step`` are its texts.
    """

    action: Action
    error: type[ObsupError]
    why: str
    next_step: NextStep
    statuses: frozenset[int] = frozenset()
    codes: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    phrases: tuple[str, ...] = ()
    without_message: bool = False
    is_page: bool = False
    by_proxy: bool = False
    sent_header: str = ""

    def covers(self, refusal: Refusal) -> bool:
        """Return whether the rule covers *refusal*."""
        if self.kinds:
            return False
        message = refusal.message.lower()
        return (
            (not self.statuses or refusal.status in self.statuses)
            and (not self.codes or refusal.code in self.codes)
            and (not self.phrases or any(phrase in message for phrase in self.phrases))
            and not (self.without_message and message)
            and (refusal.is_page or not self.is_page)
            and (refusal.by_proxy or not self.by_proxy)
            and (not self.sent_header or any(self.sent_header in name for name in refusal.sent_headers))
        )


def rule(
    action: Action,
    error: type[ObsupError],
    why: str,
    next_step: NextStep,
    *,
    phrases: tuple[str, ...] = (),
    without_message: bool = False,
    is_page: bool = False,
    by_proxy: bool = False,
    sent_header: str = "",
    **match: str,
) -> FailureRule:
    """Return a rule; ``status``, ``code`` and ``kind`` are words separated by spaces. A status may be ``5xx``."""
    return FailureRule(
        action,
        error,
        why,
        next_step,
        statuses=frozenset(status for word in match.get("status", "").split() for status in _statuses(word)),
        codes=frozenset(match.get("code", "").split()),
        kinds=frozenset(match.get("kind", "").split()),
        phrases=phrases,
        without_message=without_message,
        is_page=is_page,
        by_proxy=by_proxy,
        sent_header=sent_header,
    )


def _statuses(word: str) -> range:
    if word.endswith("xx"):
        first = int(word[0]) * 100
        return range(first, first + 100)
    return range(int(word), int(word) + 1)

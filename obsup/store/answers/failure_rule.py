"""One row of the classification table: which failures it covers, and what is to be done about them."""

from __future__ import annotations

from enum import Enum

from obsup.errors import ObsupError, Refusal
from obsup.value import Value


class Action(Enum):
    """What obsup does about a failure, before it gives up."""

    RETRY = "try again, with backoff"
    RESEND = "read the part again and send it again, twice at most"
    ASK_AGAIN = "ask again, twice at most"
    SLOW_DOWN = "try again later, with less in flight"
    RENEW_KEYS = "read the credentials again, then try again"
    SET_CLOCK = "take over the server's clock, then try again"
    REPAIR = "list the parts and send again what does not fit"
    ENLARGE = "send again in larger parts, under the same upload id"
    FAIL = "stop, keep everything"


class FailureRule(Value):
    """One row: which failures, what to do, and what to say where that does not help.

    ``statuses`` and ``codes`` are the HTTP statuses and error codes it covers; an empty set covers all.
    ``phrases`` (lower-case) are looked for in the store's message; where there are any, one must stand in it.
    ``silent``: only where the store has no message at all.
    ``kinds`` are those of NetworkError. ``error`` is the class, with the exit code, of the final failure.
    """

    action: Action
    error: type[ObsupError]
    why: str
    next_step: str
    statuses: frozenset[int] = frozenset()
    codes: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    phrases: tuple[str, ...] = ()
    silent: bool = False

    def covers(self, refusal: Refusal) -> bool:
        """Return whether this row is about *refusal*."""
        if self.kinds:
            return False
        message = refusal.message.lower()
        return (
            (not self.statuses or refusal.status in self.statuses)
            and (not self.codes or refusal.code in self.codes)
            and (not self.phrases or any(phrase in message for phrase in self.phrases))
            and not (self.silent and message)
        )


def row(
    action: Action,
    error: type[ObsupError],
    why: str,
    next_step: str,
    *,
    phrases: tuple[str, ...] = (),
    silent: bool = False,
    **match: str,
) -> FailureRule:
    """Return a row; ``status``, ``code`` and ``kind`` are words with spaces between."""
    return FailureRule(
        action,
        error,
        why,
        next_step,
        statuses=frozenset(int(one) for one in match.get("status", "").split()),
        codes=frozenset(match.get("code", "").split()),
        kinds=frozenset(match.get("kind", "").split()),
        phrases=phrases,
        silent=silent,
    )

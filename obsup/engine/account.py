"""What a worker elsewhere hands back: what came of its errand, and how often it had to try."""

from __future__ import annotations

from typing import Any

from obsup import events
from obsup.frozen import frozen

# More tries than these say nothing new.
MOST_TRIES = 32


@frozen
class Account:
    """The *result* of an errand, and the tries that failed before, in order: the driver hears of them as of its own."""

    result: Any
    retried: tuple[events.Retried, ...] = ()


class Memory:
    """An Observer that keeps the first tries that failed."""

    def __init__(self) -> None:
        self._retried: list[events.Retried] = []

    def __call__(self, event: events.Event) -> None:
        """Keep *event* where it is one."""
        if isinstance(event, events.Retried) and len(self._retried) < MOST_TRIES:
            self._retried.append(event)

    def account(self, result: Any) -> Account:
        """Return *result* with what was kept."""
        return Account(result, tuple(self._retried))

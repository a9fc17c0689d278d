"""Which worker of a changing set gets the next call, and which share of the rate limit. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

# Calls per thread of a worker: one runs and one waits, because the way there takes time.
CALLS_PER_THREAD = 2
# A worker gets no call for less than this fraction of an equal share: it waits until others have finished theirs.
LEAST_FRACTION = 0.5


@dataclass(slots=True, eq=False)
class Member:
    """One worker. ``calls`` are those that it was given, with their shares. ``is_aside``: it gets no more."""

    address: str
    threads: int
    calls: dict[Any, float] = field(default_factory=dict)
    is_aside: bool = False

    @property
    def reserved(self) -> float:
        """The part of the rate limit that its calls may use."""
        return self.threads * max(self.calls.values(), default=0.0)


class WorkerShares:
    """The workers and their calls. If *is_limited*, the shares of all calls that run never exceed 1 together.

    A worker that joins gets what the others have not reserved, and an equal share once their calls have finished. What
    a worker that leaves had reserved is free at once.
    """

    def __init__(self, *, is_limited: bool) -> None:
        self.members: dict[str, Member] = {}
        self._is_limited = is_limited

    @property
    def _open(self) -> list[Member]:
        return [member for member in self.members.values() if not member.is_aside]

    @property
    def count(self) -> int:
        """How many workers get calls."""
        return len(self._open)

    @property
    def threads(self) -> int:
        """How many calls run at once."""
        return sum(member.threads for member in self._open)

    def has_other(self, workers: Collection[str]) -> bool:
        """Return whether there is a worker that is none of these."""
        return any(member.address not in workers for member in self._open)

    def choose(self, avoid: Collection[str] = ()) -> tuple[Member, float] | None:
        """Return the worker for the next call, and the share of the call; None if it has to wait.

        The worker is none of *avoid*, if there is another one.
        """
        members = [member for member in self._open if member.address not in avoid] or self._open
        free = [one for one in members if len(one.calls) < CALLS_PER_THREAD * one.threads]
        fair = 1 / max(1, self.threads)
        reserved = sum(member.reserved for member in self.members.values()) if self._is_limited else 0.0
        for member in sorted(free, key=lambda one: len(one.calls) / one.threads):
            share = min(fair, (1 - reserved + member.reserved) / member.threads) if self._is_limited else fair
            if share >= LEAST_FRACTION * fair:
                return member, share
        return None

    def keep(self, addresses: Iterable[str]) -> list[Member]:
        """Remove the workers that are none of *addresses*, and return them."""
        kept = set(addresses)
        return [self.members.pop(address) for address in self.members.keys() - kept]

"""What one run has learned about its store, shared by all its uploads and threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable

from obsup import events
from obsup.errors import Refused


class LearnedFacts:
    """Remembers what was found out about the store, so that each fact costs its requests, or its note, only once."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._facts: dict[Hashable, Refused | None] = {}

    def learn(self, fact: Hashable, find_out: Callable[[], object]) -> None:
        """Call *find_out* unless it was called for *fact* before. Raises Refused each time if it raised that."""
        with self._lock:
            if fact not in self._facts:
                try:
                    find_out()
                except Refused as exc:
                    self._facts[fact] = exc
                    raise
                self._facts[fact] = None
            refused = self._facts[fact]
        if refused is not None:
            raise type(refused)(*refused.args)

    def add(self, fact: Hashable) -> None:
        """Remember *fact*."""
        self.learn(fact, lambda: None)

    def has(self, fact: Hashable) -> bool:
        """Return whether *fact* is known."""
        return fact in self._facts

    def note(self, text: str, observe: events.Observer) -> None:
        """Report the note *text* once in this run."""
        self.learn(text, lambda: observe(events.Noted(text)))

"""How much of what may be in flight is each file's, where many are under way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from obsup.engine.flight import Flight

# Large files under way at once: while one begins or ends, which takes a few answers, others fill the line.
LARGE = 8


class Shares:
    """Shares out how many may be in flight among large files and the small ones together."""

    def __init__(self, flight: Flight) -> None:
        self.flight = flight
        self._lock = threading.Lock()
        self._large = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Count as one large file while inside."""
        with self._lock:
            self._large += 1
        try:
            yield
        finally:
            with self._lock:
                self._large -= 1

    def of_large(self, *, has_small: bool) -> int:
        """Return how many parts of one large file may be submitted now."""
        return max(1, self.flight.window // (self._large + has_small or 1))

    def of_small(self) -> int:
        """Return how many small files may be in flight now."""
        return max(1, self.flight.allowed // (self._large + 1))

"""A monotonic clock that stands still between the pieces of a response, so that its time does not depend on load."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

# Only a client that never reads lets the bound pass: the test then fails by the response.
_READ_WITHIN_S = 60.0


class SteppedClock:
    """A clock that ``pieces_of`` moves forward. A client reads it before it waits for the next bytes."""

    def __init__(self, start_s: float) -> None:
        self._now_s = start_s
        self._is_read = False
        self._is_released = False
        self._condition = threading.Condition()

    def __call__(self) -> float:
        """Return the time."""
        with self._condition:
            self._is_read = True
            self._condition.notify_all()
            return self._now_s

    def pieces_of(self, pieces: Iterable[bytes], *, step_s: float) -> Iterator[bytes]:
        """Yield *pieces*, each *step_s* after the client has received the one before."""
        for piece in pieces:
            with self._condition:
                self._condition.wait_for(lambda: self._is_read or self._is_released, _READ_WITHIN_S)
                self._is_read = False
                self._now_s += step_s
            yield piece

    def release(self) -> None:
        """Let the pieces that are left be sent at once: no client reads them any more."""
        with self._condition:
            self._is_released = True
            self._condition.notify_all()

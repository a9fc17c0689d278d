"""Stop an upload: by a signal, a deadline, or a failure elsewhere. Progress is always kept."""

from __future__ import annotations

import time
from collections.abc import Callable

from obsup.errors import ObsupError, OutOfTime

# How often a wait checks whether to stop, in seconds.
POLL_S = 0.1
# How long parts in flight may take after the deadline: --max-time holds to within two seconds.
DEADLINE_GRACE_S = 1.0


class StopSignal:
    """Signals, from any thread or signal handler, to start no new parts, and later to interrupt those in flight.

    ``deadline_s`` is a value of *monotonic*. Parts in flight have ``grace_s`` seconds after ``request_stop``, but
    at most one second after the deadline.
    """

    # No lock and no threading.Event: a handler may run while the thread that it interrupts holds the Event's lock.

    def __init__(
        self,
        *,
        grace_s: float = 5.0,
        deadline_s: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._grace_s = grace_s
        self._deadline_s = deadline_s
        self._monotonic = monotonic
        self._pause = pause
        self._reason: ObsupError | None = None
        self._grace_end_s: float | None = (
            None if deadline_s is None else deadline_s + min(grace_s, DEADLINE_GRACE_S)
        )

    def request_stop(self, reason: ObsupError, *, at_once: bool = False) -> None:
        """Stop the upload; the first *reason* counts. *at_once* ends the grace period of parts in flight."""
        now_s = self._monotonic()
        if self._reason is None:
            end_s = now_s + self._grace_s
            self._grace_end_s = end_s if self._grace_end_s is None else min(end_s, self._grace_end_s)
            self._reason = reason
        if at_once:
            self._grace_end_s = now_s

    @property
    def reason(self) -> ObsupError | None:
        """Why the upload must stop, or None."""
        if self._reason is None and self._deadline_s is not None and self._monotonic() >= self._deadline_s:
            self.request_stop(OutOfTime("the time limit is reached", "--max-time or --until ended the run"))
        return self._reason

    @property
    def grace_left_s(self) -> float | None:
        """The seconds until parts in flight must end, None without a stop or a deadline."""
        return None if self._grace_end_s is None else max(0.0, self._grace_end_s - self._monotonic())

    @property
    def is_over(self) -> bool:
        """Whether parts in flight must end now."""
        return self.reason is not None and self.grace_left_s == 0

    def check(self, _size: int = 0) -> None:
        """Raise the reason if the upload must stop. Called if nothing in flight could still be completed."""
        if self.reason is not None:
            raise self.reason

    def check_in_flight(self, _size: int = 0) -> None:
        """Raise the reason if parts in flight must end now. Called between the blocks of a part."""
        if self._grace_end_s is not None and self.is_over:
            self.check()

    def sleep(self, seconds: float) -> bool:
        """Wait *seconds*, or less if the upload must stop; return whether it must."""
        end_s = self._monotonic() + seconds
        while self.reason is None:
            left_s = end_s - self._monotonic()
            if left_s <= 0:
                return False
            self._pause(min(left_s, POLL_S))
        return True

"""How an upload is asked to stop: by a signal, a deadline, or a failure elsewhere. Progress is kept each time."""

from __future__ import annotations

import time
from collections.abc import Callable

from obsup.errors import ObsupError, OutOfTime

# How soon one who waits notices that the work is to stop, in seconds.
POLL_S = 0.1


class StopSignal:
    """Says, from any thread or signal handler, that no new part shall begin; and later that those begun shall end.

    ``deadline_s`` is on *monotonic*'s scale. After ``ask`` the parts in flight have ``grace_s`` seconds.
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
        self._cut_at: float | None = None if deadline_s is None else deadline_s + grace_s

    def ask(self, reason: ObsupError, *, at_once: bool = False) -> None:
        """Ask for the end; the first *reason* counts. *at_once* leaves parts in flight no time."""
        now = self._monotonic()
        if self._reason is None:
            self._cut_at = now + self._grace_s
            self._reason = reason
        if at_once:
            self._cut_at = now

    @property
    def reason(self) -> ObsupError | None:
        """Why the work is to stop, or None where it is not."""
        if self._reason is None and self._deadline_s is not None and self._monotonic() >= self._deadline_s:
            self.ask(OutOfTime("the time given is over", "--max-time or --until came first"))
        return self._reason

    @property
    def cut_in_s(self) -> float | None:
        """The seconds until even the parts in flight are to end; None where no end is in sight."""
        return None if self._cut_at is None else max(0.0, self._cut_at - self._monotonic())

    @property
    def is_over(self) -> bool:
        """Whether even the parts in flight are to end now."""
        return self.reason is not None and self.cut_in_s == 0

    def check(self, _size: int = 0) -> None:
        """Raise the reason where the work is to stop. Called where nothing is in flight that could still end."""
        if self.reason is not None:
            raise self.reason

    def cut(self, _size: int = 0) -> None:
        """Raise the reason where even parts in flight are to end now. Called between the blocks of a part."""
        if self._cut_at is not None and self.is_over:
            self.check()

    def sleep(self, seconds: float) -> bool:
        """Wait *seconds*, less where a stop or the deadline comes; return whether the work is to stop."""
        end = self._monotonic() + seconds
        while self.reason is None:
            left = end - self._monotonic()
            if left <= 0:
                return False
            self._pause(min(left, POLL_S))
        return True

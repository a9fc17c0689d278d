"""How an upload is asked to stop: by a signal, a deadline, or a failure elsewhere. Progress is kept each time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from obsup.errors import ObsupError, OutOfTime


class StopSignal:
    """Says, from any thread or signal handler, that no new part shall begin; and later that those begun shall end.

    ``deadline_s`` is on *monotonic*'s scale. After ``ask`` the parts in flight have ``grace_s`` seconds.
    """

    def __init__(
        self,
        *,
        grace_s: float = 5.0,
        deadline_s: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._grace_s = grace_s
        self._deadline_s = deadline_s
        self._monotonic = monotonic
        self._asked = threading.Event()
        self._reason: ObsupError | None = None
        self._cut_at: float | None = None

    def ask(self, reason: ObsupError, *, at_once: bool = False) -> None:
        """Ask for the end; the first *reason* counts. *at_once* leaves parts in flight no time."""
        now = self._monotonic()
        if self._reason is None:
            self._reason = reason
            self._cut_at = now + self._grace_s
        if at_once:
            self._cut_at = now
        self._asked.set()

    @property
    def reason(self) -> ObsupError | None:
        """Why the work is to stop, or None where it is not."""
        if self._reason is None and self._deadline_s is not None and self._monotonic() >= self._deadline_s:
            self.ask(OutOfTime("the time given is over", "--max-time or --until came first"))
        return self._reason

    @property
    def is_over(self) -> bool:
        """Whether even the parts in flight are to end now."""
        return self.reason is not None and self._cut_at is not None and self._monotonic() >= self._cut_at

    def cut(self, _size: int = 0) -> None:
        """Raise the reason where even parts in flight are to end now. Called between the blocks of a part."""
        if self.is_over and self._reason is not None:
            raise self._reason

    def sleep(self, seconds: float) -> bool:
        """Wait *seconds*, less where a stop or the deadline comes; return whether the work is to stop."""
        if self._deadline_s is not None:
            seconds = min(seconds, max(0.0, self._deadline_s - self._monotonic()))
        self._asked.wait(seconds)
        return self.reason is not None

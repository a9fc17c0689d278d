"""The driver's loop: keeps workers busy with parts and collects their receipts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

from obsup.engine.job.stop import StopSignal
from obsup.engine.send.part import PartToSend
from obsup.model import Receipt

# How soon the driver notices a signal or a deadline while parts are in flight, in seconds.
POLL_S = 0.2

T = TypeVar("T")
SubmitPart = Callable[[PartToSend], "Future[Receipt]"]


def drain(queue: SimpleQueue[T], wait_s: float = 0.0) -> Iterator[T]:
    """Yield everything in *queue*; if it is empty, wait up to *wait_s* seconds for the first item."""
    with suppress(Empty):
        while True:
            yield queue.get(block=wait_s > 0, timeout=wait_s)
            wait_s = 0.0


def dispatch(
    parts: Iterator[PartToSend],
    submit: SubmitPart,
    *,
    window: Callable[[], int],
    stop: StopSignal,
    on_receipt: Callable[[Receipt], None],
) -> None:
    """Send all *parts* with at most *window* submitted at once; call *on_receipt* for each in this thread.

    *window* is called repeatedly. If it shrinks, parts that no worker has started are cancelled and submitted again
    later. After a failure or a stop no part starts, those in flight finish, and the first failure or the stop's
    reason is raised.
    """
    submitted = _SubmittedParts(parts, submit)
    failures: list[BaseException] = []
    try:
        while not stop.is_over:
            submitted.resize(0 if failures or stop.reason is not None else window())
            if not submitted.pending:
                break
            for future in submitted.finished():
                failure = future.exception()
                if failure is None:
                    on_receipt(future.result())
                else:
                    failures.append(failure)
    finally:
        submitted.resize(0)
    if stop.reason is not None:
        raise stop.reason
    if failures:
        raise failures[0]


class _SubmittedParts:
    """The parts that workers are sending or will start next."""

    def __init__(self, parts: Iterator[PartToSend], submit: SubmitPart) -> None:
        self.pending: dict[Future[Receipt], PartToSend] = {}
        self._parts = parts
        self._cancelled: deque[PartToSend] = deque()
        self._submit = submit
        # Not concurrent.futures.wait, which checks every pending future whenever one finishes.
        self._finished: SimpleQueue[Future[Receipt]] = SimpleQueue()

    def resize(self, window: int) -> None:
        """Submit parts until *window* are pending, or cancel those beyond it that have not started."""
        for future in list(self.pending)[window:]:
            if future.cancel():
                self._cancelled.append(self.pending.pop(future))
        while len(self.pending) < window:
            part = self._cancelled.popleft() if self._cancelled else next(self._parts, None)
            if part is None:
                return
            future = self._submit(part)
            self.pending[future] = part
            future.add_done_callback(self._finished.put)
            if future.done():  # sent in this thread: its result decides whether another part starts
                return

    def finished(self) -> Iterator[Future[Receipt]]:
        """Remove and yield the futures that are done; wait up to POLL_S for the first."""
        for future in drain(self._finished, POLL_S):
            if self.pending.pop(future, None) is not None:  # None: it was cancelled
                yield future

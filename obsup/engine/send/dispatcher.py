"""The loop of the driver: keeps workers busy with parts, and takes their receipts in."""

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

# How soon a signal or a deadline is noticed while parts are under way, in seconds.
POLL_S = 0.2

T = TypeVar("T")
Send = Callable[[PartToSend], "Future[Receipt]"]


def drain(posts: SimpleQueue[T], wait_s: float = 0.0) -> Iterator[T]:
    """Yield all that lies in *posts*; where nothing does, wait for it, but no longer than *wait_s* seconds."""
    with suppress(Empty):
        while True:
            yield posts.get(block=wait_s > 0, timeout=wait_s)
            wait_s = 0.0


def dispatch(
    jobs: Iterator[PartToSend],
    send: Send,
    *,
    window: Callable[[], int],
    stop: StopSignal,
    keep: Callable[[Receipt], None],
) -> None:
    """Have every job sent, with at most *window* submitted at once, and *keep* each receipt as it comes.

    *window* is asked again and again; where it shrinks, what no worker has begun is called off and comes later.
    After a failure, or when *stop* asks, nothing new begins, what is under way ends and is kept, and the first
    failure, or the reason to stop, is raised.
    """
    submitted = _Submitted(jobs, send)
    failures: list[BaseException] = []
    try:
        while not stop.is_over:
            submitted.fill(0 if failures or stop.reason is not None else window())
            if not submitted.pending:
                break
            for future in submitted.ended():
                failed = future.exception()
                if failed is None:
                    keep(future.result())
                else:
                    failures.append(failed)
    finally:
        submitted.fill(0)
    if stop.reason is not None:
        raise stop.reason
    if failures:
        raise failures[0]


class _Submitted:
    """The jobs that workers have, or will take next."""

    def __init__(self, jobs: Iterator[PartToSend], send: Send) -> None:
        self.pending: dict[Future[Receipt], PartToSend] = {}
        self._jobs = jobs
        self._called_off: deque[PartToSend] = deque()
        self._send = send
        # Not concurrent.futures.wait: it would ask every pending part, each time that one ends.
        self._ended: SimpleQueue[Future[Receipt]] = SimpleQueue()

    def fill(self, window: int) -> None:
        """Submit jobs until *window* are pending, or call off what has not begun beyond it."""
        for future in list(self.pending)[window:]:
            if future.cancel():
                self._called_off.append(self.pending.pop(future))
        while len(self.pending) < window:
            job = self._called_off.popleft() if self._called_off else next(self._jobs, None)
            if job is None:
                return
            future = self._send(job)
            self.pending[future] = job
            future.add_done_callback(self._ended.put)
            if future.done():  # sent in this very thread: what came of it decides whether another follows
                return

    def ended(self) -> Iterator[Future[Receipt]]:
        """Take out of the pending ones those that ended, and wait for one, but not long."""
        for future in drain(self._ended, POLL_S):
            if self.pending.pop(future, None) is not None:  # else it was called off
                yield future

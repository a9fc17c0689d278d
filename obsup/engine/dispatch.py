"""The loop of the driver: keeps workers busy with parts, and takes their receipts in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice

from obsup.engine.stop import StopSignal
from obsup.engine.worker import PartJob
from obsup.model import Receipt

# How soon a signal or a deadline is noticed while parts are under way, in seconds.
POLL_S = 0.2


def dispatch(
    jobs: Iterator[PartJob],
    send: Callable[[PartJob], Future[Receipt]],
    *,
    window: int,
    stop: StopSignal,
    keep: Callable[[Receipt], None],
) -> None:
    """Have every job sent, with at most *window* under way at once, and *keep* each receipt as it comes.

    After a failure, or when *stop* asks, nothing new begins, what is under way ends and is kept, and the first
    failure, or the reason to stop, is raised.
    """
    pending: set[Future[Receipt]] = set()
    failures: list[BaseException] = []
    try:
        while not stop.is_over:
            room = 0 if failures or stop.reason is not None else window - len(pending)
            for job in islice(jobs, max(0, room)):
                pending.add(send(job))
            if not pending:
                break
            done, pending = wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED)
            for future in done:
                failed = future.exception()
                if failed is None:
                    keep(future.result())
                else:
                    failures.append(failed)
    finally:
        for future in pending:
            future.cancel()
    if stop.reason is not None:
        raise stop.reason
    if failures:
        raise failures[0]

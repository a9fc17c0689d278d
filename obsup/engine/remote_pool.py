"""The pool of workers elsewhere: small files and parts of large ones are the units of their work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from typing import TypeVar

from obsup import events
from obsup.engine.crew import RemoteCrew, open_remote_crew
from obsup.engine.dispatch import POLL_S, dispatch
from obsup.engine.finish import Finished
from obsup.engine.flight import Flight
from obsup.engine.progress import Tally
from obsup.engine.sender import Sender
from obsup.engine.shares import LARGE, Shares
from obsup.engine.task import Task
from obsup.engine.worker import PartJob
from obsup.model import Receipt, SourceStat

T = TypeVar("T")


class RemotePool:
    """A Pool over a RemoteCrew. Threads here take the steps of each file; only what is sent goes to the workers."""

    def __init__(self, task: Task) -> None:
        self._crew = open_remote_crew(task, observe=events.ignore)
        self._shares = Shares(Flight(self._crew.size))
        self.flight = self._shares.flight
        self.large = LARGE
        self.has_small = False
        self._small = ThreadPoolExecutor(2 * self._crew.size, thread_name_prefix="small")
        self._large = ThreadPoolExecutor(LARGE, thread_name_prefix="file")
        self._sender = _Elsewhere(self._crew, self._shares, self._large_window)

    def room(self) -> int:
        """See Pool: another lies ready for each worker, for the way there takes time."""
        return 2 * self._shares.of_small()

    def start_small(self, call: Callable[[Sender], T]) -> Future[T]:
        """See Pool."""
        return self._small.submit(call, self._sender)

    def start_large(self, call: Callable[[Sender], T]) -> Future[T]:
        """See Pool."""
        return self._large.submit(call, self._sender)

    def _large_window(self) -> int:
        return self._shares.of_large(has_small=self.has_small)

    def close(self, *, wait: bool) -> None:
        """See Pool."""
        self._small.shutdown(wait=wait, cancel_futures=True)
        self._large.shutdown(wait=wait, cancel_futures=True)
        self._crew.leave(wait=wait)


class _Elsewhere:
    """Has parts and small files sent by workers elsewhere, which many uploads share."""

    def __init__(self, crew: RemoteCrew, shares: Shares, window: Callable[[], int]) -> None:
        self._crew = crew
        self._shares = shares
        self._window = window

    def send_parts(
        self, task: Task, tally: Tally, jobs: Iterator[PartJob], keep: Callable[[Receipt], None]
    ) -> None:
        """See Sender. Which file a part is of is known here, and so who is to hear of it."""
        send = partial(self._crew.send, observe=tally)
        with self._shares.taken():
            dispatch(jobs, send, window=self._window, stop=task.stop, keep=keep)

    def put_file(self, task: Task, stat: SourceStat) -> Finished:
        """See Sender."""
        future = self._crew.put(replace(task.order, source=task.source), stat, task.observe)
        while not wait([future], timeout=POLL_S).done:
            task.stop.cut()
        finished = future.result()
        task.observe(events.PartStored(1, stat.size))
        return finished

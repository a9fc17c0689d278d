"""Who sends what an upload consists of: a crew of its own, or hands that many uploads share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from obsup.engine.job.context import Task
from obsup.engine.job.progress import Tally
from obsup.engine.job.result import Finished
from obsup.engine.send.part import PartJob
from obsup.engine.send.whole_object import put_file
from obsup.model import Receipt, SourceStat


class Sender(Protocol):
    """Has the parts of an upload sent, or its whole file in one request. Raises as ``dispatch`` and ``put_file``."""

    def send_parts(
        self, task: Task, tally: Tally, jobs: Iterator[PartJob], keep: Callable[[Receipt], None]
    ) -> None:
        """Have every job sent; *keep* hears of each receipt as it comes, in the thread that calls."""
        ...

    def put_file(self, task: Task, stat: SourceStat) -> Finished:
        """Put the file that had the identity *stat*, and return once the object is proved."""
        ...


class OwnCrew:
    """A crew for each round of one upload, as large as its order asks for."""

    def send_parts(
        self, task: Task, tally: Tally, jobs: Iterator[PartJob], keep: Callable[[Receipt], None]
    ) -> None:
        """See Sender."""
        # Here, and not above: what fits one request need not wait for it.
        from obsup.engine.send.concurrency import Flight
        from obsup.engine.send.concurrency_probe import Climb
        from obsup.engine.send.dispatcher import dispatch
        from obsup.engine.send.workers import open_crew

        crew = open_crew(task)
        try:
            flight = Flight(crew.size, climb=Climb(most=crew.size) if task.order.tries_jobs else None)
            with tally.heard_by(flight):
                dispatch(jobs, crew.send, window=lambda: flight.window, stop=task.stop, keep=keep)
        finally:
            crew.leave(wait=not task.stop.is_over)

    def put_file(self, task: Task, stat: SourceStat) -> Finished:
        """See Sender: in this very thread."""
        return put_file(task, stat)

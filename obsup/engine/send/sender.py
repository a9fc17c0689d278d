"""Who sends what an upload consists of: a crew of its own, or hands that many uploads share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from obsup.engine.job.context import UploadContext
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.result import Finished
from obsup.engine.send.part import PartToSend
from obsup.engine.send.whole_object import put_file
from obsup.model import Receipt, SourceStat


class PartSender(Protocol):
    """Has the parts of an upload sent, or its whole file in one request. Raises as ``dispatch`` and ``put_file``."""

    def send_parts(
        self,
        task: UploadContext,
        tally: ProgressTally,
        jobs: Iterator[PartToSend],
        keep: Callable[[Receipt], None],
    ) -> None:
        """Have every job sent; *keep* hears of each receipt as it comes, in the thread that calls."""
        ...

    def put_file(self, task: UploadContext, stat: SourceStat) -> Finished:
        """Put the file that had the identity *stat*, and return once the object is proved."""
        ...


class DedicatedSender:
    """A crew for each round of one upload, as large as its order asks for."""

    def send_parts(
        self,
        task: UploadContext,
        tally: ProgressTally,
        jobs: Iterator[PartToSend],
        keep: Callable[[Receipt], None],
    ) -> None:
        """See PartSender."""
        # Here, and not above: what fits one request need not wait for it.
        from obsup.engine.send.concurrency import ConcurrencyLimit
        from obsup.engine.send.concurrency_probe import ConcurrencyProbe
        from obsup.engine.send.dispatcher import dispatch
        from obsup.engine.send.workers import open_workers

        workers = open_workers(task)
        try:
            concurrency = ConcurrencyLimit(
                workers.size, probe=ConcurrencyProbe(most=workers.size) if task.request.probes_jobs else None
            )
            with tally.observed_by(concurrency):
                dispatch(jobs, workers.send, window=lambda: concurrency.window, stop=task.stop, keep=keep)
        finally:
            workers.close(wait=not task.stop.is_over)

    def put_file(self, task: UploadContext, stat: SourceStat) -> Finished:
        """See PartSender: in this very thread."""
        return put_file(task, stat)

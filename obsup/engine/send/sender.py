"""Send the parts of an upload, or its whole file in one request: the base class, and the sender of a single upload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from obsup.engine.job.context import UploadContext
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.result import Finished
from obsup.engine.send.part import PartToSend
from obsup.engine.send.whole_object import put_file
from obsup.model import Receipt, SourceStat

if TYPE_CHECKING:
    from obsup.engine.send.workers import Workers


class PartSender:
    """Sends the parts of uploads. A batch shares one sender; a single upload has its own."""

    def prepare(self, context: UploadContext) -> None:
        """Make sure that there are workers, before an upload is initiated for them. Raises as ``open_workers``."""

    def release(self) -> None:
        """Close the workers of a single upload, if it failed before it sent parts."""

    def send_parts(
        self,
        context: UploadContext,
        tally: ProgressTally,
        parts: Iterator[PartToSend],
        on_receipt: Callable[[Receipt], None],
    ) -> None:
        """Send all *parts*; call *on_receipt* for each stored part, in the calling thread. Raises as ``dispatch``."""
        raise NotImplementedError

    def put_file(self, context: UploadContext, stat: SourceStat) -> Finished:
        """Put the file with the identity *stat* in one request and verify the object. Raises as ``put_whole``."""
        return put_file(context, stat)


class DedicatedSender(PartSender):
    """Opens workers for one upload, as many as its request asks for."""

    def __init__(self) -> None:
        self._workers: Workers | None = None

    def prepare(self, context: UploadContext) -> None:
        from obsup.engine.send.workers import open_workers

        self._workers = self._workers or open_workers(context)

    def release(self) -> None:
        workers, self._workers = self._workers, None
        if workers is not None:
            workers.close(wait=False)

    def send_parts(
        self,
        context: UploadContext,
        tally: ProgressTally,
        parts: Iterator[PartToSend],
        on_receipt: Callable[[Receipt], None],
    ) -> None:
        from obsup.engine.send.workers import open_workers, send_with_workers

        workers, self._workers = self._workers or open_workers(context), None
        send_with_workers(workers, context, tally, parts, on_receipt)

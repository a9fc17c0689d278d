"""How the parts of an upload are sent, or its whole file in one request; and the workers of a single upload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from obsup.engine.job.context import UploadContext
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.result import Finished
from obsup.engine.send.part import PartToSend
from obsup.engine.send.whole_object import put_file
from obsup.model import Receipt, SourceStat
from obsup.value import Value

if TYPE_CHECKING:
    from obsup.engine.send.workers import Workers

OnReceipt = Callable[[Receipt], None]
SendParts = Callable[[UploadContext, ProgressTally, Iterator[PartToSend], OnReceipt], None]
"""Sends all parts; calls the last argument for each stored part, in the calling thread. Raises as ``dispatch``."""


class PartSender(Value):
    """What sends the content of an upload. A batch shares it, and a single upload has its own ``OwnWorkers``.

    ``put_file`` puts the file with the given identity in one request and verifies the object. Raises as ``put_whole``.
    """

    send_parts: SendParts
    put_file: Callable[[UploadContext, SourceStat], Finished] = put_file


class OwnWorkers:
    """The workers of one upload, as many as its request asks for."""

    def __init__(self) -> None:
        self._workers: Workers | None = None

    def prepare(self, context: UploadContext) -> None:
        """Make sure that there are workers, before an upload is initiated for them. Raises as ``open_workers``."""
        from obsup.engine.send.workers import open_workers

        self._workers = self._workers or open_workers(context)

    def release(self) -> None:
        """Close the workers, if the upload failed before it sent parts."""
        workers, self._workers = self._workers, None
        if workers is not None:
            workers.close(wait=False)

    def send_parts(
        self,
        context: UploadContext,
        tally: ProgressTally,
        parts: Iterator[PartToSend],
        on_receipt: OnReceipt,
    ) -> None:
        """See ``SendParts``."""
        from obsup.engine.send.workers import send_with_workers

        self.prepare(context)
        workers, self._workers = self._workers, None
        assert workers is not None
        send_with_workers(workers, context, tally, parts, on_receipt)

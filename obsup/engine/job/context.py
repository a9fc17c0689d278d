"""One upload in hand: the order, the open store, and who listens and may stop it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from obsup import events
from obsup.dialects.dialect import Dialect
from obsup.dialects.object_headers import Operation, object_headers
from obsup.engine.job.connection import Connection
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.send_options import SendOptions
from obsup.engine.job.stop import StopSignal
from obsup.engine.proof.part_proof import DigestChoice, choose_digests
from obsup.local.source.file import Gate
from obsup.local.state import checkpoint_path
from obsup.store.interface import ObjectStore
from obsup.value import Value


class UploadContext(Value):
    """What every step of an upload needs.

    ``limit`` is asked, before bytes are sent, how many of so many may go now; it waits as it likes.
    """

    connection: Connection
    order: UploadRequest
    observe: events.Observer
    stop: StopSignal
    limit: Gate | None = None
    clock: Callable[[], float] = time.time

    @property
    def store(self) -> ObjectStore:
        """The open store, with its patience."""
        return self.connection.store

    @property
    def dialect(self) -> Dialect:
        """The store's dialect."""
        return self.connection.store.dialect

    @property
    def source(self) -> Path:
        """The source, as an absolute path."""
        return Path(self.order.source).absolute()

    @property
    def source_name(self) -> str:
        """What the checkpoint says of the source: the path of a file."""
        return str(self.source)

    @property
    def digests(self) -> DigestChoice:
        """What each part is proved with."""
        return choose_digests(self.order.digest, self.dialect, encrypted=self.order.encrypted)

    @property
    def send_options(self) -> SendOptions:
        """How each part is sent."""
        return SendOptions(self.digests, self.order.content_md5, self.observe, self.gate, self.read_gate)

    @property
    def checkpoint_path(self) -> Path | None:
        """Where the checkpoint is kept, or None where no state is kept here."""
        if not self.order.keep_checkpoint:
            return None
        return self.order.checkpoint or checkpoint_path.default_path(self.source, self.order.target)

    def headers(self, operation: Operation) -> dict[str, str]:
        """Return the headers of the object's options that *operation* carries. Raises WrongUsage."""
        return object_headers(self.dialect, self.order.options, operation, key=self.order.target.key)

    def gate(self, size: int) -> int:
        """Return how many of *size* bytes may be sent now; raise where the work is to end at once."""
        self.stop.cut()
        return size if self.limit is None else self.limit(size)

    def read_gate(self, size: int) -> int:
        """Return *size*: bytes that are read and not sent pass; raise where the work is to end at once."""
        self.stop.cut()
        return size

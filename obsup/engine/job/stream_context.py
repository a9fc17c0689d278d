"""What is different where the source is a stream: its name, its checkpoint, and what cannot be asked of it."""

from __future__ import annotations

from pathlib import Path

from obsup.engine.job.context import UploadContext
from obsup.local.state import checkpoint_path
from obsup.model import SourceStat

NO_STAT = SourceStat(0, 0, 0, 0, 0)


class StreamContext(UploadContext, kw_only=True):
    """A Task whose source is a stream.

    *name* stands for the stream in the checkpoint: - for what is piped in. A stream that can be had again by its
    name (a command) has a checkpoint by default.
    """

    name: str = "-"
    is_repeatable: bool = False

    @property
    def source_name(self) -> str:
        """What the checkpoint says of the source."""
        return self.name

    @property
    def checkpoint_path(self) -> Path | None:
        """Where the checkpoint is kept, or None where no state is kept here."""
        if not self.order.keep_checkpoint:
            return None
        if self.order.checkpoint is not None or not self.is_repeatable:
            return self.order.checkpoint
        return checkpoint_path.default_stream_path(self.name, self.order.target)

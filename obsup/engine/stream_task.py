"""What is different where the source is a stream: its name, its checkpoint, and what cannot be asked of it."""

from __future__ import annotations

from pathlib import Path

from obsup.engine.executors import HERE
from obsup.engine.order import Order
from obsup.engine.task import Task
from obsup.errors import WrongUsage
from obsup.frozen import frozen_by_name
from obsup.local import checkpoint as checkpoints
from obsup.model import SourceStat
from obsup.quoting import shell_word

NO_STAT = SourceStat(0, 0, 0, 0, 0)


@frozen_by_name
class StreamTask(Task):
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
        return checkpoints.default_stream_path(self.name, self.order.target)


def check_order(order: Order) -> None:
    """Raise WrongUsage for what cannot be done with a stream."""
    if order.target.key.endswith("/"):
        raise WrongUsage(
            f"{order.target} ends in /, and a stream has no file name to put there",
            "a stream is known by its target alone",
            f"name the whole key: {shell_word(f'{order.target.name}NAME')}",
        )
    if order.executor not in HERE:
        raise WrongUsage(
            f"--executor {order.executor} cannot send a stream",
            "its parts are in the memory of this process",
            f"use --executor {HERE[0]}, or write the data to a file that all workers see",
        )
    if order.skip_identical:
        raise WrongUsage(
            "--skip-identical cannot be asked for a stream",
            "what it holds is known only once it has been read",
            "leave out --skip-identical",
        )

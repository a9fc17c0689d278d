"""The driver's record of receipts, and when it reaches the checkpoint. Only the driver writes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from obsup import events
from obsup.errors import CheckpointUnwritable
from obsup.local import checkpoint as checkpoints
from obsup.local import registry
from obsup.local.checkpoint import Checkpoint
from obsup.model import Receipt, Upload

MIN_INTERVAL_S = 0.5
# Writing takes at most this share of the time, however many parts there are.
WRITING_SHARE = 0.02


class Ledger:
    """Keeps receipts and writes the checkpoint now and then: a lost record costs a request, never a part.

    *path* is None where no state is kept here. A checkpoint that cannot be written any more is said once, and
    the upload goes on: it resumes by asking the store.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        path: Path | None,
        *,
        observe: events.Observer = events.ignore,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checkpoint = checkpoint
        self._path = path
        self._observe = observe
        self._monotonic = monotonic
        self._dirty = False
        self._is_registered = False
        self._due = monotonic()
        self.receipts: dict[int, Receipt] = dict(checkpoint.receipts)

    def demand(self) -> None:
        """Write the checkpoint, and raise CheckpointUnwritable where that cannot be: its place was asked for."""
        if self._path is not None:
            checkpoints.save(self._path, self.checkpoint)

    def adopt(self, upload: Upload) -> None:
        """Take over the upload that the store initiated, and write the checkpoint."""
        self._checkpoint = replace(self._checkpoint, upload=upload, open_before=())
        self.write()

    def rebase(self, checkpoint: Checkpoint) -> None:
        """Go on with *checkpoint*: the same upload after a look at a source that changed."""
        self._checkpoint = checkpoint
        self.receipts = dict(checkpoint.receipts)

    @property
    def upload(self) -> Upload:
        """The upload that this is the record of."""
        return self._checkpoint.upload

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint as it stands now."""
        return replace(self._checkpoint, receipts=dict(self.receipts))

    def add(self, receipt: Receipt) -> None:
        """Record *receipt*, and write the checkpoint where it is time."""
        self.receipts[receipt.number] = receipt
        self._dirty = True
        if self._monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Write the checkpoint now."""
        self._dirty = False
        if self._path is None:
            return
        begun = self._monotonic()
        try:
            checkpoints.save(self._path, self.checkpoint)
        except CheckpointUnwritable as exc:
            self._observe(events.Noted(f"{exc}; going on without: a later run asks the store what it holds"))
            self._path = None
            return
        self._register()
        took = self._monotonic() - begun
        self._due = begun + max(MIN_INTERVAL_S, took / WRITING_SHARE)

    def settle(self) -> None:
        """Write what is not written yet."""
        if self._dirty:
            self.write()

    def _register(self) -> None:
        """Tell this machine, once, that the upload is ours."""
        if not self._is_registered and self.upload.upload_id:
            self._is_registered = True
            registry.remember(self._entry())

    def _entry(self) -> registry.Entry:
        one = self._checkpoint
        return registry.Entry(one.upload, one.source, str(self._path), one.created, size=one.stat.size)

    def remove(self) -> None:
        """Remove the checkpoint: the object is proved."""
        if self._path is not None:
            registry.finish(self._entry())
            checkpoints.remove(self._path)

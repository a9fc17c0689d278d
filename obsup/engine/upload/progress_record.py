"""The driver's record of receipts, and when it reaches the checkpoint. Only the driver writes it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.context import UploadContext
from obsup.engine.job.request import UploadRequest
from obsup.errors import CheckpointUnwritable, WrongUsage
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import checkpoint_path, started_uploads
from obsup.local.state.checkpoint import Checkpoint, CheckpointDamaged, CheckpointForeign
from obsup.model import Receipt, Upload
from obsup.text import quoted

MIN_INTERVAL_S = 0.5
# Writing takes at most this share of the time, however many parts there are.
WRITING_SHARE = 0.02
# Each write is of the whole file: one is worth it where this share of the parts is new. So 10,000 parts are written
# about 300 times, in less than a second of CPU, however slowly they come; what a crash loses of the record is compared
# with the store's list on resume, and is not sent again.
NEWS_SHARE = 0.02


class ProgressRecord:
    """Keeps receipts and writes the checkpoint now and then: a lost record costs a request, never a part.

    *path* is None where no state is kept here; *spare* is where to go where nothing can be written there. A
    checkpoint that can be written nowhere any more is said once, and the upload goes on: it resumes by asking the
    store.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        path: Path | None,
        *,
        spare: Path | None = None,
        observe: events.Observer = events.ignore,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checkpoint = checkpoint
        self._path = path
        self._spare = spare
        self._observe = observe
        self._monotonic = monotonic
        self._left: Path | None = None  # an older checkpoint of this upload, which cannot be written any more
        self._unwritten = 0
        self._is_registered = False
        self._due = monotonic()
        self.receipts: dict[int, Receipt] = dict(checkpoint.receipts)

    def write_or_raise(self) -> None:
        """Write the checkpoint, and raise CheckpointUnwritable where that cannot be: its place was asked for."""
        if self._path is not None:
            checkpoints.save(self._path, self.checkpoint)

    def set_upload(self, upload: Upload) -> None:
        """Take over the upload that the store initiated, and write the checkpoint."""
        self._checkpoint = replace(self._checkpoint, upload=upload, open_before=())
        self.write()

    def replace_checkpoint(self, checkpoint: Checkpoint) -> None:
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
        self._unwritten += 1
        if self._unwritten >= NEWS_SHARE * len(self.receipts) and self._monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Write the checkpoint now."""
        self._unwritten = 0
        if self._path is None:
            return
        begun = self._monotonic()
        try:
            checkpoints.save(self._path, self.checkpoint)
        except CheckpointUnwritable as exc:
            self._move(exc)
            return
        self._register()
        took = self._monotonic() - begun
        self._due = begun + max(MIN_INTERVAL_S, took / WRITING_SHARE)

    def _move(self, failure: CheckpointUnwritable) -> None:
        """Go on with the spare place, where no older checkpoint would be found first; or without any."""
        older, spare = self._path, self._spare
        self._path = self._spare = None
        if older is not None and os.path.lexists(older):
            self._left = older
        elif spare is not None:
            with contextlib.suppress(CheckpointUnwritable):
                checkpoints.save(spare, self.checkpoint)
                self._path = spare
                self._observe(events.Noted(f"{failure}; it is kept as {spare}"))
                self._register()
                return
        self._observe(events.Noted(f"{failure}; going on without: a later run asks the store what it holds"))

    def flush(self) -> None:
        """Write what is not written yet."""
        if self._unwritten:
            self.write()

    def _register(self) -> None:
        """Tell this machine, once, that the upload is ours."""
        if not self._is_registered and self.upload.upload_id:
            self._is_registered = True
            started_uploads.add(self._entry())

    def _entry(self) -> started_uploads.StartedUpload:
        one = self._checkpoint
        return started_uploads.StartedUpload(
            one.upload, one.source, str(self._path), one.created, size=one.stat.size
        )

    def remove(self) -> None:
        """Remove the checkpoint: the object is proved, whatever becomes of this file."""
        path = self._path or self._left
        if path is None:
            return
        started_uploads.finish(self._entry())
        try:
            checkpoints.remove(path)
        except CheckpointUnwritable as exc:
            self._observe(events.Noted(f"{exc}; it does no harm"))


def open_record(context: UploadContext, checkpoint: Checkpoint, *, is_first: bool = False) -> ProgressRecord:
    """Return the record of *checkpoint* where *context* keeps it. *is_first*: nothing of this upload was written yet.

    Raises CheckpointUnwritable for a first one whose place was asked for.
    """
    path, named = context.checkpoint_path, context.request.checkpoint
    apart = checkpoint_path.fallback_path(context.source, context.request.target)
    spare = apart if named is None and path != apart else None
    record = ProgressRecord(checkpoint, path, spare=spare, observe=context.observe)
    if is_first and named is not None:
        record.write_or_raise()
    return record


def check_checkpoint_path(request: UploadRequest) -> None:
    """Raise WrongUsage where the checkpoint would take the place of the source."""
    if request.checkpoint is None or not request.checkpoint.exists():
        return
    if request.source.exists() and request.checkpoint.samefile(request.source):
        raise WrongUsage(
            f"--checkpoint {quoted(request.checkpoint)} is SOURCE itself",
            "the checkpoint is a file of its own, which is written again and again",
            "name another file",
        )


def read_checkpoint(context: UploadContext) -> Checkpoint | None:
    """Return the checkpoint if it has the target and the object options of the request; None otherwise."""
    path = context.checkpoint_path
    try:
        found = checkpoints.load(path) if path is not None else None
    except CheckpointDamaged:
        return None
    is_same = found is not None and (found.upload.target, found.headers_digest) == (
        context.request.target,
        context.request.headers_digest,
    )
    return found if is_same else None


def load_checkpoint(context: UploadContext) -> Checkpoint | None:
    """Return what *context*'s checkpoint says, or None where it says nothing; what is not ours is set aside.

    Raises CheckpointUnwritable where that cannot be.
    """
    path = context.checkpoint_path
    if path is None:
        return None
    try:
        return checkpoints.load(path)
    except CheckpointForeign as exc:
        kept = quoted(checkpoints.set_aside(path))
        context.observe(
            events.Noted(f"the checkpoint {quoted(path)} is of no use: {exc.what}; it is now {kept}")
        )
    except CheckpointDamaged as exc:
        context.observe(
            events.Noted(f"the checkpoint {quoted(path)} is of no use: {exc.what}; asking the store")
        )
    return None

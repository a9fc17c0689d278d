"""The receipts of an upload in memory, and when they are written to the checkpoint. Only the driver writes it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.context import UploadContext
from obsup.engine.job.request import UploadRequest
from obsup.engine.plan.file_plan import Plan
from obsup.errors import CheckpointUnwritable, NextStep, WrongUsage
from obsup.local.files.existing import exists
from obsup.local.platform.files import touch
from obsup.local.platform.processes import start_thread
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import checkpoint_path, started_uploads
from obsup.local.state.checkpoint import Checkpoint, CheckpointDamaged, CheckpointForeign, NotCheckpoint
from obsup.local.state.lock import lock_beside
from obsup.model import Receipt, SourceStat, Upload
from obsup.text import quoted

MIN_INTERVAL_S = 0.5
# Writing takes at most this share of the time, for any number of parts.
MAX_WRITING_SHARE = 0.02
# The whole file is written each time, so it is written only when this share of the parts is new: 10,000 parts are
# written about 300 times, in less than a second of CPU. Receipts that a crash loses are restored from the store's list.
MIN_NEW_SHARE = 0.02
# How often a run that sends parts updates the time of its checkpoint: see ``other_sender``.
TOUCH_INTERVAL_S = 10.0


class ProgressRecord:
    """Keeps receipts and writes the checkpoint from time to time. A lost receipt costs a request, never a part.

    *path* is None if no checkpoint is kept; *fallback* is the path to use if *path* becomes unwritable. If neither can
    be written, that is reported once and the upload continues: it is resumed by asking the store.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        path: Path | None,
        *,
        fallback: Path | None = None,
        observe: events.Observer = events.ignore,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checkpoint = checkpoint
        self._path = path
        self._fallback = fallback
        self._observe = observe
        self._monotonic = monotonic
        self._outdated: Path | None = None  # an older checkpoint of this upload, which is no longer writable
        self._unwritten = 0
        self._registered: tuple[Upload, Path | None] | None = None
        self._written: os.stat_result | None = None
        self._has_other_writer = False
        self._write_lock = threading.Lock()
        self._due = monotonic()
        self.receipts: dict[int, Receipt] = dict(checkpoint.receipts)

    def set_upload(self, upload: Upload) -> None:
        """Set the upload that the store initiated, record that this machine started it, and write the checkpoint."""
        self._checkpoint = replace(self._checkpoint, upload=upload, open_before=())
        self._register()
        self.write()

    def replace_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Continue with *checkpoint*, which describes the same upload after the source or the plan changed."""
        self._checkpoint = checkpoint
        self.receipts = dict(checkpoint.receipts)

    @property
    def upload(self) -> Upload:
        """The upload of this record."""
        return self._checkpoint.upload

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint with all receipts so far."""
        return replace(self._checkpoint, receipts=dict(self.receipts))

    def add(self, receipt: Receipt) -> None:
        """Record *receipt*, and write the checkpoint if it is due."""
        self.receipts[receipt.number] = receipt
        if self._checkpoint.is_complete_sent:
            self._checkpoint = replace(self._checkpoint, is_complete_sent=False)
        self._unwritten += 1
        if self._unwritten >= MIN_NEW_SHARE * len(self.receipts) and self._monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Write the checkpoint now."""
        self._unwritten = 0
        if self._path is None:
            return
        started = self._monotonic()
        with self._write_lock:
            self._note_other_writer(self._path)
            try:
                checkpoints.save(self._path, self.checkpoint)
            except CheckpointUnwritable as exc:
                self._move(exc)
                return
            self._written = _status(self._path)
        self._register()
        took = self._monotonic() - started
        self._due = started + max(MIN_INTERVAL_S, took / MAX_WRITING_SHARE)

    @contextmanager
    def kept_current(self, interval_s: float = TOUCH_INTERVAL_S) -> Iterator[None]:
        """Update the time of the checkpoint regularly while inside: it shows until when this run sent parts."""
        is_over = threading.Event()

        def touch() -> None:
            while not is_over.wait(interval_s):
                self._touch()

        with contextlib.suppress(RuntimeError):  # no more threads may start
            start_thread(threading.Thread(target=touch, name="checkpoint", daemon=True))
        try:
            yield
        finally:
            is_over.set()

    def _touch(self) -> None:
        with self._write_lock, contextlib.suppress(OSError):
            path = self._path or self._outdated  # a full disk still takes a time
            if path is not None and not self._is_replaced(path):
                touch(str(path))
                status, written = _status(path), self._written
                if status is None or written is None or status.st_ino == written.st_ino:
                    self._written = status  # otherwise it has just been replaced

    def _is_replaced(self, path: Path) -> bool:
        """Return whether another process has written the checkpoint since this one has."""
        status, written = _status(path), self._written
        if status is None or written is None:
            return False
        return (status.st_ino, status.st_mtime_ns) != (written.st_ino, written.st_mtime_ns)

    def _note_other_writer(self, path: Path) -> None:
        """Note once if another process has written the checkpoint since: its machine does not share the lock."""
        if not self._has_other_writer and self._is_replaced(path):
            self._has_other_writer = True
            text = f"another process writes {quoted(path)}: if another machine runs this upload, parts are sent twice"
            self._observe(events.Noted(text))

    def _move(self, failure: CheckpointUnwritable) -> None:
        """Continue at the fallback path, unless an older checkpoint would be found first; or without a checkpoint."""
        path, fallback = self._path, self._fallback
        self._path = self._fallback = None
        if path is not None and os.path.lexists(path):
            self._outdated = path
        elif fallback is not None:
            with contextlib.suppress(CheckpointUnwritable):
                checkpoints.save(fallback, self.checkpoint)
                self._path = fallback
                self._observe(events.Noted(f"{failure}; it is kept as {fallback}"))
                self._register()
                return
        self._observe(events.Noted(f"{failure}; continuing without it"))

    def set_complete_sent(self, is_sent: bool) -> bool:
        """Record whether Complete is sent for these parts, and write that; return what was recorded before."""
        before = self._checkpoint.is_complete_sent
        if is_sent != before:
            self._checkpoint = replace(self._checkpoint, is_complete_sent=is_sent)
            self.write()
        return before

    def flush(self) -> None:
        """Write the checkpoint if a receipt is not in it."""
        if self._unwritten:
            self.write()

    def _register(self) -> None:
        """Record that this machine started the upload, and where its checkpoint is.

        If the checkpoint is lost, the record tells which object options the upload has.
        """
        if not self.upload.upload_id or self._registered == (self.upload, self._path):
            return
        self._registered = (self.upload, self._path)
        if not started_uploads.add(self._entry()) and self._path is None:
            self._observe(
                events.Unrecorded(
                    "this upload cannot be recorded on this machine: a later run cannot resume it"
                )
            )

    def _entry(self) -> started_uploads.StartedUpload:
        one = self._checkpoint
        return started_uploads.StartedUpload(
            one.upload,
            one.source,
            None if self._path is None else str(self._path),
            one.created,
            size=one.stat.size,
            options_digest=one.headers_digest,
            requested=one.requested or {},
            completing=one.completing,
        )

    def remove(self) -> None:
        """Remove the checkpoint of a verified object, and before it its lock, which no later run would look for.

        A failure is only reported.
        """
        started_uploads.finish(self._entry())
        if self._path is not None and (lock := lock_beside(self._path)) is not None:
            with contextlib.suppress(OSError):  # Windows removes it when it is released
                lock.unlink()
        self.withdraw()

    def withdraw(self) -> None:
        """Remove the checkpoint of an upload that does not exist. A failure is only reported."""
        path = self._path or self._outdated
        if path is None:
            return
        try:
            checkpoints.remove(path)
        except CheckpointUnwritable as exc:
            self._observe(events.Noted(f"{exc}; it does no harm"))


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def new_checkpoint(context: UploadContext, upload: Upload, stat: SourceStat, plan: Plan) -> Checkpoint:
    """Return the first checkpoint of *upload*, without receipts. Raises WrongUsage for invalid object options."""
    return Checkpoint(
        source=context.source_name,
        stat=stat,
        upload=upload,
        part_size=plan.part_size,
        receipts={},
        created=context.since_s,
        headers_digest=context.options_digest,
        source_sha256=context.source_sha256,
        growth=plan.growth,
        completing=context.headers("complete"),
        requested=context.requested_headers,
    )


def open_record(context: UploadContext, checkpoint: Checkpoint, *, is_first: bool = False) -> ProgressRecord:
    """Return the record of *checkpoint* at the path of *context*. *is_first*: no checkpoint was written yet.

    Raises CheckpointUnwritable if the first checkpoint cannot be written to a path that the user gave.
    """
    path, given = context.checkpoint_path, context.request.checkpoint
    apart = checkpoint_path.fallback_path(context.source, context.request.target)
    fallback = apart if given is None and path != apart else None
    record = ProgressRecord(checkpoint, path, fallback=fallback, observe=context.observe)
    if is_first and given is not None and path is not None:
        checkpoints.save(path, checkpoint)
    return record


def check_checkpoint_path(request: UploadRequest) -> None:
    """Raise WrongUsage if the checkpoint would overwrite the source."""
    if request.checkpoint is None or not exists(request.checkpoint):
        return
    if exists(request.source) and request.checkpoint.samefile(request.source):
        raise WrongUsage(
            f"--checkpoint {quoted(request.checkpoint)} is SOURCE itself",
            "The checkpoint would overwrite it",
            NextStep("give another file with --checkpoint"),
        )


def read_checkpoint(context: UploadContext) -> Checkpoint | None:
    """Return the checkpoint if it has the target and the object options of the request; None otherwise."""
    path, request = context.checkpoint_path, context.request
    try:
        found = checkpoints.load(path) if path is not None else None
    except CheckpointDamaged:
        return None
    if found is None or found.upload.target != request.target:
        return None
    return found if found.headers_digest == context.options_digest else None


def load_checkpoint(context: UploadContext) -> Checkpoint | None:
    """Return the checkpoint, or None if it is missing or damaged. A file that is not a checkpoint is set aside.

    A file at the default path that is not trusted is left alone, and reported. Raises CheckpointUnwritable if a file
    cannot be set aside, NotCheckpoint if it is one of the user.
    """
    path = context.checkpoint_path
    if path is None:
        return None
    if context.request.checkpoint is None and context.stream_name is None:
        ignored = checkpoint_path.describe_ignored(context.source, context.request.target)
        if ignored:
            context.note(f"{ignored}; this upload is recorded in {quoted(path)}")
    try:
        return checkpoints.load(path)
    except NotCheckpoint:
        raise
    except CheckpointDamaged as exc:
        what, then = f"cannot use the checkpoint {quoted(path)}: {exc.what}", "asking the store"
        if isinstance(exc, CheckpointForeign):
            then = f"it is now {quoted(checkpoints.set_aside(path, what))}"
        context.note(f"{what}; {then}")
    return None

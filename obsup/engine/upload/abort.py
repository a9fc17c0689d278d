"""Abort an upload until none of its parts is left."""

from __future__ import annotations

from collections.abc import Callable

from obsup.engine.job.context import UploadContext
from obsup.engine.upload.adoption import unknown_upload
from obsup.engine.verify.made_object import has_made_object
from obsup.errors import (
    UNAVAILABLE,
    NextStep,
    NotFinished,
    Refused,
    UploadGone,
    WrongUsage,
    run_again,
)
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import started_uploads
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import Upload
from obsup.store.interface import ObjectStore
from obsup.text import quoted
from obsup.units import counted

# A part in flight when its upload is aborted may be stored afterwards: how often to check, and the first pause.
MAX_CHECKS = 8
FIRST_PAUSE_S = 0.5


def abort_fully(store: ObjectStore, upload: Upload, sleep: Callable[[float], bool]) -> None:
    """Abort *upload* until the store lists no part of it, and forget it here. An upload that is gone is a success.

    If the store twice has no such upload, the parts that it lists belong to the object: Swift keeps them in its lists.
    Without the permission to list parts, or on a store that cannot list them, the store's confirmation must suffice.
    *sleep* waits, and returns True if the work must stop. Raises NotFinished if more parts keep arriving.
    Source: Amazon S3, AbortMultipartUpload: parts in progress may succeed, so it must be repeated.
    """
    unknown = 0
    for check in range(MAX_CHECKS):
        unknown = 0 if store.abort(upload) else unknown + 1
        try:
            left = list(store.list_parts(upload))
        except (UploadGone, *UNAVAILABLE):
            left = []
        if not left or unknown == 2:
            started_uploads.remove(upload)
            return
        if sleep(FIRST_PAUSE_S * 2**check):
            break
    raise NotFinished(
        f"aborted upload {upload.upload_id} of {upload.target}, but {counted(len(left), 'part')} can still be listed",
        "Parts that were in flight have been stored since",
        run_again("stop the processes that still send parts"),
    )


class MayHaveMadeObject(Refused):
    """An upload is not aborted, because it cannot be ruled out that it made the object in place."""


def abort_incomplete(context: UploadContext, upload: Upload, *, size: int | None = None) -> bool:
    """Abort *upload*, unless it made the object already; return whether it was aborted.

    Ceph may still list such an upload, and an abort could destroy the object. *size* is that of the source in bytes,
    None if it is unknown. Raises MayHaveMadeObject, and as ``abort_fully``.
    """
    made = has_made_object(context.store, upload, size=size)
    if made is False:
        abort_fully(context.store, upload, context.stop.sleep)
        return True
    if made is None:
        raise MayHaveMadeObject(
            f"upload {upload.upload_id} may have made the object {upload.target}: it was not aborted",
            "The store does not show who made the object, and an abort could destroy it",
            run_again("request the permission for HeadObject, or delete the object if it is not needed"),
        )
    started_uploads.remove(upload)
    context.note(f"upload {upload.upload_id} made the object {upload.target} already: it was not aborted")
    return False


def source_size(checkpoint: Checkpoint | None) -> int | None:
    """Return the size of the recorded source in bytes; None for a stream, and without a checkpoint."""
    return checkpoint.stat.size or None if checkpoint is not None else None


def check_same_target(context: UploadContext, checkpoint: Checkpoint) -> None:
    """Raise WrongUsage if the checkpoint belongs to another target than the requested one."""
    recorded, target = checkpoint.upload.target, context.request.target
    if recorded != target:
        raise WrongUsage(
            f"the checkpoint {quoted(str(context.checkpoint_path))} belongs to {recorded}",
            f"It was written for {recorded.provider} at {recorded.endpoint}; the requested target is {target}, for "
            f"{target.provider} at {target.endpoint}",
            NextStep("give another file with --checkpoint"),
        )


def abort_recorded(context: UploadContext, checkpoint: Checkpoint) -> None:
    """Abort the recorded upload, for --restart, and remove its checkpoint. Raises WrongUsage for another target.

    If its initiation was interrupted, nothing shows which upload it is: it stays open and is reported. So does one that
    may have made the object.
    """
    check_same_target(context, checkpoint)
    if checkpoint.upload.upload_id:
        try:
            abort_incomplete(context, checkpoint.upload, size=source_size(checkpoint))
        except MayHaveMadeObject as exc:
            context.note(exc.what)
    else:
        context.note(unknown_upload(context, checkpoint.created))
    if context.checkpoint_path is not None:
        checkpoints.remove(context.checkpoint_path)

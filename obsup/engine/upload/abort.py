"""Abort an upload until none of its parts is left."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from obsup.engine.job.context import UploadContext
from obsup.engine.upload.initiate import find_own_upload
from obsup.errors import NotFinished, UploadGone, WrongUsage
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import started_uploads
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import Upload
from obsup.store.interface import ObjectStore
from obsup.text import quoted

# A part under way when its upload is aborted may land afterwards: how often, and how long apart, to look again.
MAX_CHECKS = 8


PAUSE_S = 0.5


def abort_fully(store: ObjectStore, upload: Upload, sleep: Callable[[float], bool]) -> None:
    """Abort *upload* until the store lists no part of it, and forget it here. Gone already is success.

    *sleep* waits, and returns True where the work is to stop. Raises NotFinished where parts go on landing.
    Source: Amazon S3, AbortMultipartUpload: parts in progress may succeed, so that it has to be repeated.
    """
    for look in range(MAX_CHECKS):
        store.abort(upload)
        try:
            left = list(store.list_parts(upload))
        except UploadGone:
            left = []
        if not left:
            started_uploads.remove(upload)
            return
        if sleep(PAUSE_S * 2**look):
            break
    raise NotFinished(
        f"the upload {upload.upload_id} of {upload.target} is aborted, but {len(left)} parts are still listed",
        "parts that were under way have landed since",
        "stop whoever still sends them, then run the same command again",
    )


def check_same_target(context: UploadContext, found: Checkpoint) -> None:
    """Raise WrongUsage where the checkpoint is about another target than the one that is asked for now."""
    target, path = context.request.target, context.checkpoint_path
    if found.upload.target != target:
        raise WrongUsage(
            f"the checkpoint {quoted(str(path))} is about {found.upload.target}",
            f"it is at {found.upload.target.endpoint}, not about {target} at {target.endpoint}",
            "name another file with --checkpoint",
        )


def abort_recorded(context: UploadContext, found: Checkpoint) -> None:
    """Abort the recorded upload, as --restart says, and forget it. Raises WrongUsage for one of another target."""
    check_same_target(context, found)
    upload_id = found.upload.upload_id or find_own_upload(context, frozenset(found.open_before))
    if upload_id is not None:
        abort_fully(context.store, replace(found.upload, upload_id=upload_id), context.stop.sleep)
    if context.checkpoint_path is not None:
        checkpoints.remove(context.checkpoint_path)

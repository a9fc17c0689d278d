"""Abort one upload that the user selects."""

from __future__ import annotations

from obsup.engine.job.context import UploadContext
from obsup.engine.steps.lookup import UploadSelector, find_upload, require_upload
from obsup.engine.upload.abort import abort_incomplete, source_size
from obsup.engine.upload.adoption import find_candidates, unknown_upload
from obsup.errors import NextStep, WrongUsage
from obsup.local.files.existing import exists
from obsup.local.state import checkpoint as checkpoints
from obsup.model import Upload
from obsup.text import quoted


def abort_upload(context: UploadContext, selector: UploadSelector) -> Upload | None:
    """Abort the selected upload and forget it; return it, or None if the checkpoint of the source is gone already.

    Raises WrongUsage if neither a source nor an upload id selects an upload, Busy, NotFinished, and MayHaveMadeObject.
    """
    with context.lock():
        selected = find_upload(selector) if selector.path is not None else require_upload(selector)
        if selected is None:
            _forget_interrupted(context, selector)
            return None
        abort_incomplete(context, selected.upload, size=source_size(selected.checkpoint))
        selected.forget()
        return selected.upload


def _forget_interrupted(context: UploadContext, selector: UploadSelector) -> None:
    """Remove the checkpoint of an upload whose initiation was interrupted, if the store has no upload that may be it.

    Raises WrongUsage if it has one: nothing shows that it is ours. A missing source may be misspelled.
    """
    if selector.ignored:
        context.note(selector.ignored)
    checkpoint = checkpoints.load(selector.path) if selector.path is not None else None
    if checkpoint is None or selector.path is None:
        if selector.source is not None and not exists(selector.source):
            context.note(
                f"{quoted(selector.source)} does not exist, and no upload of it to {selector.target} is recorded here: "
                "nothing was aborted; this lists the open uploads",
                command=("obsup", "uploads", selector.target.name),
            )
        return
    for upload_id in find_candidates(context, checkpoint.open_before, checkpoint.created)[:1]:
        raise WrongUsage(
            unknown_upload(context, checkpoint.created),
            f"The response to its initiation was lost; upload {upload_id} may be that one, or that of another client",
            NextStep(
                "if it is yours, abort it with its upload id",
                command=Upload(selector.target, upload_id).abort_command,
            ),
        )
    checkpoints.remove(selector.path)

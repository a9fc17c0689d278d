"""Abort one upload that the user selects."""

from __future__ import annotations

from obsup import events
from obsup.engine.job.context import UploadContext
from obsup.engine.steps.lookup import UploadSelector, find_upload, require_upload
from obsup.engine.upload.abort import abort_fully
from obsup.model import Upload


def abort_upload(context: UploadContext, selector: UploadSelector) -> Upload | None:
    """Abort the selected upload and forget it; return it, or None if the checkpoint of the source is gone already.

    Raises WrongUsage if neither a source nor an upload id selects an upload, Busy, NotFinished.
    """
    with context.lock():
        selected = find_upload(selector) if selector.path is not None else require_upload(selector)
        if selected is None:
            if selector.ignored:
                context.observe(events.Noted(selector.ignored))
            return None
        abort_fully(context.store, selected.upload, context.stop.sleep)
        selected.forget()
        return selected.upload

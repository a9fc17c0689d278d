"""Giving uploads up: the only way in which parts are ever destroyed. Used by ``abort``, ``gc`` and --restart alone."""

from __future__ import annotations

from obsup.engine.job.context import UploadContext
from obsup.engine.steps.lookup import UploadSelector, find_upload, require_upload
from obsup.engine.upload.abort import abort_fully
from obsup.local.state.lock import UploadLock
from obsup.model import Upload


def abort_upload(context: UploadContext, selector: UploadSelector) -> Upload | None:
    """Give up the upload that is meant, and forget it; return it, or None where nothing here tells of one any more.

    Raises WrongUsage where neither a source nor an upload id says which is meant, Busy, NotFinished.
    """
    stop, may_wait = context.stop, context.request.if_running == "wait"
    with UploadLock(selector.target, wait=may_wait, is_stopped=lambda: stop.reason is not None):
        found_upload = find_upload(selector) if selector.path is not None else require_upload(selector)
        if found_upload is None:
            return None
        abort_fully(context.store, found_upload.upload, stop.sleep)
        found_upload.forget()
        return found_upload.upload

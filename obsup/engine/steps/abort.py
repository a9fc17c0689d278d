"""Giving uploads up: the only way in which parts are ever destroyed. Used by ``abort``, ``gc`` and --restart alone."""

from __future__ import annotations

from obsup.engine.job.context import Task
from obsup.engine.steps.lookup import Mention, demand, recall
from obsup.engine.upload.abort import abort_fully
from obsup.local.state.lock import UploadLock
from obsup.model import Upload


def give_up(task: Task, mention: Mention) -> Upload | None:
    """Give up the upload that is meant, and forget it; return it, or None where nothing here tells of one any more.

    Raises WrongUsage where neither a source nor an upload id says which is meant, Busy, NotFinished.
    """
    stop, is_patient = task.stop, task.order.if_running == "wait"
    with UploadLock(mention.target, wait=is_patient, stopped=lambda: stop.reason is not None):
        recalled = recall(mention) if mention.path is not None else demand(mention)
        if recalled is None:
            return None
        abort_fully(task.store, recalled.upload, stop.sleep)
        recalled.forget()
        return recalled.upload

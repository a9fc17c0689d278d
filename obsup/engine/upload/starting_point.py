"""Decide where an upload starts: resume, recover, already complete, or new.

``DECISIONS`` is the decision table. Its conditions are checked from left to right, each only if a row depends on it,
because that costs requests and hashing:

- checkpoint: a checkpoint of this source and target exists.
- upload id: the checkpoint has one. It has none if obsup was killed while it initiated the upload.
- known: the store knows the upload. Without an upload id: it lists an open upload that may be continued (``adoption``).
- object: the object is in the store, made by this upload, and it is the source as it is now (``object_probe``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Finished
from obsup.engine.plan.file_plan import Plan, recorded_plan
from obsup.engine.upload.adoption import open_uploads, recorded_uploads
from obsup.engine.upload.complete import report_if_listed
from obsup.engine.upload.initiate import initiate_recorded
from obsup.engine.upload.preconditions import check_target, require_encryption
from obsup.engine.upload.progress_record import ProgressRecord, open_record
from obsup.engine.upload.resume import confirmed, recover, resume, resume_initiated
from obsup.engine.verify.earlier_object import find_completed, find_made
from obsup.engine.verify.made_object import has_made_object
from obsup.errors import UNAVAILABLE, NotFinished, UploadGone, run_again
from obsup.local.source.identity import changes
from obsup.local.state import started_uploads
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import OpenUpload, SourceStat, Upload
from obsup.value import Value


class Action(Enum):
    """What an upload starts with."""

    RESUME = "keep the parts that the checkpoint and the store agree on, and send the others"
    RECOVER = "take over the open upload, and send the parts that it does not have"
    FINISH = "the object is complete: send nothing"
    INITIATE = "initiate a new upload"
    REPLACE = "initiate a new upload in place of one that was aborted or has expired"


class Decision(NamedTuple):
    """One row of the table. A condition of None matches both."""

    checkpoint: bool | None
    upload_id: bool | None
    known: bool | None
    object: bool | None
    action: Action


DECISIONS = (
    #        checkpoint  upload id  known  object
    Decision(False,      None,      False, None,  Action.INITIATE),
    Decision(False,      None,      True,  False, Action.RECOVER),
    Decision(False,      None,      True,  True,  Action.FINISH),
    Decision(True,       False,     False, None,  Action.INITIATE),
    Decision(True,       False,     True,  False, Action.RECOVER),
    Decision(True,       False,     True,  True,  Action.FINISH),
    Decision(True,       True,      True,  False, Action.RESUME),
    Decision(True,       True,      True,  True,  Action.FINISH),
    Decision(True,       True,      False, False, Action.REPLACE),
    Decision(True,       True,      False, True,  Action.FINISH),
)  # fmt: skip


def decide(conditions: Sequence[Callable[[], bool]]) -> Action:
    """Return the action for the four *conditions*, in the order of the table. Calls only those that it needs."""
    for row in DECISIONS:
        if all(wanted is None or wanted == is_met() for wanted, is_met in zip(row, conditions, strict=False)):
            return row.action
    raise AssertionError("the table covers every combination")


class StartingPoint(Value):
    """The record to continue, and its plan. ``finished``: an earlier run completed the object, which is verified."""

    record: ProgressRecord
    plan: Plan
    finished: Finished | None = None


def find_starting_point(
    context: UploadContext,
    checkpoint: Checkpoint | None,
    stat: SourceStat,
    plan: Plan,
    *,
    is_gone: bool = False,
    before_initiate: Callable[[], None] = lambda: None,
) -> StartingPoint:
    """Return where the upload of the source *stat* starts. *plan* is for a new upload, after *before_initiate*.

    *is_gone*: the store returned that the recorded upload does not exist, which only a list of its parts can disprove.
    Raises as ``resume`` does, and NotFinished if the store contradicts itself about the recorded upload.
    """
    facts = _Facts(context, checkpoint, stat, plan, is_gone=is_gone)
    action = decide(
        (
            lambda: checkpoint is not None,
            lambda: _has_id(checkpoint),
            lambda: facts.continued is not None,
            lambda: facts.finished is not None,
        )
    )
    if action is Action.REPLACE:
        facts.check_gone()
    if action in (Action.INITIATE, Action.REPLACE):
        before_initiate()
        check_target(context)
        return StartingPoint(initiate_recorded(context, stat, plan, left=facts.listed), plan)
    if facts.continued is not None:
        record, plan = facts.continued
        if facts.finished is not None:
            report_if_listed(context, record.upload)
        else:
            check_target(context, record.upload)
            recorded = checkpoint.receipts if checkpoint is not None else {}
            record.receipts = confirmed(context, record.receipts, recorded)
        return StartingPoint(record, plan, facts.finished)
    assert checkpoint is not None
    return StartingPoint(open_record(context, checkpoint), recorded_plan(checkpoint), facts.finished)


class _Facts:
    """What the checkpoint, the store and this machine know about the upload. Each is found out once, when needed."""

    def __init__(
        self,
        context: UploadContext,
        checkpoint: Checkpoint | None,
        stat: SourceStat,
        plan: Plan,
        *,
        is_gone: bool,
    ) -> None:
        self._context = context
        self._checkpoint = checkpoint
        self._stat = stat
        self._plan = plan
        self._is_gone = is_gone
        self._made_by: set[str] = set()

    @cached_property
    def _open(self) -> list[OpenUpload]:
        return open_uploads(self._context)

    @property
    def listed(self) -> list[OpenUpload]:
        """The open uploads of the target, except the one that made the object: aborting it could destroy the object."""
        made = started_uploads.find_finished(self._context.request.target)
        made_by = {*self._made_by, made.upload.upload_id if made is not None else ""}
        return [one for one in self._open if one.upload_id not in made_by]

    def _has_made_another(self, upload: Upload) -> bool:
        """Return whether *upload*, parts of which differ from the source, made or may have made an object of them.

        Parts that are sent to it would replace those of the object: in Ceph after a crash, and always in Swift.
        """
        made = has_made_object(self._context.store, upload)
        if made is False:
            return False
        self._made_by.add(upload.upload_id)
        shown = "made" if made else "may have made"
        text = f"upload {upload.upload_id} {shown} the object in place; the source has changed since: starting over"
        self._context.note(text)
        return True

    def _may_have_made_another(self, checkpoint: Checkpoint) -> bool:
        """Return whether parts of the recorded upload may be sent again, although it may have made an object."""
        has_all = len(checkpoint.receipts) == recorded_plan(checkpoint).count
        is_changed = bool(changes(checkpoint.stat, self._stat)) or self._context.source_digests is not None
        return has_all and is_changed and self._context.request.on_change == "resend"

    @cached_property
    def continued(self) -> tuple[ProgressRecord, Plan] | None:
        """The upload that the store knows, with its record and plan, or None."""
        context, checkpoint, stat, plan = self._context, self._checkpoint, self._stat, self._plan
        if checkpoint is None:
            return self._recover()
        if not checkpoint.upload.upload_id:
            require_encryption(context)
            record = resume_initiated(context, checkpoint, stat, plan)
            return (record, plan) if record is not None else self._recover()
        if self._may_have_made_another(checkpoint) and self._has_made_another(checkpoint.upload):
            return None
        requested = plan if context.request.must_keep_split else None
        try:
            return resume(context, checkpoint, stat, requested, must_list=self._is_gone)
        except UploadGone:
            return None
        except UNAVAILABLE:
            if not self._is_gone:
                raise
            return None

    def _recover(self) -> tuple[ProgressRecord, Plan] | None:
        """Continue an open upload that this machine recorded for this request."""
        context, request = self._context, self._context.request
        if request.restart:
            # The recorded upload has been aborted; the other ones may belong to someone else.
            return None
        candidates = recorded_uploads(context, self.listed)
        return recover(
            context,
            candidates,
            self._stat,
            self._plan,
            split_requested=request.is_split_requested,
            has_made=self._has_made_another,
        )

    @cached_property
    def finished(self) -> Finished | None:
        """The object, if the upload made it already and it is the source as it is now."""
        if self.continued is not None:
            record, plan = self.continued
            recorded = self._checkpoint if _has_id(self._checkpoint) else record.checkpoint
            assert recorded is not None
            return find_made(self._context, recorded, self._stat, record.receipts, plan)
        if self._checkpoint is None:
            return None
        by_mark = self._checkpoint.is_complete_sent and not self._is_gone
        return find_completed(self._context, self._checkpoint, self._stat, by_mark=by_mark)

    def check_gone(self) -> None:
        """Report that the recorded upload is gone. Raises NotFinished if the store lists it nevertheless."""
        assert self._checkpoint is not None
        target, upload_id = self._context.request.target, self._checkpoint.upload.upload_id
        if upload_id in self._made_by:
            return
        if any(one.upload_id == upload_id for one in self.listed):
            raise NotFinished(
                f"the store lists upload {upload_id} of {target}, but reports that it does not exist",
                "A new upload would leave this one behind, with the parts that are stored in it",
                run_again("wait a few minutes, or use --restart to start over"),
            )
        self._context.note(
            f"upload {upload_id} no longer exists in the store: it was aborted or has expired; starting over"
        )


def _has_id(checkpoint: Checkpoint | None) -> bool:
    return checkpoint is not None and bool(checkpoint.upload.upload_id)

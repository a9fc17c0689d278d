"""What a run stands on: an upload that was begun, one that a lost checkpoint was about, its object, or a new upload."""

from __future__ import annotations

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Finished
from obsup.engine.plan.file_plan import FilePlan, Plan
from obsup.engine.upload.complete import check_complete, completer_of
from obsup.engine.upload.initiate import initiate_recorded, open_uploads
from obsup.engine.upload.progress_record import ProgressRecord, open_record
from obsup.engine.upload.resume import recover, resume, resume_begun
from obsup.errors import NotFinished, UploadGone
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import changes, hash_part
from obsup.local.state import started_uploads
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import Part, Receipt, SourceStat
from obsup.value import Value


class StartingPoint(Value):
    """The record to go on with, and its plan. ``finished``: an earlier run completed it, and its object is proved."""

    record: ProgressRecord
    plan: Plan
    finished: Finished | None = None


def find_starting_point(
    context: UploadContext, found: Checkpoint | None, stat: SourceStat, plan: Plan
) -> StartingPoint:
    """Return what to go on with: the upload of *found*, where there is one and the store knows it, or another.

    Raises as ``resume`` does.
    """
    if found is None:
        return _recover_or_begin(context, stat, plan)
    if not found.upload.upload_id:
        record = resume_begun(context, found, stat, plan)
        # It has parts where only the record of its id could not be written.
        return (
            StartingPoint(record, plan)
            if record
            else _recover_or_begin(context, stat, plan, found.open_before)
        )
    try:
        start = StartingPoint(*resume(context, found, stat, plan if context.request.is_split_asked else None))
    except UploadGone:
        return _stand_without(context, found, stat, plan)
    return replace(start, finished=_find_made(context, found, stat, start))


def _recover_or_begin(
    context: UploadContext, stat: SourceStat, plan: Plan, foreign: tuple[str, ...] = ()
) -> StartingPoint:
    """Go on with an open upload of this file, but for those that are *foreign*, or begin another."""
    listed = open_uploads(context)
    # What --restart was to give up was given up; who else has an upload open is not asked to share it.
    made = started_uploads.find_finished(context.request.target)
    # What made its object already is the store's to tidy up: to complete it again might take the object's parts away.
    spared = {*foreign, made.upload.upload_id} if made else set(foreign)
    candidates = [one for one in listed if one.upload_id not in spared] if not context.request.restart else []
    recovered = recover(context, candidates, stat, plan, split_asked=context.request.is_split_asked)
    if recovered is not None:
        start = StartingPoint(*recovered)
        return replace(start, finished=_find_made(context, start.record.checkpoint, stat, start))
    return StartingPoint(
        initiate_recorded(context, stat, plan, before=frozenset(one.upload_id for one in listed)), plan
    )


def _stand_without(context: UploadContext, found: Checkpoint, stat: SourceStat, plan: Plan) -> StartingPoint:
    """The store knows the upload no more: it was completed by the run before, or nothing of it is left."""
    upload_id = found.upload.upload_id
    finished = find_finished(context, found, stat)
    if finished is not None:
        return StartingPoint(open_record(context, found), _plan_of(found), finished)
    listed = open_uploads(context)
    if any(one.upload_id == upload_id for one in listed):
        raise NotFinished(
            f"the store lists upload {upload_id} of {context.request.target}, and says that it does not know it",
            "to begin again would leave it behind, with what is stored in it",
            "run the same command again in a while, or begin again with --restart",
        )
    context.observe(
        events.Noted(
            f"the store no longer knows upload {upload_id}: it was aborted or has expired; beginning again"
        )
    )
    return StartingPoint(
        initiate_recorded(context, stat, plan, before=frozenset(one.upload_id for one in listed)), plan
    )


def _find_made(
    context: UploadContext, found: Checkpoint, stat: SourceStat, start: StartingPoint
) -> Finished | None:
    """Return the object where the run before completed the upload of *found*, though the store knows that still.

    Only who had all parts stored can have come so far.
    """
    receipts, plan = start.record.receipts, start.plan
    if not len(found.receipts) == len(receipts) == plan.count:
        return None
    completer = completer_of(context, found.upload, receipts, plan)
    finished = completer.look_if_made()
    if finished is None or not (_is_same(context, found, stat) or _has_digest(finished)):
        return None
    completer.tell_of_remains()
    return replace(finished, receipts=tuple(check_complete(receipts, plan)))


def find_finished(context: UploadContext, found: Checkpoint, stat: SourceStat) -> Finished | None:
    """Return the object where the upload of *found*, which is no more, made it and it is the source as it is now.

    Where receipts are missing, or the identity of the source does not vouch for them, the source is hashed.
    """
    plan = _plan_of(found)
    if stat.size != found.stat.size:
        return None
    is_same = _is_same(context, found, stat)
    receipts = found.receipts
    if not is_same or len(receipts) != plan.count:
        info = context.store.head_object(context.request.target)
        if info is None or info.size != stat.size:
            return None
        receipts = {part.number: _hash(context, part) for part in plan.parts()}
    finished = completer_of(context, found.upload, receipts, plan).look()
    if finished is None or not (is_same or _has_digest(finished)):
        return None
    return replace(finished, receipts=tuple(check_complete(receipts, plan)))


def _is_same(context: UploadContext, found: Checkpoint, stat: SourceStat) -> bool:
    """Return whether the identity of the source vouches for what is recorded of it."""
    return not changes(found.stat, stat) and not context.request.verify_source


def _has_digest(finished: Finished) -> bool:
    """Return whether the object's content is proved, and not only whose it is."""
    return finished.verified in ("etag", "crc64")


def _hash(context: UploadContext, part: Part) -> Receipt:
    """Return the receipt of a part that was not sent now: its digests, without an ETag."""
    digest = PartDigest(md5=True, crc64=context.digests.crc64)
    hash_part(context.source, part, digest, context.read_gate)
    return Receipt(part.number, part.size, "", digest.md5, digest.crc64)


def _plan_of(found: Checkpoint) -> Plan:
    return FilePlan(found.stat.size, found.part_size)

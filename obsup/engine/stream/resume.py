"""Decide where the upload of a stream starts: new, or with the parts that an earlier run stored."""

from __future__ import annotations

from msgspec.structs import replace

from obsup.engine.job.context import UploadContext
from obsup.engine.plan.file_plan import Growth
from obsup.engine.plan.stream_plan import StreamPlan, StreamSizes
from obsup.engine.stream.replay import ReplayCheck, comparable_receipts
from obsup.engine.upload.abort import abort_recorded
from obsup.engine.upload.adoption import list_open_parts
from obsup.engine.upload.progress_record import ProgressRecord, load_checkpoint
from obsup.engine.upload.resume import check_same_request, confirmed, resume_initiated
from obsup.engine.verify.object_probe import find_ours, probe_of
from obsup.errors import UNAVAILABLE, NextStep, UploadGone, WrongUsage
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state.checkpoint import (
    OTHER_PLACE,
    Checkpoint,
    CheckpointDamaged,
    CheckpointUntrusted,
    NotCheckpoint,
)
from obsup.model import SourceStat
from obsup.value import Value

# The identity in the checkpoint of a stream, which has none.
NO_STAT = SourceStat(0, 0, 0, 0, 0)


class StreamStart(Value):
    """The part sizes, the stored parts to compare with, and the record of the upload; None if it is new."""

    sizes: StreamSizes
    replay: ReplayCheck
    record: ProgressRecord | None = None


def find_stream_start(context: UploadContext, sizes: StreamSizes) -> StreamStart:
    """Return where the upload starts; *sizes* are the requested part sizes. --restart aborts the recorded upload.

    Raises CheckpointDamaged, and WrongUsage if the checkpoint belongs to another source, target or request.
    """
    new = StreamStart(sizes, ReplayCheck({}))
    checkpoint = _load(context)
    if checkpoint is None:
        return new
    _check_same_stream(context, checkpoint)
    if context.request.restart:
        abort_recorded(context, checkpoint)
        return new
    plan = StreamPlan(0, sizes)
    if not checkpoint.upload.upload_id:
        return replace(new, record=resume_initiated(context, checkpoint, NO_STAT, plan))
    check_same_request(context, checkpoint, plan if context.request.part_size is not None else None)
    try:
        listed = list_open_parts(context, checkpoint.upload, checkpoint.receipts)
    except UploadGone:
        if _made_object(context, checkpoint):
            return _resume(context, checkpoint, sizes, ReplayCheck(checkpoint.receipts, is_complete=True))
        upload_id = checkpoint.upload.upload_id
        context.note(f"upload {upload_id} was aborted or has expired: starting over")
        return new
    comparable = comparable_receipts(listed, checkpoint.receipts, context.digests)
    stored = confirmed(context, comparable, checkpoint.receipts)
    return _resume(context, checkpoint, sizes, ReplayCheck(stored))


def _resume(
    context: UploadContext, checkpoint: Checkpoint, sizes: StreamSizes, replay: ReplayCheck
) -> StreamStart:
    growth = Growth(*checkpoint.growth) if checkpoint.growth else None
    record = ProgressRecord(
        replace(checkpoint, receipts=dict(replay.stored)), context.checkpoint_path, observe=context.observe
    )
    return StreamStart(replace(sizes, start=checkpoint.part_size, growth=growth), replay, record)


def _made_object(context: UploadContext, checkpoint: Checkpoint) -> bool:
    """Return whether the recorded parts are all parts of the object, which the recorded upload made.

    Its mark shows that only if Complete was sent for these parts: see ``find_ours``.
    """
    receipts = [one for _, one in sorted(checkpoint.receipts.items())]
    if not receipts or receipts[-1].number != len(receipts):
        return False
    try:
        probe = probe_of(context, checkpoint.upload, receipts)
        return find_ours(context, probe, by_mark=checkpoint.is_complete_sent) is not None
    except UNAVAILABLE:
        return False


def _load(context: UploadContext) -> Checkpoint | None:
    path = context.checkpoint_path
    try:
        return checkpoints.load(path) if path is not None else None
    except NotCheckpoint:
        raise
    except CheckpointUntrusted:
        return load_checkpoint(context)
    except CheckpointDamaged as exc:
        raise CheckpointDamaged(
            f"the checkpoint {path} is damaged: {exc.what}",
            "Without it, obsup cannot know which parts of the stream are stored",
            NextStep(f"remove it, or {OTHER_PLACE}"),
        ) from exc


def _check_same_stream(context: UploadContext, checkpoint: Checkpoint) -> None:
    target = checkpoint.upload.target
    if checkpoint.source != context.source_name or target != context.request.target:
        raise WrongUsage(
            f"the checkpoint {context.checkpoint_path} belongs to another source or target",
            f"It is about {target}",
            NextStep("choose another file with --checkpoint"),
        )

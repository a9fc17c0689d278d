"""The object before anything is sent: is it there already, made by this upload, or with the content of the source?

- ``find_completed``: that of an upload that the store no longer knows.
- ``find_made``: that of an upload that the store still lists.
- ``find_identical``: any object with the content of the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Finished
from obsup.engine.plan.file_plan import Plan, recorded_plan
from obsup.engine.proof.object_proof import BY_CONTENT
from obsup.engine.proof.part_list import check_receipts
from obsup.engine.proof.part_proof import is_proven
from obsup.engine.verify.comparison import BATCHES, CannotCompare, Comparison, Identical
from obsup.engine.verify.existing_object import find_readable, has_customer_key
from obsup.engine.verify.object_lock import locks_later
from obsup.engine.verify.object_probe import FoundObject, find_ours, probe_of
from obsup.engine.verify.option_check import compare_with_request, with_info
from obsup.errors import UNAVAILABLE, DataMismatch
from obsup.local.source.digest import PartDigest
from obsup.local.source.identity import changes
from obsup.local.source.part_md5s import hash_grouped, in_groups
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import Receipt, SourceStat, Stored, Upload

_NOT_COMPARED = "{}: existing objects cannot be compared, so their files are sent again"
_NO_HEAD = "HeadObject is not permitted"
_OTHER_KEY = f"{_NO_HEAD}, or --sse-c-key-file has another key than the existing objects"


def find_made(
    context: UploadContext,
    checkpoint: Checkpoint,
    stat: SourceStat,
    receipts: Mapping[int, Receipt],
    plan: Plan,
) -> Finished | None:
    """Return the object if the previous run completed this upload, although the store still lists it.

    Only a run that had stored all parts can have completed it. Completing it again could destroy the object's parts.
    Unless that run sent Complete, the mark of the object does not count, as in ``find_completed``.
    """
    if not len(checkpoint.receipts) == len(receipts) == plan.count:
        return None
    ordered = check_receipts(receipts, plan)
    found = probe_of(context, checkpoint.upload, ordered, stat).find_marked(
        by_mark=checkpoint.is_complete_sent
    )
    return _if_current(context, checkpoint, stat, found, ordered)


def find_completed(
    context: UploadContext, checkpoint: Checkpoint, stat: SourceStat, *, by_mark: bool
) -> Finished | None:
    """Return the object if this upload, which the store no longer knows, made it and it is the source as it is now.

    The source is hashed if receipts are missing or without a digest (--digest none), or if its identity has changed
    since they were recorded. Then, and unless *by_mark*, only a digest of the object counts: another machine with a
    copy of the checkpoint may have completed it from another file.
    """
    plan, receipts = recorded_plan(checkpoint), checkpoint.receipts
    if stat.size != checkpoint.stat.size:
        return None
    digests, dialect = context.digests, context.dialect
    is_unproven = not all(is_proven(one, digests, dialect) for one in receipts.values())
    is_hashed = is_unproven or not _is_same_source(context, checkpoint, stat) or len(receipts) != plan.count
    if is_hashed:
        info = context.store.head_object(context.request.target)
        if info is None or info.size != stat.size:
            return None
        receipts = _hash(context, checkpoint.upload, stat, plan)
    ordered = check_receipts(receipts, plan)
    probe = probe_of(context, checkpoint.upload, ordered, stat)
    found = find_ours(context, probe, by_mark=by_mark and not is_hashed)
    return _if_current(context, checkpoint, stat, found, ordered)


def find_identical(
    context: UploadContext, stat: SourceStat, plan: Plan, *, only_unlocked: bool = False
) -> Identical | None:
    """Return the object if it has the content of the source and the requested options already, whoever made it.

    None if that cannot be shown. A note names options that HeadObject does not return; with --strict-options they
    must be shown, too. A retention that can be set after the upload is set. *only_unlocked*: look for the object of a
    run that failed to do that; it must show all options. Without the permission for HeadObject nothing can be shown,
    which is noted.

    *plan* is how the source would be sent. Only a few plans are tried, because sending can be faster than hashing.
    """
    try:
        info = find_readable(context.store, context.request.target)
    except UNAVAILABLE as exc:
        if not only_unlocked:
            context.note_once(_NOT_COMPARED.format(_OTHER_KEY if has_customer_key(exc) else _NO_HEAD))
        return None
    if info is None or info.size != stat.size:
        return None
    if only_unlocked and context.dialect.headers.retention_mode in info.headers:
        return None
    planned, gate = context.planned(stat), context.read_gate
    comparison = Comparison(context.request, context.source, planned, dialect=context.dialect, gate=gate)
    options = compare_with_request(context, info, without_lock=locks_later(context))
    if options.differ or (options.unknown and (only_unlocked or context.request.strict_options)):
        return None
    try:
        identical = comparison.by_object(info, hint=plan, max_plans=BATCHES[0] + BATCHES[1])
    except (DataMismatch, CannotCompare):
        return None
    _note_unknown(context, options.unknown)
    stored = Stored(200, info.etag, version_id=info.version_id)
    return replace(identical, info=with_info(context, Finished(stored, "size", info=info)).info or info)


def _note_unknown(context: UploadContext, options: Sequence[str]) -> None:
    if options:
        verb, pronoun = ("were", "them") if len(options) > 1 else ("was", "it")
        names = " and ".join(options)
        context.note_once(
            f"{names} {verb} not compared with existing objects: HeadObject does not return {pronoun}"
        )


def _if_current(
    context: UploadContext,
    checkpoint: Checkpoint,
    stat: SourceStat,
    found: FoundObject | None,
    receipts: Sequence[Receipt],
) -> Finished | None:
    """Return *found* if it is the source as it is now.

    If the source may have changed since *checkpoint*, only a digest shows that; a mark only shows who made the object.
    """
    if found is None:
        return None
    is_current = found.verified in BY_CONTENT or _is_same_source(context, checkpoint, stat)
    return found.finished(receipts) if is_current else None


def _is_same_source(context: UploadContext, checkpoint: Checkpoint, stat: SourceStat) -> bool:
    """Return whether the recorded digests still apply to the source."""
    return not changes(checkpoint.stat, stat) and context.source_digests is None


def _hash(context: UploadContext, upload: Upload, stat: SourceStat, plan: Plan) -> dict[int, Receipt]:
    """Return receipts with the digests of the parts as they are now, and without an ETag."""
    digests, planned = context.digests.of_upload(upload), context.planned(stat)
    receipts = {}
    for part, group in in_groups(context.source, planned, plan.parts(), context.read_gate):
        digest = PartDigest(md5=True, crc64=digests.crc64, checksum=digests.checksum)
        hash_grouped(group, context.source, part, planned, digest, context.read_gate)
        receipts[part.number] = digest.receipt(part.number, part.size, "")
    return receipts

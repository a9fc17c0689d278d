"""Resume an upload: by its checkpoint, or by the open uploads of the store if the checkpoint is lost.

The store's list is the truth about what exists, the checkpoint about what was intended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from msgspec.structs import replace

from obsup.engine.job.context import UploadContext
from obsup.engine.plan.file_plan import FilePlan, Plan, fit_part_size, recorded_plan
from obsup.engine.proof.part_list import parts_are
from obsup.engine.proof.part_proof import has_content, is_proven
from obsup.engine.upload.abort import check_same_target
from obsup.engine.upload.adoption import agreed_checksum, find_interrupted, list_open_parts, parts_of
from obsup.engine.upload.other_sender import without_other_sender
from obsup.engine.upload.progress_record import ProgressRecord, new_checkpoint, open_record
from obsup.errors import NextStep, SourceChanged, WrongUsage, run_again
from obsup.local.source.digest import PartDigest
from obsup.local.source.identity import changes
from obsup.local.source.part_md5s import hash_grouped, in_groups
from obsup.local.state import started_uploads
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import Receipt, SourceStat, StoredPart, Upload
from obsup.text import quoted
from obsup.units import exact_size


def check_same_request(context: UploadContext, checkpoint: Checkpoint, requested: Plan | None) -> None:
    """Raise WrongUsage if the checkpoint belongs to another upload than the requested one.

    *requested* is the plan if the user asked for a split.
    """
    check_same_target(context, checkpoint)
    again = run_again("use the same options as before, or start over with --restart", add=("--restart",))
    sizes = (checkpoint.part_size, checkpoint.enlarged_from)
    if requested and requested.size == checkpoint.stat.size and requested.part_size not in sizes:
        raise WrongUsage(
            f"the existing upload has parts of {exact_size(checkpoint.part_size)}, not of "
            f"{exact_size(requested.part_size)}",
            "The part size of an upload cannot change",
            again,
        )
    count, most = recorded_plan(checkpoint).count, context.dialect.limits.max_parts
    if count > most:
        raise WrongUsage(
            f"the existing upload has {count} parts",
            f"The store accepts at most {most}, and the part size of an upload cannot change",
            run_again("start over with --restart", add=("--restart",)),
        )
    if checkpoint.headers_digest != context.options_digest:
        raise WrongUsage(
            "the existing upload has other object options",
            "Metadata, storage class, ACL and other options are fixed when an upload is initiated",
            NextStep(
                "use the same options as before, or, to have these ones instead, start over with --restart"
            ),
        )


def resume(
    context: UploadContext,
    checkpoint: Checkpoint,
    stat: SourceStat,
    requested: Plan | None,
    *,
    must_list: bool = False,
) -> tuple[ProgressRecord, Plan]:
    """Resume the upload of *checkpoint*: keep the stored parts that still match the file. *must_list*: see reconcile.

    Raises SourceChanged if the source has changed and changed parts may not be sent again, UploadGone if the store
    no longer knows the upload, WrongUsage if another upload is requested.
    """
    check_same_request(context, checkpoint, requested)
    sha256 = context.source_sha256
    has_other_content = None not in (sha256, checkpoint.source_sha256) and sha256 != checkpoint.source_sha256
    if context.request.on_change == "fail" and (stat.size != checkpoint.stat.size or has_other_content):
        raise source_changed(context.source, checkpoint.stat, stat, [])
    plan = _current_plan(context, checkpoint, stat)
    current = replace(checkpoint, stat=stat, part_size=plan.part_size, receipts={}, source_sha256=sha256)
    record = open_record(context, current)
    record.receipts = reconcile(context, checkpoint, stat, plan, must_list=must_list)
    record.write()
    return record, plan


def _current_plan(context: UploadContext, checkpoint: Checkpoint, stat: SourceStat) -> Plan:
    """Return the plan for the source as it is now, with the recorded part size if its size allows that.

    Raises WrongUsage if the source has become too large for the store.
    """
    part_size = checkpoint.part_size
    if stat.size not in (checkpoint.stat.size, 0):
        part_size = fit_part_size(stat.size, part_size, context.dialect.limits)
    return FilePlan(stat.size, part_size)


def reconcile(
    context: UploadContext, checkpoint: Checkpoint, stat: SourceStat, plan: Plan, *, must_list: bool = False
) -> dict[int, Receipt]:
    """Return the receipts of the stored parts that need not be sent again.

    A part counts if the store lists it with the size of the plan, and if either its ETag is the recorded one and the
    source is unchanged, or its digest is that of the file's part now. Of a part that was sent with --digest none, the
    ETag is not enough, unless this run has that option, too. If parts cannot be listed, the recorded ones
    are taken for the list, unless *must_list*: then raises NotPermitted or Unsupported. Raises SourceChanged for a
    recorded part with other content, unless such parts may be sent again.
    """
    trusted = not changes(checkpoint.stat, stat) and context.source_digests is None
    receipts: dict[int, Receipt] = {}
    differing, unverified = list[int](), list[int]()
    recorded = None if must_list else checkpoint.receipts
    listed = without_other_sender(
        context, checkpoint, plan.count, lambda: list_open_parts(context, checkpoint.upload, recorded)
    )
    fitting = _fitting(listed, plan)
    own = {one.number: _own_receipt(checkpoint, one) for one in fitting}
    proven = _proven(context, own) if trusted else {}
    unproven = [one for one in fitting if one.number not in proven]
    kept = proven | compare_with_file(context, checkpoint.upload, stat, unproven, plan, own)
    for stored in fitting:
        earlier, receipt = own[stored.number], kept.get(stored.number)
        if receipt is not None:
            receipts[stored.number] = receipt
        elif earlier is not None and earlier.is_unproven:
            context.note(f"part {stored.number} was sent by a host that sees another file: sending it again")
        elif earlier is not None and trusted:
            unverified.append(stored.number)
        elif earlier is not None:
            differing.append(stored.number)
    if differing and context.request.on_change == "fail":
        raise source_changed(context.source, checkpoint.stat, stat, differing)
    if unverified:
        them = "it" if len(unverified) == 1 else "them"
        context.note(f"{parts_are(unverified, 'was', 'were')} sent with --digest none: sending {them} again")
    return receipts


def confirmed(
    context: UploadContext, stored: Mapping[int, Receipt], recorded: Mapping[int, Receipt]
) -> dict[int, Receipt]:
    """Return the *stored* parts whose response confirmed the encryption: if parts must, those that are *recorded*."""
    return {
        number: receipt
        for number, receipt in stored.items()
        if context.encryption_of_parts is None
        or (number in recorded and recorded[number].etag.lower() == receipt.etag.lower())
    }


def _fitting(listed: Iterable[StoredPart], plan: Plan) -> list[StoredPart]:
    """Return the stored parts that *plan* has, with the same size."""
    return [one for one in listed if 1 <= one.number <= plan.count and one.size == plan.part(one.number).size]


def _own_receipt(checkpoint: Checkpoint, stored: StoredPart) -> Receipt | None:
    """Return the recorded receipt of the part that the store lists, None if that is another one."""
    recorded = checkpoint.receipts.get(stored.number)
    return recorded if recorded is not None and recorded.etag.lower() == stored.etag.lower() else None


def _proven(context: UploadContext, own: Mapping[int, Receipt | None]) -> dict[int, Receipt]:
    """Return those of our receipts whose ETag is enough to show that the part is that of the unchanged source."""
    digests, dialect = context.digests, context.dialect
    return {
        number: one for number, one in own.items() if one is not None and is_proven(one, digests, dialect)
    }


def compare_with_file(
    context: UploadContext,
    upload: Upload,
    stat: SourceStat,
    stored: Iterable[StoredPart],
    plan: Plan,
    own: Mapping[int, Receipt | None],
) -> dict[int, Receipt]:
    """Return receipts for those of *stored* whose digest is that of the file's part now.

    The others differ, or nothing comparable is known of them. *own* are our receipts for these very parts: their
    digests can be compared even if the ETag is not an MD5.
    """
    digests, planned = context.digests.of_upload(upload), context.planned(stat)
    listed = {one.number: one for one in stored}
    matching: dict[int, Receipt] = {}
    parts = (plan.part(number) for number in listed)
    for part, group in in_groups(context.source, planned, parts, context.read_gate):
        one, recorded = listed[part.number], own.get(part.number)
        is_known = one.crc64 is not None or (recorded is not None and recorded.crc64 is not None)
        has_checksum = one.checksum is not None or (recorded is not None and recorded.checksum is not None)
        digest = PartDigest(
            md5=digests.md5 or not has_checksum,
            crc64=is_known or digests.crc64,
            checksum=digests.checksum,
        )
        hash_grouped(group, context.source, part, planned, digest, context.read_gate)
        if has_content(one, digest, recorded, digests):
            matching[part.number] = digest.receipt(part.number, one.size, one.etag)
    return matching


def resume_initiated(
    context: UploadContext, checkpoint: Checkpoint, stat: SourceStat, plan: Plan
) -> ProgressRecord | None:
    """Take over the upload whose initiation was interrupted after *checkpoint* was written, or None.

    No part of it was sent, so it can use *plan*.
    """
    check_same_request(context, checkpoint, None)
    upload_id = find_interrupted(context, checkpoint.open_before, checkpoint.created, checkpoint.upload.token)
    if upload_id is None:
        return None
    current = replace(
        checkpoint,
        stat=stat,
        part_size=plan.part_size,
        growth=plan.growth,
        source_sha256=context.source_sha256,
    )
    record = open_record(context, current)
    found = replace(checkpoint.upload, upload_id=upload_id, is_found=True)
    record.set_upload(replace(found, checksum=agreed_checksum(context, found)))
    return record


def recover(
    context: UploadContext,
    candidates: Iterable[Upload],
    stat: SourceStat,
    plan: Plan,
    *,
    split_requested: bool,
    has_made: Callable[[Upload], bool],
) -> tuple[ProgressRecord, Plan] | None:
    """Continue the upload of a lost checkpoint: the first of *candidates* whose parts can be listed. None if none can.

    Parts that differ from the file are sent again, unless the upload *has_made* an object of them.
    """
    for upload in candidates:
        listed = parts_of(context, upload)
        if listed is None:
            continue
        fitted = plan if split_requested else _likely_plan(listed, plan)
        kept = compare_with_file(context, upload, stat, _fitting(listed, fitted), fitted, {})
        if len(kept) < len(listed) and has_made(upload):
            continue
        context.note(
            f"resuming upload {upload.upload_id}: {len(kept)} of its {len(listed)} parts match this file"
        )
        return _record_recovered(context, upload, stat, fitted, kept), fitted
    return None


def _record_recovered(
    context: UploadContext, upload: Upload, stat: SourceStat, plan: Plan, receipts: dict[int, Receipt]
) -> ProgressRecord:
    """Write a checkpoint for an upload that had none, and return its record."""
    started = started_uploads.find(upload)
    context = context.begun_now() if started is None else replace(context, since_s=started.created)
    checkpoint = replace(new_checkpoint(context, upload, stat, plan), receipts=receipts)
    record = open_record(context, checkpoint, is_first=True)
    record.write()
    return record


def _likely_plan(listed: list[StoredPart], plan: Plan) -> Plan:
    """Return the plan with the size of the largest stored part, or *plan* if the parts do not fit that."""
    largest = max((one.size for one in listed), default=0)
    if not largest:
        return plan
    likely = FilePlan(plan.size, largest)
    return likely if len(_fitting(listed, likely)) == len(listed) else plan


def source_changed(path: Path, before: SourceStat, now: SourceStat, differing: list[int]) -> SourceChanged:
    """Return the error for a source that is not the one whose parts are stored."""
    what = ", ".join(changes(before, now)) or "its content"
    parts = f"; {parts_are(differing, 'differs', 'differ')} from what is stored" if differing else ""
    return SourceChanged(
        f"{quoted(path)} changed since the upload was initiated",
        f"What changed: {what}{parts}; an object must not mix two versions of its source",
        run_again("use --restart to send the file as it is now", add=("--restart",)),
    )

"""Going on with what was begun.

The store's list is the truth about what exists, the checkpoint about what was meant.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.context import UploadContext
from obsup.engine.plan.file_plan import FilePlan, Plan, fit_part_size
from obsup.engine.proof.part_proof import matches
from obsup.engine.upload.abort import check_same_target
from obsup.engine.upload.initiate import find_own_upload, parts_of, requested_sha256
from obsup.engine.upload.progress_record import ProgressRecord, open_record
from obsup.errors import SourceChanged, WrongUsage
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import changes, hash_part
from obsup.local.state import started_uploads
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import OpenUpload, Receipt, SourceStat, Stored, StoredPart, Upload
from obsup.text import quoted
from obsup.units import exact_size


def check_same_request(context: UploadContext, found: Checkpoint, asked: Plan | None) -> None:
    """Raise WrongUsage where the checkpoint is about another upload than the one that is asked for now.

    *asked* is the plan where the user asked for a split.
    """
    check_same_target(context, found)
    again = "use the same options as before, or begin again with --restart"
    sizes = (found.part_size, found.enlarged_from)
    if asked is not None and asked.size == found.stat.size and asked.part_size not in sizes:
        raise WrongUsage(
            f"the upload that was begun has parts of {exact_size(found.part_size)}, not of "
            f"{exact_size(asked.part_size)}",
            "the part size of an upload cannot change",
            again,
        )
    if found.headers_digest != context.request.headers_digest:
        raise WrongUsage(
            "the upload was begun with other object options",
            "metadata, storage class, ACL and the like are fixed when an upload is initiated",
            again,
        )


def resume(
    context: UploadContext, found: Checkpoint, stat: SourceStat, asked: Plan | None
) -> tuple[ProgressRecord, Plan]:
    """Go on with the upload of *found*: keep what the store holds and the file still says.

    Raises SourceChanged where the source is another and the request does not say to send it again, UploadGone
    where the store knows the upload no more, WrongUsage where another upload is asked for.
    """
    check_same_request(context, found, asked)
    sha256 = requested_sha256(context)
    has_other_content = None not in (sha256, found.source_sha256) and sha256 != found.source_sha256
    if context.request.on_change == "fail" and (stat.size != found.stat.size or has_other_content):
        raise refuse_changed(context.source, found.stat, stat, [])
    plan = _plan_now(context, found, stat)
    now = replace(found, stat=stat, part_size=plan.part_size, receipts={}, source_sha256=sha256)
    record = open_record(context, now)
    record.receipts = reconcile(context, found, stat, plan)
    record.write()
    return record, plan


def _plan_now(context: UploadContext, found: Checkpoint, stat: SourceStat) -> Plan:
    """Return the plan for the source as it is: that of *found*, as far as a source of another size allows it.

    Raises WrongUsage where the source has become too large for the store.
    """
    if stat.size == found.stat.size:
        return FilePlan(stat.size, found.part_size)
    limits = context.dialect.limits
    return FilePlan(
        stat.size, fit_part_size(stat.size, found.part_size, limits) if stat.size else found.part_size
    )


def reconcile(context: UploadContext, found: Checkpoint, stat: SourceStat, plan: Plan) -> dict[int, Receipt]:
    """Return the receipts of the stored parts that need not be sent again.

    A part counts where the store lists it with the plan's size, and either its ETag is the recorded one and the
    source is the same file as then, or its content is shown to be the file's as it is now. Raises SourceChanged
    for a recorded part whose content is another, unless such parts are to be sent again.
    """
    trusted = not changes(found.stat, stat) and not context.request.verify_source
    receipts: dict[int, Receipt] = {}
    differing: list[int] = []
    for stored in _fitting(context.store.list_parts(found.upload), plan):
        recorded = found.receipts.get(stored.number)
        is_recorded = recorded is not None and recorded.etag.lower() == stored.etag.lower()
        known = recorded if is_recorded else None
        receipt = known if trusted and is_recorded else compare_with_file(context, stored, plan, known)
        if receipt is not None:
            receipts[stored.number] = receipt
        elif is_recorded:
            differing.append(stored.number)
    if differing and context.request.on_change == "fail":
        raise refuse_changed(context.source, found.stat, stat, differing)
    return receipts


def _fitting(listed: Iterable[StoredPart], plan: Plan) -> list[StoredPart]:
    """Return the stored parts that have a place in *plan*, with the size of that place."""
    return [one for one in listed if 1 <= one.number <= plan.count and one.size == plan.part(one.number).size]


def compare_with_file(
    context: UploadContext, stored: StoredPart, plan: Plan, recorded: Receipt | None = None
) -> Receipt | None:
    """Return a receipt for *stored* where its digest is that of the file's part now; None where it is not shown.

    *recorded* is our own receipt for this very part: what it was hashed as tells even where its ETag says nothing.
    """
    has_crc64 = stored.crc64 is not None or (recorded is not None and recorded.crc64 is not None)
    digest = PartDigest(md5=True, crc64=has_crc64)
    hash_part(context.source, plan.part(stored.number), digest, context.read_gate)
    answer = Stored(status=200, etag=stored.etag, crc64=stored.crc64)
    if matches(answer, digest, context.digests) is not True and not _is_hashed_as(recorded, digest):
        return None
    return Receipt(stored.number, stored.size, stored.etag, digest.md5, digest.crc64)


def _is_hashed_as(recorded: Receipt | None, digest: PartDigest) -> bool:
    if recorded is None:
        return False
    pairs = ((recorded.md5, digest.md5), (recorded.crc64, digest.crc64))
    compared = [ours == now for ours, now in pairs if ours is not None]
    return bool(compared) and all(compared)


def resume_begun(
    context: UploadContext, found: Checkpoint, stat: SourceStat, plan: Plan
) -> ProgressRecord | None:
    """Take over the upload whose initiation was cut off after *found* was written; None where there is none.

    Nothing of it was sent, so that it may be cut as *plan* says.
    """
    check_same_request(context, found, None)
    upload_id = find_own_upload(context, frozenset(found.open_before))
    if upload_id is None:
        return None
    sha256 = requested_sha256(context)
    meant = replace(found, stat=stat, part_size=plan.part_size, growth=plan.growth, source_sha256=sha256)
    record = open_record(context, meant)
    record.set_upload(replace(found.upload, upload_id=upload_id))
    return record


def recover(
    context: UploadContext,
    candidates: Iterable[OpenUpload],
    stat: SourceStat,
    plan: Plan,
    *,
    split_asked: bool,
) -> tuple[ProgressRecord, Plan] | None:
    """Go on with the upload that a lost checkpoint was about: the one of *candidates* whose parts are this file's.

    Every stored part must be equal to the file's part, so that nobody else's upload is taken for ours. What this
    machine knows as begun for this file is ours whatever its parts are: those that are not shown to be the file's
    are sent again. None where there is none.
    """
    for one in candidates:
        listed = parts_of(context, one.upload_id)
        if listed is None:
            continue
        upload, is_known = _known(context, Upload(context.request.target, one.upload_id))
        fitted = plan if split_asked else _plan_of(listed, plan)
        receipts = [compare_with_file(context, stored, fitted) for stored in _fitting(listed, fitted)]
        kept = {receipt.number: receipt for receipt in receipts if receipt is not None}
        if not is_known and (len(kept) < len(listed) or not kept):
            continue
        context.observe(
            events.Noted(
                f"going on with upload {one.upload_id}, begun {one.initiated}: {len(kept)} of its {len(listed)} "
                "parts are shown to be this file's; the object gets the options that it was begun with"
            )
        )
        found = Checkpoint(
            source=str(context.source),
            stat=stat,
            upload=upload,
            part_size=fitted.part_size,
            receipts=kept,
            created=context.clock(),
            headers_digest=context.request.headers_digest,
            source_sha256=requested_sha256(context),
            completing=context.headers("complete"),
        )
        record = open_record(context, found, is_first=True)
        record.write()
        return record, fitted
    return None


def _known(context: UploadContext, upload: Upload) -> tuple[Upload, bool]:
    """Return *upload* with its token where this machine remembers it, and whether it was begun for this source."""
    entry = started_uploads.find(upload)
    return (upload, False) if entry is None else (entry.upload, entry.source == str(context.source))


def _plan_of(listed: list[StoredPart], plan: Plan) -> Plan:
    """Return the plan that the stored parts were cut by: the largest is a whole one. *plan* where they fit none."""
    largest = max((one.size for one in listed), default=0)
    if not largest:
        return plan
    told = FilePlan(plan.size, largest)
    return told if len(_fitting(listed, told)) == len(listed) else plan


def refuse_changed(path: Path, before: SourceStat, now: SourceStat, differing: list[int]) -> SourceChanged:
    """Return the error for a source that is not what the stored parts were made from."""
    what = ", ".join(changes(before, now)) or "its content"
    parts = f"; parts {_some(differing)} differ from what is stored" if differing else ""
    return SourceChanged(
        f"{quoted(path)} changed since the upload began",
        f"what changed: {what}{parts}; an object must not mix two versions of its source",
        "run with --restart to send the file as it is now",
    )


def _some(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:10]))
    return shown if len(numbers) <= 10 else f"{shown} and {len(numbers) - 10} more"

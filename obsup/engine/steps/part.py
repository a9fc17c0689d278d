"""The steps of an upload by themselves: initiate without a source, send one part, copy one part."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

from msgspec.structs import replace

from obsup import events
from obsup.dialects.dialect import Limits
from obsup.dialects.object_headers import copy_source_value
from obsup.engine.job.context import UploadContext
from obsup.engine.plan.file_plan import FilePlan, make_plan
from obsup.engine.send.content import Content
from obsup.engine.send.part import send_content
from obsup.engine.steps.lookup import FoundUpload, UploadSelector, require_upload
from obsup.errors import CheckpointUnwritable, DataMismatch, WrongUsage
from obsup.local.source.file import FileWindow, check_same_file, stat_source
from obsup.local.source.memory_part import MemoryPart
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state.lock import UploadLock
from obsup.model import Part, Receipt, Stored, Upload
from obsup.units import exact_size, format_size
from obsup.value import Value


class PartWindow(Value):
    """Which bytes of the source a part is: given as they are, or by how the whole is cut. All sizes are bytes."""

    parts: int | None = None
    part_size: int | None = None
    offset: int | None = None


class CopySource(Value):
    """An object in the store, ``BUCKET/KEY``, and the first and last byte that are wanted, inclusive."""

    bucket: str
    key: str
    byte_range: tuple[int, int] | None = None


class SentPart(Value):
    """One part that the store confirmed: whose it is, its receipt, and all that the store answered."""

    upload: Upload
    receipt: Receipt
    stored: Stored


def send_one(
    context: UploadContext, selector: UploadSelector, number: int, cut: PartWindow, *, md5: str | None = None
) -> SentPart:
    """Send one part of the request's source, record it where there is a checkpoint, and return what came of it.

    Other parts of the same upload may be sent at the same time, from here and elsewhere. *md5*, in Base64, is what
    the part must have. Raises WrongUsage for a part that is not there, DataMismatch for other bytes than *md5* says,
    SourceChanged, Busy while an ``upload``, ``complete`` or ``abort`` holds the upload.
    """
    found_upload = require_upload(selector)
    found_upload.check_of_file()
    path = context.source
    seen = stat_source(path)
    if found_upload.checkpoint is not None:
        check_same_file(path, found_upload.checkpoint.stat, seen)
    part = find_part(found_upload, seen.size, number, cut, context.dialect.limits)
    return _send(context, found_upload, FileWindow(path, part, seen), md5)


def send_read(
    context: UploadContext, selector: UploadSelector, content: MemoryPart, *, md5: str | None = None
) -> SentPart:
    """Send one part that was read into memory. It is not recorded: ``complete`` takes it from the store's list.

    Raises as ``send_one`` does.
    """
    check_number(content.part.number, context.dialect.limits)
    found_upload = require_upload(selector)
    return _send(context, replace(found_upload, path=None), content, md5)


def _send(context: UploadContext, found_upload: FoundUpload, content: Content, md5: str | None) -> SentPart:
    context.observe(events.Begun(content.part.size, 1))
    send_options = context.send_options
    if md5 is not None:
        found = b64encode(bytes.fromhex(content.md5(context.read_gate))).decode()
        if found != md5:
            raise DataMismatch(
                f"part {content.part.number} has another MD5 than was said",
                f"it is {found}, not {md5} (Base64 of its 16 bytes)",
                "look at the source; nothing was sent",
            )
        send_options = replace(send_options, content_md5=True)
    with hold_shared(context):
        stored, receipt = send_content(content, found_upload.upload, context.store, send_options)
        if found_upload.path is not None:
            _record(context, found_upload.path, found_upload.upload, receipt)
    return SentPart(found_upload.upload, receipt, stored)


def _record(context: UploadContext, path: Path, upload: Upload, receipt: Receipt) -> None:
    try:
        checkpoints.record(path, upload, receipt)
    except CheckpointUnwritable as exc:
        context.observe(events.Noted(f"{exc}; going on without: complete asks the store what it holds"))


def copy_one(
    context: UploadContext, selector: UploadSelector, number: int, source: CopySource
) -> tuple[Upload, Stored]:
    """Copy one part from an object in the store, and return what the store confirmed.

    It is not recorded: ``complete`` takes it from the store's list.
    """
    check_number(number, context.dialect.limits)
    found_upload = require_upload(selector)
    with hold_shared(context):
        stored = context.store.copy_part(
            found_upload.upload,
            number,
            copy_source_value(source.bucket, source.key),
            byte_range=source.byte_range,
        )
    return found_upload.upload, stored


def hold_shared(context: UploadContext) -> UploadLock:
    """Return the lock that parts of one upload share."""
    return UploadLock(
        context.request.target,
        shared=True,
        wait=context.request.if_running == "wait",
        is_stopped=lambda: context.stop.reason is not None,
    )


def find_part(found_upload: FoundUpload, size: int, number: int, cut: PartWindow, limits: Limits) -> Part:
    """Return the part with this *number* of a source of *size* bytes.

    Where there is a checkpoint it decides, and what is asked for must not differ. Raises WrongUsage.
    """
    check_number(number, limits)
    found = found_upload.checkpoint
    if cut.offset is not None:
        part = _part_at(size, number, cut, limits)
        if found is not None and part != FilePlan(size, found.part_size).part(number):
            raise _another_split(found.part_size, f"{part.size} bytes at {part.offset}")
        return part
    asked = cut.parts is not None or cut.part_size is not None
    if found is None or asked:
        plan = make_plan(size, limits, parts=cut.parts, part_size=cut.part_size)
        if found is not None and plan.part_size != found.part_size:
            raise _another_split(found.part_size, exact_size(plan.part_size))
    else:
        plan = FilePlan(size, found.part_size)
    if number > plan.count:
        raise WrongUsage(
            f"there is no part {number}",
            f"{format_size(size)} in parts of {exact_size(plan.part_size)} are {plan.count} parts",
            f"use --part-number 1 to {plan.count}",
        )
    return plan.part(number)


def _part_at(size: int, number: int, cut: PartWindow, limits: Limits) -> Part:
    """Return the window that is given as it is; at the end of the source it is cut off, as the vendors' clients do."""
    offset, wanted = cut.offset or 0, cut.part_size
    if wanted is None or cut.parts is not None:
        raise WrongUsage(
            "--offset needs --part-size, and excludes --parts",
            "it says where the part begins, not how long it is",
            "name both --offset and --part-size",
        )
    if offset > size or (offset == size and size):
        raise WrongUsage(
            f"--offset {offset} is beyond the source", f"it has {size} bytes", "name an offset within it"
        )
    taken = min(wanted, size - offset)
    if taken > limits.max_part:
        raise WrongUsage(
            f"--part-size {exact_size(wanted)} cannot be",
            f"a part has at most {format_size(limits.max_part)}",
            f"use --part-size {exact_size(limits.max_part)}",
        )
    return Part(number, offset, taken)


def _another_split(part_size: int, asked: str) -> WrongUsage:
    return WrongUsage(
        f"the upload was begun with parts of {exact_size(part_size)}, not of {asked}",
        "the part size of an upload cannot change",
        "leave out --parts, --part-size and --offset: the checkpoint knows them",
    )


def check_number(number: int, limits: Limits) -> None:
    """Raise WrongUsage for a part number that no upload has."""
    if not 1 <= number <= limits.max_parts:
        raise WrongUsage(
            f"--part-number {number} cannot be",
            f"part numbers go from 1 to {limits.max_parts}",
            "use one of these",
        )

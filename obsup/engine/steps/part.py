"""Send one part."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from obsup import events
from obsup.dialects.dialect import Limits
from obsup.engine.job.context import UploadContext
from obsup.engine.plan.file_plan import FilePlan, make_plan, recorded_plan
from obsup.engine.send.content import Content
from obsup.engine.send.part import send_content
from obsup.engine.steps.lookup import FoundUpload, UploadSelector, require_upload
from obsup.engine.upload.adoption import agreed_checksum
from obsup.engine.upload.preconditions import require_encryption
from obsup.errors import CheckpointUnwritable, DataMismatch, NextStep, WrongUsage, run_again
from obsup.local.source.file import FileWindow, check_sent
from obsup.local.source.identity import (
    differs_in_times,
    ignores_times,
    is_same_file,
    until_untouched,
)
from obsup.local.source.memory_part import MemoryPart
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import copied_parts, started_uploads
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import Part, Receipt, SourceStat, Stored, Upload
from obsup.units import counted, exact_size, format_size
from obsup.value import Value

MD5_BYTES = 16
SPLIT_OPTIONS = ("--parts", "--part-size", "--offset")


class PartWindow(Value):
    """Which bytes of the source a part is: an offset and a size, or how the whole source is split. All are bytes.

    ``is_default_split`` is that of UploadRequest.
    """

    parts: int | None = None
    part_size: int | None = None
    offset: int | None = None
    is_default_split: bool = False


class SentPart(Value):
    """One part that the store confirmed: its upload, its receipt, and the store's response."""

    upload: Upload
    receipt: Receipt
    stored: Stored


def send_one(
    context: UploadContext,
    selector: UploadSelector,
    number: int,
    window: PartWindow,
    *,
    md5: str | None = None,
) -> SentPart:
    """Send one part of the source, record it if there is a checkpoint, and return the store's response.

    Other parts of the same upload may be sent at the same time, by this machine or others. *md5*, in hex or Base64, is
    the expected digest. Raises WrongUsage for a part that does not exist, DataMismatch if its MD5 is not *md5*,
    SourceChanged, Busy while an ``upload``, ``complete`` or ``abort`` holds the upload.
    """
    selected = require_upload(selector)
    selected.check_of_file()
    path = context.source

    def send(stat: SourceStat) -> SentPart:
        is_unproven = ignores_times(stat)
        if selected.checkpoint is not None:
            _check_same_source(context, selected, selected.checkpoint, stat)
            is_unproven = is_unproven or not is_same_file(selected.checkpoint.stat, stat)
        part = find_part(selected, stat.size, number, window, context.dialect.limits)
        return _send(context, selected, FileWindow(path, part, stat), md5, is_unproven=is_unproven)

    with selected.needed(selector):
        return until_untouched(path, send)


def _check_same_source(
    context: UploadContext, selected: FoundUpload, checkpoint: Checkpoint, stat: SourceStat
) -> None:
    """Raise SourceChanged unless the source is that of *checkpoint*; if its times differ, the recorded parts decide."""
    if not (checkpoint.receipts and differs_in_times(checkpoint.stat, stat)):
        selected.check_same_source(context.source, stat)
        return
    plan = recorded_plan(checkpoint)
    sent = [(plan.part(number), receipt) for number, receipt in sorted(checkpoint.receipts.items())]
    check_sent(context.source, stat, sent, context.read_gate)


def send_read(
    context: UploadContext, selector: UploadSelector, content: MemoryPart, *, md5: str | None = None
) -> SentPart:
    """Send one part from memory. It is not recorded: ``complete`` takes it from the store's list.

    Raises as ``send_one`` does.
    """
    check_number(content.part.number, context.dialect.limits)
    selected = require_upload(selector)
    with selected.needed(selector):
        return _send(context, replace(selected, path=None), content, md5)


def _send(
    context: UploadContext,
    selected: FoundUpload,
    content: Content,
    md5: str | None,
    *,
    is_unproven: bool = False,
) -> SentPart:
    """Send *content*, and record it. *is_unproven*: it may be from another file than that of the checkpoint."""
    context.observe(events.Begun(content.part.size, 1))
    upload, send_options = with_agreed_checksum(context, selected), context.send_options
    if is_unproven:
        send_options = replace(send_options, digests=replace(send_options.digests, crc64=True))
    if md5 is not None:
        expected, computed = parse_md5(md5), content.md5(context.read_gate)
        if computed != expected:
            raise DataMismatch(
                f"part {content.part.number} does not have the given MD5",
                f"It is {computed}, not {md5}",
                NextStep("check the source; nothing was sent"),
            )
        send_options = replace(send_options, content_md5=True)
    with locked_part(context, selected.upload, content.part.number):
        stored, receipt = send_content(content, upload, context.store, send_options)
        if isinstance(content, FileWindow) and ignores_times(content.stat):
            check_sent(content.path, content.stat, [(content.part, receipt)], context.read_gate)
        copied_parts.forget(selected.upload, content.part.number)
        if selected.path is not None:
            _record(context, selected.path, selected.upload, replace(receipt, is_unproven=is_unproven))
    return SentPart(selected.upload, receipt, stored)


def with_agreed_checksum(context: UploadContext, selected: FoundUpload) -> Upload:
    """Return the upload with the checksum that the store agreed to; it is asked if this machine has no record."""
    upload = selected.upload
    if selected.is_recorded:
        return upload
    return replace(upload, checksum=agreed_checksum(context, upload))


@contextmanager
def locked_part(context: UploadContext, upload: Upload, number: int) -> Iterator[None]:
    """Hold the lock of the upload, shared with other parts, and that of this part.

    Raises Busy, and Refused if the store would not encrypt the part as requested.
    """
    require_encryption(context)
    with context.lock(shared=True), context.lock(part=(upload.upload_id, number)):
        try:
            yield
        finally:
            started_uploads.touch_checkpoint(upload)  # it may not list this part, but shows who sent it


def _record(context: UploadContext, path: Path, upload: Upload, receipt: Receipt) -> None:
    try:
        checkpoints.record(path, upload, receipt)
    except CheckpointUnwritable as exc:
        context.note(f"{exc}; continuing without it: complete asks the store what is stored")


def find_part(selected: FoundUpload, size: int, number: int, window: PartWindow, limits: Limits) -> Part:
    """Return the part with this *number* of a source of *size* bytes.

    If there is a checkpoint, *window* must not contradict it. Raises WrongUsage.
    """
    check_number(number, limits)
    checkpoint = selected.checkpoint
    if window.offset is not None:
        part = _part_at(size, number, window, limits)
        if checkpoint is not None:
            plan = FilePlan(size, checkpoint.part_size)
            if number > plan.count or part != plan.part(number):
                raise _another_split(checkpoint.part_size, f"{part.size} bytes at {part.offset}")
        return part
    is_split_given = window.parts is not None or window.part_size is not None
    if checkpoint is None or (is_split_given and not window.is_default_split):
        plan = make_plan(size, limits, parts=window.parts, part_size=window.part_size)
        if checkpoint is not None and plan.part_size != checkpoint.part_size:
            raise _another_split(checkpoint.part_size, exact_size(plan.part_size))
    else:
        plan = FilePlan(size, checkpoint.part_size)
    if number > plan.count:
        raise WrongUsage(
            f"part {number} does not exist",
            f"{format_size(size)} in parts of {exact_size(plan.part_size)} are {counted(plan.count, 'part')}",
            NextStep(f"use --part-number 1 to {plan.count}"),
        )
    return plan.part(number)


def _part_at(size: int, number: int, window: PartWindow, limits: Limits) -> Part:
    """Return the given window, which ends at the end of the source at the latest, as in the vendors' clients."""
    offset = window.offset or 0
    if window.parts is not None:
        raise WrongUsage(
            "--offset and --parts exclude each other",
            "--parts determines the offset",
            run_again("leave out --parts", drop=("--parts",)),
        )
    if offset > size:
        raise WrongUsage(
            f"--offset {offset} is beyond the end of the source",
            f"The source has {size} bytes",
            NextStep("give an offset within it"),
        )
    part = Part(number, offset, min(window.part_size or size, size - offset))
    check_size(part.size, limits)
    return part


def check_size(size: int, limits: Limits) -> None:
    """Raise WrongUsage for a part that is larger than the store accepts."""
    if size > limits.max_part:
        largest = exact_size(limits.max_part)
        raise WrongUsage(
            f"the size of a part must be at most {largest}, not {exact_size(size)}",
            f"The store accepts parts of at most {format_size(limits.max_part)}",
            run_again("use the largest part size", add=("--part-size", largest)),
        )


def _another_split(part_size: int, given: str) -> WrongUsage:
    return WrongUsage(
        f"the upload has parts of {exact_size(part_size)}, not of {given}",
        "The part size of an upload cannot change",
        run_again(
            "leave out --parts, --part-size and --offset: the checkpoint records them", drop=SPLIT_OPTIONS
        ),
    )


def parse_md5(text: str) -> str:
    """Return an MD5, given in hex or as the Base64 of its 16 bytes, in lower-case hex. Raises WrongUsage."""
    try:
        digest = bytes.fromhex(text) if len(text) == 2 * MD5_BYTES else b64decode(text, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != MD5_BYTES:
        raise WrongUsage(
            f"invalid MD5 {text!r}",
            "An MD5 has 32 hexadecimal digits, or 24 characters of Base64",
            NextStep("correct it; md5sum prints the MD5 of a file"),
        )
    return digest.hex()


def check_number(number: int, limits: Limits) -> None:
    """Raise WrongUsage for a part number outside the limits of the store."""
    if not 1 <= number <= limits.max_parts:
        raise WrongUsage(
            f"--part-number must be between 1 and {limits.max_parts}, not {number}",
            "The store accepts no other part numbers",
            NextStep("use a part number in this range"),
        )

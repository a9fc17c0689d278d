"""Copy one part from another object in the store, always from the same version of that object."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from obsup.dialects.objects.object_headers import copy_source_value
from obsup.engine.job.context import UploadContext
from obsup.engine.proof.part_list import parts_are
from obsup.engine.steps.lookup import UploadSelector, require_upload
from obsup.engine.steps.part import check_number, locked_part
from obsup.errors import DataMismatch, Denied, NextStep, Refused, run_again
from obsup.local.state import copied_parts
from obsup.model import Stored, StoredPart, Upload
from obsup.text import quoted
from obsup.value import Value

PRECONDITION_FAILED = 412
_CANNOT_CHECK = "it cannot be checked that all parts are copied from one version of {}"


class CopySource(Value):
    """An object in the store, and the first and last byte to copy, inclusive. A version never changes."""

    bucket: str
    key: str
    byte_range: tuple[int, int] | None = None
    version_id: str | None = None

    @property
    def name(self) -> str:
        """BUCKET/KEY."""
        return f"{self.bucket}/{self.key}"


def copy_one(
    context: UploadContext, selector: UploadSelector, number: int, source: CopySource
) -> tuple[Upload, Stored]:
    """Copy one part from an object in the store; return its upload and the store's response.

    It is not recorded: ``complete`` takes it from the store's list. Raises DataMismatch if *source* is not the version
    from which this machine copied the first part of the upload.
    """
    check_number(number, context.dialect.limits)
    selected = require_upload(selector)
    upload = selected.upload
    with selected.needed(selector), locked_part(context, upload, number):
        etag = _etag_of(context, upload, source)
        pinned = copied_parts.begin(upload, number, source.name, etag) if etag else None
        if pinned not in (None, etag):
            raise _changed(upload, source, f"It had ETag {pinned}, now it has {etag}; nothing was copied")
        if etag == "":
            copied_parts.record(upload, number, source.name, "")
        try:
            stored = context.store.copy_part(
                upload,
                number,
                copy_source_value(source.bucket, source.key, source.version_id),
                byte_range=source.byte_range,
                if_match=pinned,
            )
        except Refused as exc:
            if exc.refusal is None or exc.refusal.status != PRECONDITION_FAILED:
                raise
            raise _changed(upload, source, f"It no longer has ETag {pinned}; nothing was copied") from exc
        is_whole = _check_size(context, upload, number, source)
        if is_whole and source.version_id is not None:
            copied_parts.forget(upload, number)
        if etag is not None:
            _check_unchanged(context, upload, number, source, etag)
    return upload, stored


def check_copied_parts(upload: Upload, listed: Iterable[StoredPart]) -> None:
    """Raise DataMismatch if one of the *listed* parts was copied from another version of its source than the first."""
    mixed = copied_parts.find_mixed(upload)
    numbers = [one.number for one in listed if one.number in mixed]
    if numbers:
        source = quoted(mixed[numbers[0]])
        raise DataMismatch(
            f"{parts_are(numbers, 'was', 'were')} copied while {source} changed, or without a response",
            "An object must not mix two versions of its source; the upload is unchanged",
            _start_over(upload, "copy these parts again; if the source has another content now, abort"),
        )


def _etag_of(context: UploadContext, upload: Upload, source: CopySource) -> str | None:
    """Return the ETag of *source*, "" if it does not exist; None if it is not shown, or if *source* is a version."""
    if source.version_id is not None:
        return None
    target = replace(upload.target, bucket=source.bucket, key=source.key)
    try:
        info = context.store.head_object(target, is_copy_source=True)
    except (Denied, Refused) as exc:
        context.note(f"{exc.what}: {_CANNOT_CHECK.format(source.name)}")
        return None
    if info is not None and not info.etag:
        context.note(f"without an ETag {_CANNOT_CHECK.format(source.name)}")
        return None
    return info.etag if info is not None else ""


def _check_size(context: UploadContext, upload: Upload, number: int, source: CopySource) -> bool:
    """Return whether the copied part certainly has the size of the range.

    Raises DataMismatch if it has not: some stores ignore or shorten it. ``complete`` on this machine then rejects it.
    """
    if source.byte_range is None:
        return True
    first, last = source.byte_range
    expected = last - first + 1
    try:
        listed = [
            one.size
            for one in context.store.list_parts(upload, after=number - 1, most=1)
            if one.number == number
        ]
    except (Denied, Refused) as exc:
        context.note(f"{exc.what}: the size of part {number} was not compared with --copy-range")
        return False
    if listed and listed[0] != expected:
        copied_parts.record(upload, number, source.name, "")
        raise DataMismatch(
            f"part {number} has {listed[0]} bytes of {quoted(source.name)}, not the {expected} of --copy-range",
            "The store ignores the range, or the object ends inside it",
            run_again("check the range, or send the part from a file"),
        )
    return True


def _check_unchanged(
    context: UploadContext, upload: Upload, number: int, source: CopySource, pinned: str
) -> None:
    """Record what was copied. Raises DataMismatch unless the source is unchanged: not every store checks the condition.

    If it is unknown, ``complete`` rejects the part. *pinned* is "" if the store returned that there was no source.
    """
    etag = _etag_of(context, upload, source)
    if not etag or not pinned:
        other = "The store returned the ETag of the source before the copy, but not after it"
        raise DataMismatch(
            f"part {number} was copied, but {quoted(source.name)} may have changed",
            other if pinned else "The store returned before the copy that the source does not exist",
            run_again(),
        )
    copied_parts.record(upload, number, source.name, etag if etag == pinned else "")
    if etag != pinned:
        raise _changed(
            upload, source, f"It had ETag {pinned}, now it has {etag}; part {number} may have both contents"
        )


def _changed(upload: Upload, source: CopySource, why: str) -> DataMismatch:
    return DataMismatch(
        f"{quoted(source.name)} changed since its first part was copied",
        f"{why}. An object must not mix two versions of its source; the stored parts are kept",
        _start_over(upload, "to copy it as it is now, abort this upload and initiate a new one"),
    )


def _start_over(upload: Upload, text: str) -> NextStep:
    return NextStep(text, command=upload.abort_command)

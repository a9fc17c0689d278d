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
from obsup.model import ObjectInfo, Stored, StoredPart, Upload
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
        before = _find_source(context, upload, source)
        etag = before.etag if before is not None else None
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
        after = _find_source(context, upload, source) if before is not None else None
        _check_version(upload, number, source, stored, (before, after))
        is_whole = _check_size(context, upload, number, source, before)
        if is_whole and source.version_id is not None:
            copied_parts.forget(upload, number)
        if etag is not None:
            _check_unchanged(upload, number, source, etag, after)
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


def _find_source(context: UploadContext, upload: Upload, source: CopySource) -> ObjectInfo | None:
    """Return what the store shows of *source*, without an ETag if it does not exist.

    None if the store does not show it, or no ETag of it, or if *source* is a version.
    """
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
    return info if info is not None else ObjectInfo(-1, "", {})


def _check_version(
    upload: Upload, number: int, source: CopySource, stored: Stored, shown: Iterable[ObjectInfo | None]
) -> None:
    """Raise DataMismatch if the response *stored* has another version than those *shown*, or than that of *source*.

    A store may ignore the condition, or the version, and still show an object that was replaced.
    """
    copied = stored.source_version_id
    versions = {source.version_id, *(one.version_id for one in shown if one is not None)} - {None}
    if copied is None or not versions or copied in versions:
        return
    copied_parts.record(upload, number, source.name, "")
    expected = " or ".join(sorted(filter(None, versions)))
    raise DataMismatch(
        f"part {number} is from version {copied} of {quoted(source.name)}, not from {expected}",
        "The store copied another version than the one that it shows, or that was named",
        run_again(),
    )


def _check_size(
    context: UploadContext, upload: Upload, number: int, source: CopySource, shown: ObjectInfo | None
) -> bool:
    """Return whether the copied part certainly has the size of the range, or of the object *shown* before.

    Raises DataMismatch if it has not: some stores ignore or shorten a range, or show an object that was replaced.
    ``complete`` on this machine then rejects it.
    """
    if source.byte_range is not None:
        expected, of = source.byte_range[1] - source.byte_range[0] + 1, "of --copy-range"
        why, advice = "The store ignores the range, or the object ends inside it", "check the range, or "
    elif shown is not None and shown.size >= 0:
        expected, of = shown.size, "that the store showed before"
        why, advice = "The store showed another version of the object than it copied", ""
    else:
        return True
    try:
        listed = [
            one.size
            for one in context.store.list_parts(upload, after=number - 1, most=1)
            if one.number == number
        ]
    except (Denied, Refused) as exc:
        context.note(f"{exc.what}: it was not checked that part {number} has the {expected} bytes {of}")
        return False
    if listed and listed[0] != expected:
        copied_parts.record(upload, number, source.name, "")
        raise DataMismatch(
            f"part {number} has {listed[0]} bytes of {quoted(source.name)}, not the {expected} {of}",
            why,
            run_again(f"{advice}send the part from a file"),
        )
    return True


def _check_unchanged(
    upload: Upload, number: int, source: CopySource, pinned: str, after: ObjectInfo | None
) -> None:
    """Record what was copied. Raises DataMismatch unless the source is unchanged: not every store checks the condition.

    If it is unknown, ``complete`` rejects the part. *pinned* is "" if the store returned that there was no source,
    *after* what it showed after the copy.
    """
    etag = after.etag if after is not None else ""
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

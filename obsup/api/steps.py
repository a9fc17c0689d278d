"""The single steps of an upload: initiate, send or copy parts, complete, abort."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any, Unpack, cast

from msgspec.structs import replace

from obsup.api.call import opened, public
from obsup.api.keywords import (
    CompleteKeywords,
    CopyKeywords,
    File,
    ObjectKeywords,
    SendKeywords,
    StepKeywords,
)
from obsup.api.values import checked, option_value, path_value, wrong_type
from obsup.engine.job.context import UploadContext
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.result import Result
from obsup.engine.job.target_text import split_target
from obsup.engine.steps import part as part_steps
from obsup.engine.steps.abort import abort_upload as abort_selected
from obsup.engine.steps.complete import ManualCompletion
from obsup.engine.steps.completion_checks import CompletionChecks
from obsup.engine.steps.copy_part import CopySource, copy_one
from obsup.engine.steps.initiate import initiate
from obsup.engine.steps.lookup import UploadSelector
from obsup.engine.steps.part import PartWindow
from obsup.engine.upload.uploader import Uploader
from obsup.errors import NextStep, WrongUsage
from obsup.local.source.file_object import FileObject, Readable, as_bytes
from obsup.local.source.stream_parts import read_stream_part
from obsup.model import Stored

Content = bytes | bytearray | memoryview | Readable | None


@public(ObjectKeywords)
def initiate_upload(target: str, *, source: File | None = None, **more: Unpack[ObjectKeywords]) -> str:
    """Initiate an upload to *target* and return its upload id. Sends no parts.

    With *source* it is the upload of that file: its checkpoint is written, so ``upload_file``, and the other steps with
    the same source, continue it. Raises ObsupError as ``upload_file`` does.
    Source: OBS SDK for Python, "Initiating a Multipart Upload" (initiateMultipartUpload).
    """
    path = _path(source)
    with opened(initiate_upload, target, more, source=path) as context:
        if path is None:
            return initiate(context).upload_id
        tally = cast(ProgressTally, context.observe)
        checkpoint, _ = Uploader(
            context.connection, context.request, tally=tally, stop=context.stop
        ).initiate()
        return checkpoint.upload.upload_id


@public(SendKeywords)
def upload_part(
    source: File | Content,
    target: str,
    part_number: int,
    *,
    upload_id: str | None = None,
    offset: int | str | None = None,
    part_size: int | str | None = None,
    parts: int | None = None,
    md5: str | None = None,
    close: bool = True,
    is_file: bool = True,
    **more: Unpack[SendKeywords],
) -> Stored:
    """Send one part of the upload *upload_id* of *target*; return the store's response once it is verified.

    The part of a path is *part_size* bytes (less at the end) from *offset*, or the part with this number if *parts* or
    *part_size* split the file; without *upload_id* the checkpoint of the path has it. Bytes are the part itself, a text
    is one in UTF-8 if *is_file* is false, and None is an empty part. Of an object open for reading, the part is the
    next *part_size* bytes, or the rest; it is closed unless *close* is false. ``size`` of the response is less than
    *part_size* if the object has ended. *md5* (hex, or Base64 of the 16 bytes) is the expected digest; the keyword
    *content_md5* sends the computed one.
    Source: OBS SDK for Python, "Uploading a Part" (uploadPart).
    """
    number = checked("part_number", part_number, int, text="a whole number")
    checks = {"upload_id": upload_id, "offset": offset, "part_size": part_size, "parts": parts, "md5": md5}
    given = {name: option_value(name, value) for name, value in checks.items() if value is not None}
    window = PartWindow(given.get("parts"), given.get("part_size"), given.get("offset"))
    if isinstance(source, str) and not is_file:
        source = source.encode()
    if not isinstance(source, str | os.PathLike):
        with (
            closing(FileObject(_readable(source), close=close)) as stream,
            opened(upload_part, target, more) as context,
        ):
            return _send_open_part(context, stream, number, window, upload_id, md5)
    path = path_value("source", source)
    with opened(upload_part, target, more, source=path) as context:
        selector = select_upload(context, path, upload_id)
        return _sized(part_steps.send_one(context, selector, number, window, md5=md5))


def _readable(source: Content) -> Readable:
    """Return what has the bytes of the part. Raises WrongUsage."""
    if source is None or isinstance(source, bytes | bytearray | memoryview):
        return BytesIO(as_bytes(source or b"", "source"))
    if not callable(getattr(source, "read", None)):
        raise wrong_type("source", "a path, bytes, None, or an object with read", source)
    return source


def _send_open_part(
    context: UploadContext,
    stream: FileObject,
    number: int,
    window: PartWindow,
    upload_id: str | None,
    md5: str | None,
) -> Stored:
    """Send the next bytes of *stream*: ``part_size`` of *window*, or all."""
    if window.offset is not None or window.parts is not None:
        raise WrongUsage(
            "offset and parts need the path of a file",
            "Bytes are the part itself, and an open object is read from its current position",
            NextStep("Give part_size, and neither offset nor parts"),
        )
    limits = context.dialect.limits
    part_steps.check_number(number, limits)
    part_steps.check_size(window.part_size or 0, limits)
    size = limits.max_part + 1 if window.part_size is None else window.part_size
    content = read_stream_part(stream, number, size, context.digests.digest())
    part_steps.check_size(content.part.size, limits)
    return _sized(part_steps.send_read(context, select_upload(context, None, upload_id), content, md5=md5))


def _sized(sent: part_steps.SentPart) -> Stored:
    return replace(sent.stored, size=sent.receipt.size)


@public(CopyKeywords)
def copy_part(
    copy_source: str,
    target: str,
    part_number: int,
    *,
    upload_id: str | None = None,
    copy_range: tuple[int, int] | None = None,
    version_id: str | None = None,
    **more: Unpack[CopyKeywords],
) -> Stored:
    """Copy one part of the upload *upload_id* of *target* from the object *copy_source* (``BUCKET/KEY``) in the store.

    *copy_range* is its first and last byte, both inclusive; *version_id* selects a version. Raises DataMismatch if it
    is not the content from which this machine copied the first part of the upload.
    Source: OBS SDK for Python, "Copying a Part" (copyPart).
    """
    number = checked("part_number", part_number, int, text="a whole number")
    is_pair = isinstance(copy_range, tuple) and len(copy_range) == 2 and all(map(_is_number, copy_range))
    is_range = copy_range is not None and is_pair and copy_range[0] <= copy_range[1]
    if copy_range is not None and not is_range:
        raise wrong_type("copy_range", "a pair of whole numbers: the first and the last byte", copy_range)
    _, bucket, key = split_target(checked("copy_source", copy_source, str, text="a text: BUCKET/KEY"))
    with opened(copy_part, target, more) as context:
        selector = select_upload(context, None, upload_id)
        return copy_one(context, selector, number, CopySource(bucket, key, copy_range, version_id))[1]


@public(CompleteKeywords)
def complete_upload(
    target: str,
    *,
    upload_id: str | None = None,
    source: File | None = None,
    parts: int | None = None,
    size: int | None = None,
    etags: Mapping[int, str] | None = None,
    verify_source: bool = False,
    **more: Unpack[CompleteKeywords],
) -> Result:
    """Assemble the upload *upload_id* of *target*, or the one in the checkpoint of *source*, and verify the object.

    The list of parts is the store's. Raises DataMismatch, with the upload unchanged, if a part is missing or differs
    from *source*, if there are not *parts* parts, if the total is not *size* bytes (or the size of *source*), or if the
    ETags differ from *etags*, by part number. *verify_source*: also if the store returns nothing that can be compared;
    without it and *etags*, the object is completed, and CannotCompare is raised.
    The same checks apply to the object of an upload that is completed already.
    Source: OBS SDK for Python, "Assembling Parts" (completeMultipartUpload).
    """
    path = _path(source)
    count = option_value("parts", parts) if parts is not None else None
    if count == 0:
        raise wrong_type("parts", "a whole number from 1", count)
    expected = option_value("expect_size", size) if size is not None else None
    checks = CompletionChecks(count, expected, _bare(etags), option_value("verify_source", verify_source))
    with opened(complete_upload, target, more, source=path) as context:
        return ManualCompletion(context, select_upload(context, path, upload_id), checks).complete()


def _bare(etags: Any) -> dict[int, str] | None:
    """Return the ETags without quotes. Raises WrongUsage."""
    if etags is None:
        return None
    if not isinstance(etags, Mapping) or not all(
        _is_number(number) and number and isinstance(etag, str) and etag.strip('"')
        for number, etag in etags.items()
    ):
        raise wrong_type("etags", "a dict of part numbers and ETags", etags)
    return {number: etag.strip('"') for number, etag in etags.items()}


@public(StepKeywords)
def abort_upload(
    target: str, *, upload_id: str | None = None, source: File | None = None, **more: Unpack[StepKeywords]
) -> None:
    """Abort the upload *upload_id* of *target*, or the one in the checkpoint of *source*. A second abort succeeds too.

    Source: OBS SDK for Python, "Aborting a Multipart Upload" (abortMultipartUpload).
    """
    path = _path(source)
    with opened(abort_upload, target, more, source=path) as context:
        abort_selected(context, select_upload(context, path, upload_id))


def _is_number(value: object) -> bool:
    """Return whether *value* is a whole number from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _path(source: File | None) -> Path | None:
    return path_value("source", source) if source is not None else None


def select_upload(context: UploadContext, source: Path | None, upload_id: str | None) -> UploadSelector:
    """Return how a function selects its upload."""
    return UploadSelector(context.request.target, source, upload_id, context.request.checkpoint)

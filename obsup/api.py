"""The public Python API: upload a file in one call, or in single steps."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing, nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, cast

from msgspec.structs import replace

from obsup import events
from obsup.dialects.registry import vendor_variables
from obsup.engine.job.connection import Connection, StoreSettings, connect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import Jobs, UploadRequest
from obsup.engine.job.result import Result
from obsup.engine.job.stop import StopSignal
from obsup.engine.job.target_settings import ConnectOptions, resolve_target
from obsup.engine.steps import part as part_steps
from obsup.engine.steps.abort import abort_upload as abort_selected
from obsup.engine.steps.complete import ManualCompletion
from obsup.engine.steps.completion_checks import CompletionChecks
from obsup.engine.steps.initiate import initiate
from obsup.engine.steps.lookup import UploadSelector
from obsup.engine.steps.part import PartWindow
from obsup.engine.stream.uploader import StreamUploader
from obsup.engine.upload.uploader import Uploader
from obsup.errors import NextStep, WrongUsage
from obsup.events import ProgressCallback
from obsup.local.source.expectation import Expectation
from obsup.local.source.file_object import FileObject, Readable
from obsup.local.source.rate_limit import RateLimit
from obsup.local.source.stream_parts import read_stream_part
from obsup.model import Credentials, ObjectOptions, Stored, Target
from obsup.rate import constant_rate
from obsup.store.interface import FixedCredentials

__all__ = [
    "ConnectOptions",
    "Connection",
    "Credentials",
    "Expectation",
    "ObjectOptions",
    "Readable",
    "RequestOptions",
    "Result",
    "StepOptions",
    "StopSignal",
    "StoreSettings",
    "StreamUploader",
    "Target",
    "UploadRequest",
    "Uploader",
    "abort_upload",
    "complete_upload",
    "connect",
    "initiate_upload",
    "upload_file",
    "upload_part",
]

# The source of a request without one; nothing reads it.
NO_SOURCE = Path("-")


class StepOptions(TypedDict, total=False):
    """Further keywords of all functions: how to connect, and fields of ``UploadRequest``.

    *endpoint* is the URL of the store, by default OBSUP_ENDPOINT; *connecting* replaces it. Without *credentials* they
    are found as on the command line.
    """

    endpoint: str | None
    credentials: Credentials | None
    connecting: ConnectOptions | None
    checkpoint: Path | None
    content_md5: bool
    digest: Literal["auto", "md5", "crc64", "none"]
    encrypted_by_customer: bool
    if_running: Literal["fail", "wait", "skip"]
    strict_options: bool
    use_token: bool


class RequestOptions(StepOptions, total=False):
    """Further keywords of ``upload_file``: those of ``StepOptions``, and fields of ``UploadRequest``.

    *parts* or *part_size* (bytes; default 9 MiB, larger if 10,000 parts would not suffice) determine how the source is
    split; *jobs* parts are in flight at once (``auto``: 5, and up to 32 while throughput grows).
    """

    parts: int | None
    part_size: int | None
    jobs: Jobs
    abort_on_failure: bool
    executor: str
    expect: Expectation
    keep_checkpoint: bool
    on_change: Literal["fail", "resend"]
    presign: bool
    receipt: Path | None
    restart: bool
    skip_identical: bool
    verify_source: bool


def upload_file(
    source: str | os.PathLike[str] | Readable,
    target: str,
    *,
    progress: ProgressCallback | None = None,
    observer: events.Observer = events.ignore,
    options: ObjectOptions | None = None,
    stop: StopSignal | None = None,
    limit_rate: float | None = None,
    close: bool = True,
    **more: Unpack[RequestOptions],
) -> Result:
    """Upload *source* to *target* (``BUCKET/KEY``), and resume what an earlier call started.

    *source* is a path, or an object open for reading bytes: a file, a pipe, a response of a web server. Such an object
    is read once, in bounded memory, from its current position to its end, and closed unless *close* is false. If it
    states its size (``length``, ``total``, Content-Length), an object of another size is not published (DataMismatch).
    *progress* is called with (transferred bytes, total bytes, seconds), *observer* with every event. *limit_rate* is
    bytes per second. The other keywords are those of ``RequestOptions``.

    Returns once the object is complete and verified. Raises ObsupError: its ``exit_code`` is that of the command line;
    if ``retryable`` is true, the same call resumes the upload.
    Source: OBS SDK for Python, "Uploading an Object - Resumable" (uploadFile).
    """
    path = _path(source) if isinstance(source, str | os.PathLike) else None
    stream = None if isinstance(source, str | os.PathLike) else FileObject(source, close=close)
    tally, stop = ProgressTally(progress, observer), stop or StopSignal()
    limit = (
        RateLimit(constant_rate(limit_rate), check=stop.check_in_flight) if limit_rate is not None else None
    )
    with closing(stream) if stream is not None else nullcontext():
        context = _open_context(target, more, source=path, options=options, tally=tally, stop=stop)
        connection, request = context.connection, context.request
        if stream is not None:
            return StreamUploader(connection, request, stream, tally=tally, stop=stop, limit=limit).run()
        return Uploader(connection, request, tally=tally, stop=stop, limit=limit).run()


def initiate_upload(
    target: str,
    *,
    options: ObjectOptions | None = None,
    **more: Unpack[StepOptions],
) -> str:
    """Initiate an upload to *target* and return its upload id. Sends no parts.

    Further keywords are those of ``StepOptions``. Raises ObsupError as ``upload_file`` does.
    Source: OBS SDK for Python, "Initiating a Multipart Upload" (initiateMultipartUpload).
    """
    context = _open_context(target, more, options=options)
    return initiate(context).upload_id


def upload_part(
    source: str | os.PathLike[str] | bytes | Readable,
    target: str,
    part_number: int,
    *,
    upload_id: str | None = None,
    offset: int | None = None,
    part_size: int | None = None,
    parts: int | None = None,
    md5: str | None = None,
    close: bool = True,
    progress: ProgressCallback | None = None,
    observer: events.Observer = events.ignore,
    **more: Unpack[StepOptions],
) -> Stored:
    """Send one part of the upload *upload_id* of *target*; return the store's response once it is verified.

    The part of a path is *part_size* bytes (less at the end) from *offset*, or the part with this number if *parts* or
    *part_size* split the file; without *upload_id* the checkpoint of the path has it. Bytes are the part itself. Of an
    object open for reading, the part is the next *part_size* bytes, and it is closed unless *close* is false. *md5*
    (hex, or Base64 of the 16 bytes) is the expected digest; the keyword *content_md5* sends the computed one.
    Source: OBS SDK for Python, "Uploading a Part" (uploadPart).
    """
    window, tally = PartWindow(parts, part_size, offset), ProgressTally(progress, observer)
    if not isinstance(source, str | os.PathLike):
        return _send_open_part(source, target, part_number, window, upload_id, md5, close, tally, more)
    path = _path(source)
    context = _open_context(target, more, source=path, tally=tally)
    selector = UploadSelector(context.request.target, path, upload_id, context.request.checkpoint)
    return part_steps.send_one(context, selector, part_number, window, md5=md5).stored


def _send_open_part(
    source: bytes | Readable,
    target: str,
    number: int,
    window: PartWindow,
    upload_id: str | None,
    md5: str | None,
    close: bool,
    tally: ProgressTally,
    more: StepOptions,
) -> Stored:
    size = len(source) if isinstance(source, bytes) else window.part_size
    if size is None or window.offset is not None or window.parts is not None:
        raise WrongUsage(
            "an object open for reading needs part_size, and excludes offset and parts",
            "It is read from its current position, and its size is unknown",
            NextStep("give part_size, and neither offset nor parts"),
        )
    with closing(FileObject(BytesIO(source) if isinstance(source, bytes) else source, close=close)) as stream:
        context = _open_context(target, more, tally=tally)
        content = read_stream_part(stream, number, size, context.digests.digest())
        selector = UploadSelector(context.request.target, None, upload_id)
        return part_steps.send_read(context, selector, content, md5=md5).stored


def complete_upload(
    target: str,
    *,
    upload_id: str | None = None,
    source: str | os.PathLike[str] | None = None,
    parts: int | None = None,
    size: int | None = None,
    etags: Mapping[int, str] | None = None,
    verify_source: bool = False,
    options: ObjectOptions | None = None,
    **more: Unpack[StepOptions],
) -> Result:
    """Assemble the upload *upload_id* of *target*, or the one in the checkpoint of *source*, and verify the object.

    The list of parts is the store's. Raises DataMismatch, with the upload unchanged, if a part is missing or differs
    from *source*, if there are not *parts* parts, if the total is not *size* bytes (or the size of *source*), or if the
    ETags differ from *etags*, by part number. *verify_source*: also if the store returns nothing that can be compared.
    The same checks apply to the object of an upload that is completed already.
    Source: OBS SDK for Python, "Assembling Parts" (completeMultipartUpload).
    """
    path = _path(source) if source is not None else None
    context = _open_context(target, more, source=path, options=options)
    selector = UploadSelector(context.request.target, path, upload_id, context.request.checkpoint)
    return ManualCompletion(context, selector, CompletionChecks(parts, size, etags, verify_source)).complete()


def abort_upload(
    target: str,
    *,
    upload_id: str | None = None,
    source: str | os.PathLike[str] | None = None,
    **more: Unpack[StepOptions],
) -> None:
    """Abort the upload *upload_id* of *target*, or the one in the checkpoint of *source*. A second abort succeeds too.

    Source: OBS SDK for Python, "Aborting a Multipart Upload" (abortMultipartUpload).
    """
    path = _path(source) if source is not None else None
    context = _open_context(target, more, source=path)
    selector = UploadSelector(context.request.target, path, upload_id, context.request.checkpoint)
    abort_selected(context, selector)


def _path(source: str | os.PathLike[str]) -> Path:
    """Return *source* as a path. Raises WrongUsage if it is empty: ``Path("")`` would be the current directory."""
    if not os.fspath(source):
        raise WrongUsage(
            "the source is empty",
            "An empty path would mean the current directory",
            NextStep("Give the path of a file"),
        )
    return Path(source)


def _open_context(
    target: str,
    more: StepOptions,
    *,
    source: Path | None = None,
    options: ObjectOptions | None = None,
    tally: ProgressTally | None = None,
    stop: StopSignal | None = None,
) -> UploadContext:
    """Return the context of one upload or step, with a connected store."""
    fields = dict(more)
    endpoint = more.get("endpoint") or os.environ.get("OBSUP_ENDPOINT")
    default = ConnectOptions(endpoint, vendor_variables=vendor_variables(os.environ))
    options, connecting = options or ObjectOptions(), more.get("connecting") or default
    credentials = more.get("credentials")
    for name in ("endpoint", "connecting", "credentials"):
        fields.pop(name, None)
    if connecting.customer_key_file is not None:
        fields["encrypted_by_customer"] = True
    tally, stop = tally or ProgressTally(None), stop or StopSignal()
    resolved, settings = resolve_target(
        target,
        replace(connecting, headers=connecting.headers or options.headers),
        file_name=source.name if source is not None else None,
    )
    request = UploadRequest(source or NO_SOURCE, resolved, options=options, **cast(dict[str, Any], fields))
    connection = connect(
        settings,
        observe=tally,
        sleep=stop.sleep,
        credentials=FixedCredentials(credentials) if credentials is not None else None,
    )
    return UploadContext(connection, request, tally, stop)

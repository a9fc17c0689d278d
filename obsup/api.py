"""The public Python API: upload a file in one call, or in single steps."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing, nullcontext
from io import BytesIO
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.connection import Connection, StoreSettings, connect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import Jobs, UploadRequest
from obsup.engine.job.result import Result
from obsup.engine.job.stop import StopSignal
from obsup.engine.job.target_settings import ConnectOptions, resolve_target
from obsup.engine.steps import part as part_steps
from obsup.engine.steps.abort import abort_upload as abort_selected
from obsup.engine.steps.complete import CompletionChecks, ManualCompletion
from obsup.engine.steps.lookup import UploadSelector
from obsup.engine.steps.part import PartWindow
from obsup.engine.stream.uploader import StreamUploader
from obsup.engine.upload import initiate
from obsup.engine.upload.uploader import Uploader
from obsup.errors import NextStep, WrongUsage
from obsup.events import ProgressCallback
from obsup.local.source.expectation import Expectation
from obsup.local.source.rate_limit import RateLimit
from obsup.local.source.stream import FileObject, Readable
from obsup.local.source.stream_parts import read_stream_part
from obsup.model import Credentials, ObjectOptions, Stored, Target

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
    """Further keywords of every step. They are the fields of ``UploadRequest`` with these names."""

    checkpoint: Path | None
    digest: Literal["auto", "md5", "crc64", "none"]
    encrypted_by_customer: bool
    if_running: Literal["fail", "wait", "skip"]
    use_token: bool


class RequestOptions(StepOptions, total=False):
    """Further keywords of ``upload_file``. They are the fields of ``UploadRequest`` with these names."""

    abort_on_failure: bool
    content_md5: bool
    executor: str
    expect: Expectation
    keep_checkpoint: bool
    on_change: Literal["fail", "resend"]
    presign: bool
    receipt: Path | None
    restart: bool
    skip_identical: bool
    verify_source: bool


class _FixedCredentials:
    """A credential source with the credentials of the caller, which cannot be refreshed."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def current(self) -> Credentials:
        return self._credentials

    def refresh(self, _stale: Credentials) -> Credentials:
        return self._credentials


def upload_file(
    source: str | os.PathLike[str] | Readable,
    target: str,
    *,
    endpoint: str | None = None,
    parts: int | None = None,
    part_size: int | None = None,
    jobs: Jobs = "auto",
    progress: ProgressCallback | None = None,
    observer: events.Observer = events.ignore,
    credentials: Credentials | None = None,
    options: ObjectOptions | None = None,
    connecting: ConnectOptions | None = None,
    stop: StopSignal | None = None,
    limit_rate: float | None = None,
    close: bool = True,
    **more: Unpack[RequestOptions],
) -> Result:
    """Upload *source* to *target* (``BUCKET/KEY``), and resume what an earlier call started.

    *source* is a path, or an object open for reading bytes: a file, a pipe, a response of a web server. Such an object
    is read once, in bounded memory, from its current position to its end, and closed unless *close* is false.

    *endpoint* is the URL of the store, by default OBSUP_ENDPOINT. *parts* or *part_size* (bytes; default 9 MiB, larger
    if 10,000 parts would not suffice) determine how the source is split; *jobs* parts are in flight at once (``auto``:
    5, and up to 32 while throughput grows), with at most *limit_rate* bytes per second in total. *progress* is called
    with (transferred bytes, total bytes, seconds), *observer* with every event. Without *credentials* they are found as
    on the command line.

    Returns once the object is complete and verified. Raises ObsupError: its ``exit_code`` is that of the command line;
    if ``retryable`` is true, the same call resumes the upload.
    Source: OBS SDK for Python, "Uploading an Object - Resumable" (uploadFile).
    """
    path = Path(source) if isinstance(source, str | os.PathLike) else NO_SOURCE
    stream = None if isinstance(source, str | os.PathLike) else FileObject(source, close=close)
    options = options or ObjectOptions()
    stop = stop or StopSignal()
    tally = ProgressTally(progress, observer)
    limit = RateLimit(limit_rate, check=stop.check_in_flight) if limit_rate is not None else None
    with closing(stream) if stream is not None else nullcontext():
        resolved, settings = resolve_target(
            target,
            _connect_options(endpoint, connecting, options),
            file_name=None if stream else path.name,
        )
        request = UploadRequest(
            path, resolved, options=options, parts=parts, part_size=part_size, jobs=jobs, **more
        )
        connection = _connect(settings, credentials, tally, stop)
        if stream is not None:
            return StreamUploader(connection, request, stream, tally=tally, stop=stop, limit=limit).run()
        return Uploader(connection, request, tally=tally, stop=stop, limit=limit).run()


def initiate_upload(
    target: str,
    *,
    endpoint: str | None = None,
    credentials: Credentials | None = None,
    options: ObjectOptions | None = None,
    connecting: ConnectOptions | None = None,
    **more: Unpack[StepOptions],
) -> str:
    """Initiate an upload to *target* and return its upload id. Sends no parts.

    Arguments and errors are those of ``upload_file``.
    Source: OBS SDK for Python, "Initiating a Multipart Upload" (initiateMultipartUpload).
    """
    context = _open_context(target, endpoint, connecting, credentials, more, options=options)
    return initiate.initiate(context).upload_id


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
    content_md5: bool = False,
    close: bool = True,
    endpoint: str | None = None,
    credentials: Credentials | None = None,
    connecting: ConnectOptions | None = None,
    progress: ProgressCallback | None = None,
    observer: events.Observer = events.ignore,
    **more: Unpack[StepOptions],
) -> Stored:
    """Send one part of the upload *upload_id* of *target*; return the store's response once it is verified.

    *source* is one of

    - a path: the part is *part_size* bytes (less at the end) from *offset*, or the part with this number if *parts* or
      *part_size* split the file. Without *upload_id* the upload is found through the checkpoint of the path.
    - bytes.
    - an object open for reading bytes: the part is the next *part_size* bytes, and no more are read. It is closed
      unless *close* is false.

    *md5* (Base64 of the 16 bytes) is the expected digest: nothing is sent if it differs. *content_md5* sends the
    computed digest. Raises ObsupError as ``upload_file`` does; stored parts are kept.
    Source: OBS SDK for Python, "Uploading a Part" (uploadPart).
    """
    tally = ProgressTally(progress, observer)
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        context = _open_context(
            target, endpoint, connecting, credentials, more, source=path, tally=tally, content_md5=content_md5
        )
        selector = UploadSelector(context.request.target, path, upload_id, context.request.checkpoint)
        window = PartWindow(parts, part_size, offset)
        return part_steps.send_one(context, selector, part_number, window, md5=md5).stored
    size = len(source) if isinstance(source, bytes) else part_size
    if size is None or offset is not None or parts is not None:
        raise WrongUsage(
            "an object open for reading needs part_size, and excludes offset and parts",
            "It is read from its current position, and its size is unknown",
            NextStep("give part_size, and neither offset nor parts"),
        )
    with closing(FileObject(BytesIO(source) if isinstance(source, bytes) else source, close=close)) as stream:
        context = _open_context(
            target, endpoint, connecting, credentials, more, tally=tally, content_md5=content_md5
        )
        content = read_stream_part(stream, part_number, size, context.digests.digest())
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
    endpoint: str | None = None,
    credentials: Credentials | None = None,
    options: ObjectOptions | None = None,
    connecting: ConnectOptions | None = None,
    **more: Unpack[StepOptions],
) -> Result:
    """Assemble the upload *upload_id* of *target*, or the one in the checkpoint of *source*, and verify the object.

    The list of parts is the store's. Raises DataMismatch, with the upload unchanged, if a part is missing, if there are
    not *parts* parts, if the total is not *size* bytes (or the size of *source*), or if the ETags differ from *etags*,
    by part number. *verify_source* compares every part with *source*.
    Source: OBS SDK for Python, "Assembling Parts" (completeMultipartUpload).
    """
    path = Path(source) if source is not None else None
    context = _open_context(target, endpoint, connecting, credentials, more, source=path, options=options)
    selector = UploadSelector(context.request.target, path, upload_id, context.request.checkpoint)
    return ManualCompletion(context, selector, CompletionChecks(parts, size, etags, verify_source)).complete()


def abort_upload(
    target: str,
    *,
    upload_id: str | None = None,
    source: str | os.PathLike[str] | None = None,
    endpoint: str | None = None,
    credentials: Credentials | None = None,
    connecting: ConnectOptions | None = None,
    **more: Unpack[StepOptions],
) -> None:
    """Abort the upload *upload_id* of *target*, or the one in the checkpoint of *source*. A second abort succeeds too.

    Source: OBS SDK for Python, "Aborting a Multipart Upload" (abortMultipartUpload).
    """
    path = Path(source) if source is not None else None
    context = _open_context(target, endpoint, connecting, credentials, more, source=path)
    selector = UploadSelector(context.request.target, path, upload_id, context.request.checkpoint)
    abort_selected(context, selector)


def _connect_options(
    endpoint: str | None, connecting: ConnectOptions | None, options: ObjectOptions
) -> ConnectOptions:
    connecting = connecting or ConnectOptions(endpoint=endpoint or os.environ.get("OBSUP_ENDPOINT"))
    return replace(connecting, headers=connecting.headers or options.headers)


def _connect(
    settings: StoreSettings, credentials: Credentials | None, tally: ProgressTally, stop: StopSignal
) -> Connection:
    source = _FixedCredentials(credentials) if credentials is not None else None
    return connect(settings, observe=tally, sleep=stop.sleep, credentials=source)


def _open_context(
    target: str,
    endpoint: str | None,
    connecting: ConnectOptions | None,
    credentials: Credentials | None,
    more: StepOptions,
    *,
    source: Path | None = None,
    options: ObjectOptions | None = None,
    tally: ProgressTally | None = None,
    content_md5: bool = False,
) -> UploadContext:
    """Return the context of one step, with a connected store."""
    options = options or ObjectOptions()
    tally, stop = tally or ProgressTally(None), StopSignal()
    resolved, settings = resolve_target(
        target,
        _connect_options(endpoint, connecting, options),
        file_name=source.name if source is not None else None,
    )
    request = UploadRequest(source or NO_SOURCE, resolved, options=options, content_md5=content_md5, **more)
    return UploadContext(_connect(settings, credentials, tally, stop), request, tally, stop)

"""The public Python API: one call that uploads a file, its steps one by one, and the Uploader beneath."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing, nullcontext
from io import BytesIO
from pathlib import Path
from typing import Any

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
    "Result",
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


# Stands in an request for a source that is not known; nothing reads it.
NO_SOURCE = Path("-")


class _Given:
    """Credentials that the caller holds."""

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
    **request: Any,
) -> Result:
    """Upload the file *source* to *target* (``BUCKET/KEY``), resuming what an earlier call began.

    *source* is a path, or an object open for reading bytes: a file, a pipe, an answer of a web server. An object is
    read once, in bounded memory, from where it stands to its end, and then closed unless *close* is false.

    *endpoint* is the store's URL; without it OBSUP_ENDPOINT. *parts* or *part_size* (bytes; default 9 MiB, grown
    where 10,000 parts would not do) decide how the file is cut; *jobs* parts are in flight at once (``auto``:
    5, and up to 32 while that pays), together no faster than *limit_rate* bytes a second. *progress* is called
    with (transferred bytes, total bytes, seconds), *observer* with every event. Without *credentials* they are
    found as the command line finds them. Further keywords are those of UploadRequest.

    Returns once the object is in place and proved. Raises ObsupError: its ``exit_code`` is the command line's,
    and where ``retryable`` is true the same call goes on with what is stored.
    Source: OBS SDK for Python, "Uploading an Object - Resumable" (uploadFile).
    """
    path = Path(source) if isinstance(source, str | os.PathLike) else Path("-")
    stream = None if isinstance(source, str | os.PathLike) else FileObject(source, close=close)
    options = options or ObjectOptions()
    connecting = _connecting(endpoint, connecting, options)
    tally = ProgressTally(progress, observer)
    stop = stop or StopSignal()
    limit = RateLimit(limit_rate, check=stop.check_in_flight) if limit_rate is not None else None
    with closing(stream) if stream is not None else nullcontext():
        named, settings = resolve_target(target, connecting, file_name=None if stream else path.name)
        wanted = UploadRequest(
            path,
            named,
            options=options,
            parts=parts,
            part_size=part_size,
            jobs=jobs,
            **request,
        )
        connection = connect(
            settings,
            observe=tally,
            sleep=stop.sleep,
            credentials=_Given(credentials) if credentials is not None else None,
        )
        if stream is not None:
            return StreamUploader(connection, wanted, stream, tally=tally, stop=stop, limit=limit).run()
        return Uploader(connection, wanted, tally=tally, stop=stop, limit=limit).run()


def initiate_upload(
    target: str,
    *,
    endpoint: str | None = None,
    credentials: Credentials | None = None,
    options: ObjectOptions | None = None,
    connecting: ConnectOptions | None = None,
    **request: Any,
) -> str:
    """Initiate an upload to *target* and return its upload id; nothing is sent yet.

    Arguments and errors are those of ``upload_file``.
    Source: OBS SDK for Python, "Initiating a Multipart Upload" (initiateMultipartUpload).
    """
    context = _open_context(
        target, endpoint, connecting, credentials, options=options or ObjectOptions(), **request
    )
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
    **request: Any,
) -> Stored:
    """Send one part of the upload *upload_id* of *target*, and return what the store answered, once it is proved.

    *source* is a path, of which the part is *part_size* bytes (fewer at its end) from *offset*, or the part that
    *parts* or *part_size* alone make of it; or bytes; or an object open for reading bytes, of which the next
    *part_size* bytes are taken, not one more, and which is closed unless *close* is false. With *md5* (Base64 of
    the 16 bytes) other bytes are not sent; *content_md5* sends the digest that is computed. Without *upload_id* the
    checkpoint of a path tells. Raises ObsupError as ``upload_file`` does; what is stored stays.
    Source: OBS SDK for Python, "Uploading a Part" (uploadPart).
    """
    tally = ProgressTally(progress, observer)
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        request |= {"source": path, "content_md5": content_md5}
        context = _open_context(target, endpoint, connecting, credentials, tally=tally, **request)
        selector = UploadSelector(context.request.target, path, upload_id, context.request.checkpoint)
        return part_steps.send_one(
            context, selector, part_number, PartWindow(parts, part_size, offset), md5=md5
        ).stored
    size = len(source) if isinstance(source, bytes) else part_size
    if size is None or offset is not None or parts is not None:
        raise WrongUsage(
            "a part of an object needs part_size, and neither offset nor parts",
            "The object is read from its current position, and its size is unknown",
            NextStep("pass part_size only"),
        )
    with closing(FileObject(BytesIO(source) if isinstance(source, bytes) else source, close=close)) as stream:
        context = _open_context(
            target, endpoint, connecting, credentials, tally=tally, content_md5=content_md5, **request
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
    **request: Any,
) -> Result:
    """Assemble the upload *upload_id* of *target*, or that of the checkpoint of *source*, and prove the object.

    The store's list of parts is the list. Raises DataMismatch, with the upload left as it is, for a gap, a count
    other than *parts*, a sum other than *size* bytes (or the size of *source*), and ETags other than *etags*, by
    part number; *verify_source* compares every part with *source*.
    Source: OBS SDK for Python, "Assembling Parts" (completeMultipartUpload).
    """
    path = Path(source) if source is not None else None
    request |= {"source": path or NO_SOURCE, "options": options or ObjectOptions()}
    context = _open_context(target, endpoint, connecting, credentials, **request)
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
    **request: Any,
) -> None:
    """Give up the upload *upload_id* of *target*, or that of the checkpoint of *source*; a second time succeeds too.

    Source: OBS SDK for Python, "Aborting a Multipart Upload" (abortMultipartUpload).
    """
    path = Path(source) if source is not None else None
    context = _open_context(target, endpoint, connecting, credentials, source=path or NO_SOURCE, **request)
    abort_selected(
        context, UploadSelector(context.request.target, path, upload_id, context.request.checkpoint)
    )


def _connecting(
    endpoint: str | None, connecting: ConnectOptions | None, options: ObjectOptions
) -> ConnectOptions:
    connecting = connecting or ConnectOptions(endpoint=endpoint or os.environ.get("OBSUP_ENDPOINT"))
    return replace(connecting, headers=connecting.headers or options.headers)


def _open_context(
    target: str,
    endpoint: str | None,
    connecting: ConnectOptions | None,
    credentials: Credentials | None,
    *,
    source: Path = NO_SOURCE,
    tally: ProgressTally | None = None,
    **request: Any,
) -> UploadContext:
    """Return what every step needs, at an open store."""
    connecting = _connecting(endpoint, connecting, request.get("options", ObjectOptions()))
    tally, stop = tally or ProgressTally(None), StopSignal()
    file_name = source.name if source != NO_SOURCE else None
    named, settings = resolve_target(target, connecting, file_name=file_name)
    connection = connect(
        settings,
        observe=tally,
        sleep=stop.sleep,
        credentials=_Given(credentials) if credentials is not None else None,
    )
    return UploadContext(connection, UploadRequest(source, named, **request), tally, stop)

"""``upload_file``: upload a file or an open object in one call."""

from __future__ import annotations

import os
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Unpack, cast

from obsup.api.call import opened, public
from obsup.api.keywords import File, UploadKeywords
from obsup.api.values import path_value, wrong_type
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.result import Result
from obsup.engine.stream.uploader import StreamUploader
from obsup.engine.upload.uploader import Uploader
from obsup.local.source.file_object import FileObject, Readable


@public(UploadKeywords)
def upload_file(
    source: File | Readable, target: str, *, close: bool = True, **more: Unpack[UploadKeywords]
) -> Result:
    """Upload *source* to *target* (``BUCKET/KEY``), and resume what an earlier call started.

    *source* is a path, or an object open for reading bytes: a file, a pipe, a response of a web server. Such an object
    is read once, in bounded memory, from its current position to its end, and closed unless *close* is false. If it
    states its size (``length``, ``total``, ``size``, ``nbytes``, ``len()``, Content-Length), an object of another size
    is not published (DataMismatch).
    *progress* is called with (transferred bytes, total bytes, seconds), *observer* with every event. The keywords are
    the long options of the command, with ``_`` for ``-``: see ``UploadKeywords`` and obsup-python(7).

    Returns once the object is complete and verified. Raises ObsupError: its ``exit_code`` is that of the command line;
    if ``retryable`` is true, the same call resumes the upload.
    Source: OBS SDK for Python, "Uploading an Object - Resumable" (uploadFile).
    """
    is_path = isinstance(source, str | os.PathLike)
    if not is_path and not callable(getattr(source, "read", None)):
        raise wrong_type("source", "a path, or an object with read", source)
    path = path_value("source", source) if is_path else None
    stream = None if is_path else FileObject(cast(Readable, source), close=close)
    with (
        closing(stream) if stream is not None else nullcontext(),
        opened(upload_file, target, more, source=path, reads=_file_of(source)) as context,
    ):
        tally = cast(ProgressTally, context.observe)
        uploader = (
            Uploader(context.connection, context.request, tally=tally, stop=context.stop, limit=context.limit)
            if stream is None
            else StreamUploader(
                context.connection,
                context.request,
                stream,
                tally=tally,
                stop=context.stop,
                limit=context.limit,
            )
        )
        return uploader.run()


def _file_of(reader: object) -> Path | None:
    """Return the path of the file that *reader* reads, if it tells one."""
    name = getattr(reader, "name", None)
    return Path(name) if isinstance(name, str) else None

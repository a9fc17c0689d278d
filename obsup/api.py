"""The public Python API: one call that uploads a file, and the Uploader beneath it."""

from __future__ import annotations

import os
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

from obsup import events
from obsup.engine.connect import Connection, StoreSettings, connect
from obsup.engine.order import Jobs, Order, Result
from obsup.engine.progress import Tally
from obsup.engine.settings import Connecting, settle_target
from obsup.engine.stop import StopSignal
from obsup.engine.stream import StreamUploader
from obsup.engine.uploader import Uploader
from obsup.events import ProgressCallback
from obsup.local.expectation import Expectation
from obsup.local.rate import RateLimit
from obsup.local.stream_source import FileObject, Readable
from obsup.model import Credentials, ObjectOptions, Target

__all__ = [
    "Connecting",
    "Connection",
    "Credentials",
    "Expectation",
    "ObjectOptions",
    "Order",
    "Readable",
    "Result",
    "StopSignal",
    "StoreSettings",
    "StreamUploader",
    "Target",
    "Uploader",
    "connect",
    "upload_file",
]


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
    connecting: Connecting | None = None,
    stop: StopSignal | None = None,
    limit_rate: float | None = None,
    close: bool = True,
    **order: Any,
) -> Result:
    """Upload the file *source* to *target* (``BUCKET/KEY``), resuming what an earlier call began.

    *source* is a path, or an object open for reading bytes: a file, a pipe, an answer of a web server. An object is
    read once, in bounded memory, from where it stands to its end, and then closed unless *close* is false.

    *endpoint* is the store's URL; without it OBSUP_ENDPOINT. *parts* or *part_size* (bytes; default 9 MiB, grown
    where 10,000 parts would not do) decide how the file is cut; *jobs* parts are in flight at once (``auto``:
    5, and up to 32 while that pays), together no faster than *limit_rate* bytes a second. *progress* is called
    with (transferred bytes, total bytes, seconds), *observer* with every event. Without *credentials* they are
    found as the command line finds them. Further keywords are those of Order.

    Returns once the object is in place and proved. Raises ObsupError: its ``exit_code`` is the command line's,
    and where ``retryable`` is true the same call goes on with what is stored.
    Source: OBS SDK for Python, "Uploading an Object - Resumable" (uploadFile).
    """
    path = Path(source) if isinstance(source, str | os.PathLike) else Path("-")
    stream = None if isinstance(source, str | os.PathLike) else FileObject(source, close=close)
    connecting = connecting or Connecting(endpoint=endpoint or os.environ.get("OBSUP_ENDPOINT"))
    tally = Tally(progress, observer)
    stop = stop or StopSignal()
    limit = RateLimit(limit_rate, check=stop.cut) if limit_rate is not None else None
    with closing(stream) if stream is not None else nullcontext():
        named, settings = settle_target(target, connecting, file_name=None if stream else path.name)
        wanted = Order(
            path,
            named,
            options=options or ObjectOptions(),
            parts=parts,
            part_size=part_size,
            jobs=jobs,
            **order,
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

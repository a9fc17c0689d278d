"""A part sent from another process or another machine: what travels there, and what is done with it there.

No secret travels: a worker finds its own credentials, or is given the signed URL of its one part.
"""

from __future__ import annotations

import threading
import time
from functools import lru_cache
from pathlib import Path

from obsup.engine.job.connection import Connection, StoreSettings, connect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.result import Finished
from obsup.engine.job.send_options import SendOptions
from obsup.engine.job.stop import StopSignal
from obsup.engine.send.content import send_content
from obsup.engine.send.part import PartToSend
from obsup.engine.send.remote_report import WorkerReport, note_event, report_of
from obsup.engine.send.whole_object import put_file
from obsup.errors import SourceUnreadable
from obsup.local.source.file import FileWindow, check_same_file, stat_source
from obsup.local.source.rate_limit import RateLimit
from obsup.model import Credentials, Receipt, SourceStat, Stored, Upload
from obsup.store.answers.server_clock import ServerClock
from obsup.store.http.body import OpenBody
from obsup.store.http.settings import ConnectionSettings
from obsup.store.http.transport import Transport
from obsup.store.interface import PartStore
from obsup.store.presigned import PresignedPart, PresignedStore
from obsup.store.retrying import Attempts, FailureRemedies, RetryPolicy
from obsup.value import Value


class PartTask(Value):
    """One part for a worker elsewhere: the part, the store, and the signed URL where the worker holds no keys.

    ``rate_bytes_per_s`` is this part's share of the rate limit.
    """

    job: PartToSend
    settings: StoreSettings
    presigned: PresignedPart | None = None
    rate_bytes_per_s: float | None = None


def run_part_task(remote: PartTask) -> WorkerReport:
    """Send the part from here, once this host is seen to see the same file, and give account of it.

    Failures are SourceUnreadable and SourceChanged where this host sees no file, or another one; and those that
    ``send_content`` raises.
    """
    return report_of(lambda: _send(remote))


def _find_file(path: Path, planned: SourceStat) -> SourceStat:
    """Return the identity that the file has for this host. Raises SourceUnreadable, SourceChanged."""
    try:
        seen = stat_source(path)
    except SourceUnreadable as exc:
        raise SourceUnreadable(
            exc.what, exc.why, "keep the source on storage that every worker sees under the same path"
        ) from exc
    check_same_file(path, planned, seen)
    return seen


def _send(remote: PartTask) -> Receipt:
    job = remote.job
    path = Path(job.path)
    seen = _find_file(path, job.stat)
    # From here on this host's own view is what must not change.
    window = FileWindow(path, job.part, seen)
    rate = remote.rate_bytes_per_s
    send_options = SendOptions(
        job.digests, job.content_md5, observe=note_event, gate=RateLimit(rate) if rate else None
    )
    return send_content(window, job.upload, _open_store(remote), send_options)


class ObjectTask(Value):
    """One small file for a worker elsewhere: its order, its identity as planned, and its share of the rate limit."""

    order: UploadRequest
    settings: StoreSettings
    stat: SourceStat
    rate_bytes_per_s: float | None = None


def run_object_task(remote: ObjectTask) -> WorkerReport:
    """Send the file from this host after checking that it is the same file; return a report."""
    return report_of(lambda: _put(remote))


def _put(remote: ObjectTask) -> Finished:
    seen = _find_file(remote.order.source, remote.stat)
    rate = remote.rate_bytes_per_s
    limit = RateLimit(rate) if rate else None
    task = UploadContext(_connection(remote.settings), remote.order, note_event, StopSignal(), limit)
    return put_file(task, seen)


def _open_store(remote: PartTask) -> PartStore:
    settings = remote.settings
    if remote.presigned is None:
        return _connection(settings).store
    inner = PresignedStore(settings.dialect, _transport(settings.line), remote.presigned, note_event)
    return _PatientStore(inner, RetryPolicy(retry_for_s=settings.retry_for_s, sleep=_sleep))


_opening = threading.Lock()


def _connection(settings: StoreSettings) -> Connection:
    """Return this process's connection for *settings*: one, however many parts and threads."""
    with _opening:
        return _connect_once(settings)


@lru_cache(maxsize=8)
def _connect_once(settings: StoreSettings) -> Connection:
    return connect(settings, sleep=_sleep, observe=note_event)


def _transport(line: ConnectionSettings) -> Transport:
    """Return this process's line."""
    with _opening:
        return _open_line_once(line)


@lru_cache(maxsize=8)
def _open_line_once(line: ConnectionSettings) -> Transport:
    return Transport(line)


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


class _NoKeys:
    """The credentials of a worker that holds none."""

    def current(self) -> Credentials:
        return Credentials("", "")

    def refresh(self, stale: Credentials) -> Credentials:
        return stale


class _PatientStore:
    """A PartStore that tries again, without keys or clock to mend."""

    def __init__(self, inner: PartStore, policy: RetryPolicy) -> None:
        self._inner = inner
        self._policy = policy

    def upload_part(
        self, upload: Upload, part_number: int, open_body: OpenBody, *, content_md5: str | None = None
    ) -> Stored:
        attempts = Attempts(self._policy, FailureRemedies(_NoKeys(), ServerClock()), note_event)

        def send() -> Stored:
            return self._inner.upload_part(upload, part_number, open_body, content_md5=content_md5)

        return attempts.run(send, doing=f"part {part_number} of {upload.target}", part_number=part_number)

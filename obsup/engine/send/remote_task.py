"""A part sent from another process or another machine: what travels there, and what is done with it there.

No secret travels: a worker finds its own credentials, or is given the signed URL of its one part.
"""

from __future__ import annotations

import threading
import time
from functools import lru_cache
from pathlib import Path

from obsup.engine.job.connection import Connection, StoreSettings, connect
from obsup.engine.job.context import Task
from obsup.engine.job.request import Order
from obsup.engine.job.result import Finished
from obsup.engine.job.send_options import Manner
from obsup.engine.job.stop import StopSignal
from obsup.engine.send.content import send_content
from obsup.engine.send.part import PartJob
from obsup.engine.send.remote_report import Account, give_account, hear
from obsup.engine.send.whole_object import put_file
from obsup.errors import SourceUnreadable
from obsup.frozen import frozen
from obsup.local.source.file import FileWindow, check_same_file, stat_source
from obsup.local.source.rate_limit import RateLimit
from obsup.model import Credentials, Receipt, SourceStat, Stored, Upload
from obsup.store.answers.server_clock import ServerClock
from obsup.store.http.body import OpenBody
from obsup.store.http.settings import LineSettings
from obsup.store.http.transport import Transport
from obsup.store.interface import PartStore
from obsup.store.presigned import PresignedPart, PresignedStore
from obsup.store.retrying import Attempts, Patience, Remedies


@frozen
class RemoteJob:
    """One part for a worker elsewhere: the part, the store, and the signed URL where the worker holds no keys.

    ``rate_bytes_per_s`` is this part's share of the rate limit.
    """

    job: PartJob
    settings: StoreSettings
    presigned: PresignedPart | None = None
    rate_bytes_per_s: float | None = None


def run_remote(remote: RemoteJob) -> Account:
    """Send the part from here, once this host is seen to see the same file, and give account of it.

    Failures are SourceUnreadable and SourceChanged where this host sees no file, or another one; and those that
    ``send_content`` raises.
    """
    return give_account(lambda: _send(remote))


def _see(path: Path, planned: SourceStat) -> SourceStat:
    """Return the identity that the file has for this host. Raises SourceUnreadable, SourceChanged."""
    try:
        seen = stat_source(path)
    except SourceUnreadable as exc:
        raise SourceUnreadable(
            exc.what, exc.why, "keep the source on storage that every worker sees under the same path"
        ) from exc
    check_same_file(path, planned, seen)
    return seen


def _send(remote: RemoteJob) -> Receipt:
    job = remote.job
    path = Path(job.path)
    seen = _see(path, job.stat)
    # From here on this host's own view is what must not change.
    window = FileWindow(path, job.part, seen)
    rate = remote.rate_bytes_per_s
    manner = Manner(job.proving, job.content_md5, observe=hear, gate=RateLimit(rate) if rate else None)
    return send_content(window, job.upload, _open_store(remote), manner)


@frozen
class RemotePut:
    """One small file for a worker elsewhere: its order, its identity as planned, and its share of the rate limit."""

    order: Order
    settings: StoreSettings
    stat: SourceStat
    rate_bytes_per_s: float | None = None


def run_put(remote: RemotePut) -> Account:
    """Put the file from here, once this host is seen to see the same one, and give account as ``run_remote`` does."""
    return give_account(lambda: _put(remote))


def _put(remote: RemotePut) -> Finished:
    seen = _see(remote.order.source, remote.stat)
    rate = remote.rate_bytes_per_s
    limit = RateLimit(rate) if rate else None
    task = Task(_connection(remote.settings), remote.order, hear, StopSignal(), limit)
    return put_file(task, seen)


def _open_store(remote: RemoteJob) -> PartStore:
    settings = remote.settings
    if remote.presigned is None:
        return _connection(settings).store
    inner = PresignedStore(settings.dialect, _transport(settings.line), remote.presigned, hear)
    return _PatientStore(inner, Patience(retry_for_s=settings.retry_for_s, sleep=_sleep))


_opening = threading.Lock()


def _connection(settings: StoreSettings) -> Connection:
    """Return this process's connection for *settings*: one, however many parts and threads."""
    with _opening:
        return _connect_once(settings)


@lru_cache(maxsize=8)
def _connect_once(settings: StoreSettings) -> Connection:
    return connect(settings, sleep=_sleep, observe=hear)


def _transport(line: LineSettings) -> Transport:
    """Return this process's line."""
    with _opening:
        return _open_line_once(line)


@lru_cache(maxsize=8)
def _open_line_once(line: LineSettings) -> Transport:
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

    def __init__(self, inner: PartStore, patience: Patience) -> None:
        self._inner = inner
        self._patience = patience

    def upload_part(
        self, upload: Upload, part_number: int, open_body: OpenBody, *, content_md5: str | None = None
    ) -> Stored:
        attempts = Attempts(self._patience, Remedies(_NoKeys(), ServerClock()), hear)

        def send() -> Stored:
            return self._inner.upload_part(upload, part_number, open_body, content_md5=content_md5)

        return attempts.run(send, doing=f"part {part_number} of {upload.target}", part_number=part_number)

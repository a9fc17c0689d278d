"""A part sent from another process or another machine: what travels there, and what is done with it there.

No secret travels: a worker finds its own credentials, or is given the signed URL of its one part.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from obsup.engine.account import Account, give_account, hear
from obsup.engine.connect import Connection, StoreSettings, connect
from obsup.engine.finish import Finished
from obsup.engine.order import Order
from obsup.engine.single import put_file
from obsup.engine.stop import StopSignal
from obsup.engine.task import Task
from obsup.engine.worker import Manner, PartJob, send_content
from obsup.errors import SourceChanged, SourceUnreadable
from obsup.frozen import frozen
from obsup.local.rate import RateLimit
from obsup.local.source import FileWindow, changes, stat_source
from obsup.model import Credentials, Receipt, SourceStat, Stored, Upload
from obsup.quoting import quoted
from obsup.store.clock import ServerClock
from obsup.store.presigned import PresignedPart, PresignedStore
from obsup.store.retry import Attempts, Patience, Remedies
from obsup.store.store import OpenBody, PartStore
from obsup.store.transport import LineSettings, Transport


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


def check_same_file(path: Path, planned: SourceStat, seen: SourceStat) -> None:
    """Raise SourceChanged where this host does not see the file that was planned.

    Hosts number their devices differently, and network file systems may not agree on inodes and change times:
    under another device number, size and modification time have to do.
    """
    if planned.device != seen.device:
        planned = replace(planned, device=seen.device, inode=seen.inode, ctime_ns=seen.ctime_ns)
    found = changes(planned, seen)
    if found:
        raise SourceChanged(
            f"{quoted(path)} is not the file that the upload was begun with",
            f"what differs: {', '.join(found)}; an object must not mix two versions of its source",
            "keep the source on storage that every worker sees; if it changed, begin again with --restart",
        )


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

"""What is sent to a remote worker and back: tasks for one part or one small file, and the worker's report.

A task holds no secret: the worker finds its own credentials, or gets the signed URL of this one part.
"""

from __future__ import annotations

import os
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.connection import Connection, StoreSettings, connect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.result import Finished
from obsup.engine.job.send_options import REJECTS_CHECKSUMS, SendOptions, parts_confirm
from obsup.engine.job.stop import StopSignal
from obsup.engine.proof.encryption import RequestedEncryption
from obsup.engine.send.part import PartToSend, send_content
from obsup.engine.send.whole_object import put_file
from obsup.engine.verify.etag_trial import as_content_md5
from obsup.errors import NextStep, ObsupError, SourceChanged, SourceUnreadable, run_again
from obsup.local.source.digest import Gate, PartDigest
from obsup.local.source.expectation import SourceDigests
from obsup.local.source.file import FileWindow, hash_part
from obsup.local.source.identity import (
    check_same_file,
    content_changed,
    ignore_times,
    ignores_times,
    is_same_file,
    stat_source,
)
from obsup.local.source.memory_part import read_part
from obsup.local.source.rate_limit import RateLimit
from obsup.model import Credentials, Part, Receipt, SourceStat, Stored
from obsup.rate import Rate
from obsup.store.answers.checksums import has_checksum
from obsup.store.http.transport import Transport
from obsup.store.interface import FixedCredentials
from obsup.store.presigned import PresignedRequest
from obsup.store.retrying import sleep
from obsup.text import quoted
from obsup.value import Value

# The size limit of a report. The last event is always kept, because it shows how the task ended.
MAX_EVENTS = 64


class PartTask(Value):
    """One part for a remote worker. ``presigned`` is its signed URL, or None if the worker has its own credentials.

    ``rate`` is this task's share of the rate limit. ``is_local``: the worker sees the files of the driver's host.
    """

    to_send: PartToSend
    settings: StoreSettings
    presigned: PresignedRequest | None = None
    rate: Rate | None = None
    is_local: bool = False


class ObjectTask(Value):
    """One small file for a remote worker: the request, identity and digests of the file, share of the rate limit.

    ``is_local`` and ``presigned`` as in PartTask, ``since_s`` as in UploadContext.
    """

    request: UploadRequest
    settings: StoreSettings
    stat: SourceStat
    since_s: float
    rate: Rate | None = None
    source_digests: SourceDigests | None = None
    is_local: bool = False
    presigned: PresignedRequest | None = None


class WorkerReport(Value):
    """The result of a task, or its failure, and the events in the order they happened.

    Of a file with a signed URL, the result is the response, which the driver verifies. ``worker`` is from
    ``name_of_worker``. The failure is returned, not raised: raising it would lose the events.
    """

    result: Receipt | Finished | Stored | None = None
    failure: ObsupError | None = None
    recorded: tuple[events.Event, ...] = ()
    worker: str = ""


def run_pickled(call: Callable[[Any], Any], argument: Any) -> bytes:
    """Return the pickled result of *call*. With a result that the driver cannot read, Dask would never end the call."""
    return pickle.dumps(call(argument))


def run_part_task(task: PartTask) -> WorkerReport:
    """Check that this host sees the same file, send the part, and return a report.

    Failures are SourceUnreadable, SourceChanged, and those that ``send_content`` raises.
    """
    return _report_of(lambda: _send_part(task))


def run_object_task(task: ObjectTask) -> WorkerReport:
    """Check that this host sees the same file, send it in one request, and return a report."""
    return _report_of(lambda: _put_object(task))


def _send_part(task: PartTask) -> Receipt:
    to_send = task.to_send
    path = Path(to_send.path)
    # From here on, the file must not change as this host sees it.
    stat = to_send.stat if task.is_local else _stat_same_file(path, to_send.stat, to_send.link_free)
    is_unproven = not is_same_file(to_send.stat, stat)
    window = FileWindow(path, to_send.part, stat)
    send_options = SendOptions(
        replace(to_send.digests, crc64=True) if is_unproven else to_send.digests,
        to_send.content_md5,
        observe=record_event,
        gate=set_thread_limit(task.rate),
    )
    connection = (
        _connection(task.settings)
        if task.presigned is None
        else presigned_connection(task.settings, task.presigned)
    )
    key_md5 = connection.customer_key_md5
    encryption = RequestedEncryption(customer_key_md5=key_md5) if key_md5 else None
    learned, attempts = connection.learned, connection.attempts
    send_options = replace(send_options, learned=learned, attempts=attempts, encryption=encryption)
    if to_send.encryption is not None:
        send_options.learned.add(parts_confirm(to_send.upload.target, to_send.encryption))
        send_options = replace(send_options, encryption=to_send.encryption)
    receipt = send_content(window, to_send.upload, connection.store, send_options)[1]
    return replace(receipt, is_unproven=is_unproven)


def _put_object(task: ObjectTask) -> Finished | Stored:
    request, stat = task.request, task.stat
    if not task.is_local:
        stat = _stat_same_file(request.source, stat, request.link_free)
    limit = set_thread_limit(task.rate)
    if task.presigned is not None:
        return _put_presigned(task.presigned, task, stat, limit)
    context = UploadContext(_connection(task.settings), request, record_event, StopSignal(), limit)
    context = replace(context, source_digests=task.source_digests, since_s=task.since_s)
    return put_file(context, stat)


def _put_presigned(
    presigned: PresignedRequest, task: ObjectTask, stat: SourceStat, gate: RateLimit | None
) -> Stored:
    """Send the file if it has the MD5 that is signed. Raises SourceChanged if it does not."""
    source, headers = Path(task.request.source), dict(presigned.headers)
    content = read_part(FileWindow(source, Part(1, 0, stat.size), stat), PartDigest(md5=True))
    if as_content_md5(content.md5()) != headers["Content-MD5"]:
        raise content_changed(source)
    store = presigned_connection(task.settings, presigned).store
    return store.put_object(task.request.target, lambda: content.open(gate=gate), headers)


def _stat_same_file(path: Path, planned: SourceStat, link_free: int) -> SourceStat:
    """Return the identity of the file on this host. Raises SourceUnreadable, or SourceChanged if it is another file."""
    try:
        stat = stat_source(path, link_free)
    except SourceUnreadable as exc:
        step = NextStep("keep the source on storage that every worker sees under the same path")
        raise SourceUnreadable(exc.what, exc.why, step) from exc
    check_same_file(path, planned, stat)
    return ignore_times(stat) if ignores_times(planned) else stat


class _Thread(threading.local):
    """The rate limit of a thread, the events of the task that it runs, and how many are recorded at most."""

    limit: RateLimit | None = None
    recorded: list[events.Event] | None = None
    most: int | None = None


# All threads of a worker share one connection, and with it one observer; each thread runs one task at a time.
_thread = _Thread()


def set_thread_limit(rate: Rate | None) -> RateLimit | None:
    """Return the limit of this thread, with *rate* from now on: what one task sent too fast delays the next one."""
    if rate is None:
        _thread.limit = None
        return None
    if _thread.limit is None:
        _thread.limit = RateLimit(rate)
    _thread.limit.rate = rate
    return _thread.limit


@contextmanager
def sharing_limit(limit: RateLimit | None) -> Iterator[None]:
    """Apply *limit*, that of another thread, to the calling thread while inside."""
    previous, _thread.limit = _thread.limit, limit
    try:
        yield
    finally:
        _thread.limit = previous


def limit_of_thread(size: int) -> int:
    """Apply the limit of the calling thread, for a context that threads share. See ``UploadContext.limit``."""
    return size if _thread.limit is None else _thread.limit(size)


def record_event(event: events.Event) -> None:
    """Record *event* for the report of this thread's task: requests, retries and notices, but not progress."""
    recorded = _thread.recorded
    if recorded is None:
        return
    inner = events.of_one(event)
    if isinstance(inner, events.Requested):
        inner = replace(inner, host=socket.gethostname())
        event = replace(event, event=inner) if isinstance(event, events.OfFile) else inner
    if isinstance(inner, events.Requested | events.Retried | events.Noted):
        if _thread.most is not None:
            del recorded[_thread.most - 1 :]
        recorded.append(event)


@contextmanager
def recording_events(
    recorded: list[events.Event], *, most: int | None = MAX_EVENTS
) -> Iterator[list[events.Event]]:
    """Append the events of this thread to *recorded* while inside, at most *most*."""
    _thread.recorded, _thread.most = recorded, most
    try:
        yield recorded
    finally:
        _thread.recorded = None


def _report_of(work: Callable[[], Receipt | Finished | Stored]) -> WorkerReport:
    """Run *work* and return its report."""
    with recording_events([]) as recorded:
        try:
            return WorkerReport(work(), recorded=tuple(recorded), worker=name_of_worker())
        except ObsupError as exc:
            failure = with_host(exc)
    return WorkerReport(failure=failure, recorded=tuple(recorded))


def compared_here(part: PartToSend, report: WorkerReport, gate: Gate | None) -> Receipt:
    """Return the receipt of *report* if it is for the bytes of *part* on this host. Raises SourceChanged if not."""
    receipt, path = report.result, Path(part.path)
    assert isinstance(receipt, Receipt)
    digest = hash_part(path, part.part, part.stat, PartDigest(crc64=True), gate)
    if digest.crc64 == receipt.crc64:
        return replace(receipt, is_unproven=False)
    hosts = [event.host for event in report.recorded if isinstance(event, events.Requested)]
    where = f"the worker on host {hosts[-1]}" if hosts else "a worker"
    raise SourceChanged(
        f"part {part.part.number} of {part.upload.target} was read from another file than {quoted(path)}",
        f"Under this path, {where} sees a file of the same size and modification time with other content",
        run_again("keep the source on storage that every worker sees under the same path"),
    )


def name_of_worker() -> str:
    """Return the name of this process among all workers."""
    return f"process {os.getpid()} on host {socket.gethostname()}"


def with_host(failure: ObsupError) -> ObsupError:
    """Return a copy of *failure* that names this host and has no cause, which could hold a signed URL."""
    why = f"{failure.why} (on host {socket.gethostname()})".lstrip()
    return type(failure)(failure.what, why, failure.next_step, failure.refusal)


# All threads of a worker share a connection: the lock keeps two of them from opening the same one.
_open_lock = threading.Lock()
_open_transport_once = lru_cache(maxsize=8)(Transport)


@lru_cache(maxsize=8)
def _connect_once(settings: StoreSettings) -> Connection:
    return connect(settings, sleep=sleep, observe=record_event)


def _connection(settings: StoreSettings) -> Connection:
    with _open_lock:
        return _connect_once(settings)


def presigned_connection(settings: StoreSettings, *presigned: PresignedRequest) -> Connection:
    """Return a connection that can send only the *presigned* requests, and needs no credentials.

    It sends no checksums if none is signed.
    """
    with _open_lock:
        transport = _open_transport_once(settings.bounded_network)
    connection = connect(
        settings,
        sleep=sleep,
        observe=record_event,
        credentials=FixedCredentials(Credentials("", "", origin="the host that signed the URL")),
        presigned=presigned,
        transport=transport,
    )
    names = connection.store.dialect.headers
    if not any(has_checksum(names, one.headers) for one in presigned):
        connection.learned.add(REJECTS_CHECKSUMS)
    return connection

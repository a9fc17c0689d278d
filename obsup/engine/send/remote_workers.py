"""Workers in other processes or on other hosts that send parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from obsup import events
from obsup.dialects.endpoints import is_vendor_host
from obsup.engine.job.connection import StoreSettings
from obsup.engine.job.context import UploadContext
from obsup.engine.job.executor_spec import check_spec, parse_dask
from obsup.engine.job.result import Finished
from obsup.engine.send.backends import Attempt, FixedBackend, WorkerBackend, WorkerCall, mpi_backend
from obsup.engine.send.part import PartToSend
from obsup.engine.send.remote_task import (
    ObjectTask,
    PartTask,
    WorkerReport,
    compared_here,
    run_object_task,
    run_part_task,
)
from obsup.engine.send.worker_failures import as_obsup_error, may_be_of_worker, report_throttling
from obsup.engine.verify.worker_objects import WorkerObjects
from obsup.errors import (
    Denied,
)
from obsup.local.processes.pool import ProcessPool
from obsup.local.source.digest import Gate
from obsup.local.source.expectation import Expectation
from obsup.local.source.file import FileWindow
from obsup.local.source.rate_limit import RateLimit
from obsup.model import Receipt, SourceStat, Stored, Target
from obsup.rate import Rate
from obsup.store.http.body import BodyDigests
from obsup.store.presigned import PresignedRequest, UrlSigner

# A part fails after so many workers died while they sent it: the part may be what kills them.
MAX_LOST_WORKERS = 3

# How many parts are compared at once with the file of this host.
MAX_COMPARISONS = 4

# A part or a file fails after so many workers failed to send it: then it is not their fault.
MAX_FAILED_WORKERS = 3


class _TaskFuture(Future[Any]):
    """The future of a task that may take several attempts.

    It can be cancelled only while no worker has started the current attempt: otherwise a receipt could be lost.
    """

    attempt: Future[Any] | None = None
    is_cancelled = False

    def cancel(self) -> bool:
        """Cancel the task if it has not started; return whether it was cancelled."""
        if self.attempt is None:
            return False
        self.is_cancelled = True
        if self.attempt.cancel():
            return super().cancel()
        self.is_cancelled = False
        return False


@dataclass(slots=True)
class _PendingTask:
    """One part or one small file that a worker sends.

    *make_call* returns the call for one attempt, with a share of the rate limit. *what* names the task in messages.
    *observe* gets the events of all attempts. *part* is what a worker sends unless it is a whole file, and *target*
    that of the file. *failed* are the workers that could not send it.
    """

    what: str
    number: int
    make_call: Callable[[float], WorkerCall]
    observe: events.Observer
    part: PartToSend | None = None
    target: Target | None = None
    future: _TaskFuture = field(default_factory=_TaskFuture)
    lost_workers: int = 0
    was_denied: bool = False
    failed: dict[str, BaseException] = field(default_factory=dict)


class RemoteWorkers:
    """Workers in other processes. If a worker dies, another sends its part. Progress is reported per part.

    A worker that fails to send what another one can send gets no more work, if the backend chooses workers. *signer*
    signs a URL for each attempt. The workers share the rate limit. Futures complete
    in threads of the backend's executor. If nothing shows that a worker sees the same file, what it sent is compared
    with the file of this host; *read_gate* is called before each block is read for that.
    """

    def __init__(
        self,
        backend: WorkerBackend,
        settings: StoreSettings,
        *,
        signer: UrlSigner | None = None,
        rate: Rate | None = None,
        observe: events.Observer = events.ignore,
        read_gate: Gate | None = None,
        objects: WorkerObjects | None = None,
    ) -> None:
        self._backend = backend
        self.objects = objects or WorkerObjects(None, lambda _: None)
        self.settings = settings
        self._signer = signer
        self._rate = rate
        self._observe = observe
        self._read_gate = read_gate
        self._comparing = ThreadPoolExecutor(MAX_COMPARISONS, thread_name_prefix="compare")

    @property
    def size(self) -> int:
        return self._backend.size

    @property
    def is_local(self) -> bool:
        """Whether the workers see the files of this host."""
        return self._backend.is_local

    def _rate_of(self, share: float) -> Rate | None:
        return self._rate.divided(1 / share) if self._rate is not None else None

    def send(self, part: PartToSend, observe: events.Observer | None = None) -> Future[Receipt]:
        """See Workers. *observe* gets the events of this part instead of the common observer."""
        number = part.part.number

        def make_call(share: float) -> WorkerCall:
            presigned = self._presigned(part)
            rate, is_local = self._rate_of(share), self._backend.is_local
            return run_part_task, PartTask(part, self.settings, presigned, rate, is_local)

        what = f"part {number} of {part.upload.target}"
        return self._submit(_PendingTask(what, number, make_call, observe or self._observe, part))

    def _presigned(self, to_send: PartToSend) -> PresignedRequest | None:
        """Return the URL of a part. Its checksum is signed, so it is computed here, and cannot be negotiated."""
        if self._signer is None:
            return None
        window = FileWindow(Path(to_send.path), to_send.part, to_send.stat)
        digests = to_send.digests.of_upload(to_send.upload)
        is_wanted = to_send.upload.checksum is not None or digests.is_named
        algorithm = digests.checksum if is_wanted else None
        checksum = window.checksum(algorithm, self._read_gate) if algorithm is not None else None
        return self._signer.sign_part(to_send.upload, to_send.part.number, checksum)

    def put(self, context: UploadContext, stat: SourceStat) -> Future[Finished]:
        """Have a worker put the small file of *context*, whose identity is *stat*."""
        request, digests = replace(context.request, source=context.source), context.source_digests
        target = request.target
        stat = context.planned(stat)
        is_local = self._backend.is_local
        if digests is None and not is_local:
            # The request publishes the object at once, so the worker compares its file before.
            digests = Expectation().check_file(context.source, stat, context.read_gate, with_crc64=True)

        def make_call(share: float) -> WorkerCall:
            rate = self._rate_of(share)
            return run_object_task, ObjectTask(
                request, self.settings, stat, context.since_s, rate, digests, is_local
            )

        return self._submit(_PendingTask(str(target), 1, make_call, context.observe, target=target))

    def put_presigned(
        self, context: UploadContext, stat: SourceStat, headers: Mapping[str, str], digests: BodyDigests
    ) -> Future[Stored]:
        """Have a worker send the small file of *context*, with the signed *headers* and *digests*."""
        request, stat = replace(context.request, source=context.source), context.planned(stat)
        target = request.target

        def make_call(share: float) -> WorkerCall:
            assert self._signer is not None
            return run_object_task, ObjectTask(
                request,
                self.settings,
                stat,
                context.since_s,
                self._rate_of(share),
                is_local=self._backend.is_local,
                presigned=self._signer.sign_object(target, headers, digests),
            )

        return self._submit(_PendingTask(str(target), 1, make_call, context.observe, target=target))

    def submit(self, make_call: Callable[[Rate | None, bool], WorkerCall]) -> Future[Any]:
        """Run a call in a worker, once.

        *make_call* gets its share of the rate limit, and whether the worker sees the files of this host.
        """
        is_local = self._backend.is_local
        return self._backend.submit(lambda share: make_call(self._rate_of(share), is_local))

    def close(self, *, wait: bool) -> None:
        self._backend.close(wait=wait)
        self._comparing.shutdown(wait=wait, cancel_futures=True)

    def _submit(self, task: _PendingTask) -> Future[Any]:
        self._start_attempt(task)
        return task.future

    def _start_attempt(self, task: _PendingTask) -> None:
        """Submit the task to a worker; ``_finish_attempt`` is called when the attempt is done."""
        try:
            attempt = self._backend.submit(task.make_call, avoid=task.failed)
        except BrokenExecutor as exc:
            attempt = Future()
            attempt.set_exception(exc)
        task.future.attempt = attempt if self._backend.can_cancel else None
        attempt.add_done_callback(partial(self._finish_attempt, task))

    def _finish_attempt(self, task: _PendingTask, attempt: Future[Any]) -> None:
        """Complete the task's future, or start another attempt."""
        if attempt.cancelled() and task.future.is_cancelled:
            return
        failure = CancelledError() if attempt.cancelled() else attempt.exception()
        report = WorkerReport()
        try:
            if failure is None:
                report = _publish_events(attempt.result(), task.observe)
                failure = report.failure
            if failure is not None and self._retries(task, failure, attempt):
                return
        except Exception as exc:  # noqa: BLE001 - if a callback raised, the future would never complete
            failure = exc
        if failure is not None:
            is_local = self._backend.is_local
            task.future.set_exception(as_obsup_error(failure, task.what, is_local=is_local))
        elif self._is_doubtful(task, report):
            self._comparing.submit(self._confirm, task, attempt)
        else:
            self._succeed(task, report.result)

    def _is_doubtful(self, task: _PendingTask, report: WorkerReport) -> bool:
        if isinstance(report.result, Receipt):
            return report.result.is_unproven
        return task.target is not None and not self.objects.is_known(report.worker)

    def _confirm(self, task: _PendingTask, attempt: Future[Any]) -> None:
        """Complete the task with the result of *attempt* after comparing a part, or finding an object, on this host."""
        report: WorkerReport = attempt.result()
        result = report.result
        try:
            if task.part is not None:
                result = compared_here(task.part, report, self._read_gate)
            elif task.target is not None and isinstance(result, Finished | Stored):
                made = result.stored if isinstance(result, Finished) else result
                self.objects.check(report.worker, task.target, made)
        except BaseException as exc:  # noqa: BLE001 - the thread that waits for the future raises it
            if not self._retries(task, exc, attempt):
                task.future.set_exception(exc)
        else:
            self._succeed(task, result)

    def _succeed(self, task: _PendingTask, result: Receipt | Finished | Stored | None) -> None:
        """Complete the task. The workers that could not send it are the ones that have failed."""
        for worker, failure in task.failed.items():
            self._backend.set_aside(worker, str(as_obsup_error(failure, task.what, is_local=False)))
        task.future.set_result(result)

    def _retries(self, task: _PendingTask, failure: BaseException, attempt: Future[Any]) -> bool:
        """Start another attempt if that can help; return whether it was started."""
        worker = attempt.worker if isinstance(attempt, Attempt) else ""
        report_throttling(failure, task.observe, task.number)
        if isinstance(failure, BrokenExecutor) and task.lost_workers + 1 < MAX_LOST_WORKERS:
            task.lost_workers += 1
            task.observe(events.Retried(task.number, task.lost_workers, "its worker process died", 0.0))
        elif isinstance(failure, Denied) and self._signer is not None and not task.was_denied:
            # The URL or the credentials that signed it have expired: a new URL may work.
            task.was_denied = True
        elif worker and may_be_of_worker(failure) and self._may_send_elsewhere(task, worker):
            task.failed[worker] = failure
        else:
            return False
        self._start_attempt(task)
        return True

    def _may_send_elsewhere(self, task: _PendingTask, worker: str) -> bool:
        failed = {*task.failed, worker}
        return len(failed) < MAX_FAILED_WORKERS and self._backend.has_other(failed)


def _publish_events(report: WorkerReport, observe: events.Observer) -> WorkerReport:
    """Pass the events of *report* to *observe*, and return the report."""
    for event in report.recorded:
        observe(event)
    if isinstance(report.result, Receipt):
        observe(events.PartStored(report.result.number, report.result.size))
    return report


def open_remote_workers(context: UploadContext, *, observe: events.Observer) -> RemoteWorkers:
    """Return the remote workers that the request asks for. Raises as ``check_spec`` and ``DaskBackend`` do."""
    request, connection, backend = context.request, context.connection, _open_backend(context)
    # The names of buckets are unique at the vendors' own hosts.
    is_certain = backend.is_local or is_vendor_host(request.target.endpoint)
    return RemoteWorkers(
        backend,
        connection.worker_settings,
        signer=connection.signer if request.presign else None,
        rate=context.limit.rate if isinstance(context.limit, RateLimit) else None,
        observe=observe,
        read_gate=context.read_gate,
        objects=WorkerObjects(None if is_certain else connection.store, context.note_once),
    )


def _open_backend(context: UploadContext) -> WorkerBackend:
    """Return the workers that the request asks for: processes, dask:ADDRESS or mpi.

    Raises as ``check_spec`` and ``DaskBackend`` do.
    """
    request, settings = context.request, context.connection.settings
    check_spec(request.executor)
    if request.executor == "processes":
        pool = ProcessPool(request.initial_jobs)
        return FixedBackend(pool.submit, pool.size, pool.close, is_local=True)
    if (spec := parse_dask(request.executor)) is None:
        return mpi_backend()
    from obsup.engine.send.dask_backend import DaskBackend

    return DaskBackend(
        spec,
        connect_s=settings.network.connect_timeout_s,
        lost_s=settings.retry_for_s,
        stop=context.stop,
        observe=context.observe,
        is_limited=context.limit is not None,
    )

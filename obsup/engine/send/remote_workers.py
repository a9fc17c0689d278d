"""Workers in other processes or on other hosts that send parts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.connection import StoreSettings
from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Finished
from obsup.engine.send.backends import WorkerBackend, open_backend
from obsup.engine.send.part import PartToSend
from obsup.engine.send.remote_task import (
    ObjectTask,
    PartTask,
    WorkerReport,
    run_object_task,
    run_part_task,
)
from obsup.errors import Denied, ObsupError, Throttled, WorkerLost, run_again
from obsup.local.source.rate_limit import RateLimit
from obsup.model import Receipt, SourceStat, Upload
from obsup.rate import Rate
from obsup.store.presigned import PresignedPart

# A part fails after so many workers died while they sent it: the part may be what kills them.
MAX_LOST_WORKERS = 3

# A function that a worker calls, and its argument.
WorkerCall = tuple[Callable[[Any], WorkerReport], Any]


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

    *make_call* returns the call for one attempt. *what* names the task in messages. *observe* gets the events of all
    attempts.
    """

    what: str
    number: int
    make_call: Callable[[], WorkerCall]
    observe: events.Observer
    future: _TaskFuture = field(default_factory=_TaskFuture)
    lost_workers: int = 0
    was_denied: bool = False


class RemoteWorkers:
    """Workers in other processes. If a worker dies, another sends its part. Progress is reported per part.

    *sign* creates a signed URL for each attempt of a part. The workers share the rate limit equally. Futures complete
    in threads of the backend's executor.
    """

    def __init__(
        self,
        backend: WorkerBackend,
        settings: StoreSettings,
        *,
        sign: Callable[[Upload, int], PresignedPart] | None = None,
        rate: Rate | None = None,
        observe: events.Observer = events.ignore,
    ) -> None:
        self.size = backend.size
        self._backend = backend
        self._settings = settings
        self._sign = sign
        self._rate = rate.divided(backend.size) if rate is not None else None
        self._observe = observe
        self._lock = threading.Lock()
        self._restarts = 0

    def send(self, part: PartToSend, observe: events.Observer | None = None) -> Future[Receipt]:
        """See Workers. *observe* gets the events of this part instead of the common observer."""
        number = part.part.number

        def make_call() -> WorkerCall:
            presigned = self._sign(part.upload, number) if self._sign is not None else None
            return run_part_task, PartTask(part, self._settings, presigned, self._rate)

        what = f"part {number} of {part.upload.target}"
        return self._submit(_PendingTask(what, number, make_call, observe or self._observe))

    def put(self, context: UploadContext, stat: SourceStat) -> Future[Finished]:
        """Have a worker put the small file of *context*, whose identity is *stat*."""
        request = replace(context.request, source=context.source)
        argument = ObjectTask(request, self._settings, stat, self._rate, context.source_digests)
        return self._submit(
            _PendingTask(str(request.target), 1, lambda: (run_object_task, argument), context.observe)
        )

    def close(self, *, wait: bool) -> None:
        """See Workers."""
        self._backend.close(wait=wait)

    def _submit(self, task: _PendingTask) -> Future[Any]:
        self._start_attempt(task)
        return task.future

    def _start_attempt(self, task: _PendingTask) -> None:
        """Submit the task to a worker; ``_finish_attempt`` is called when the attempt is done."""
        call, argument = task.make_call()
        with self._lock:
            restarts = self._restarts
        # Outside the lock: while a pool breaks, submit blocks until the pool has called _finish_attempt.
        try:
            attempt = self._backend.submit(call, argument)
        except BrokenExecutor as exc:
            attempt = Future()
            attempt.set_exception(exc)
        task.future.attempt = attempt if self._backend.can_cancel else None
        attempt.add_done_callback(partial(self._finish_attempt, task, restarts))

    def _finish_attempt(self, task: _PendingTask, restarts: int, attempt: Future[Any]) -> None:
        """Complete the task's future, or start another attempt."""
        if attempt.cancelled() and task.future.is_cancelled:
            return
        failure = CancelledError() if attempt.cancelled() else attempt.exception()
        report = WorkerReport()
        try:
            if failure is None:
                report = _publish_events(attempt.result(), task.observe)
                failure = report.failure
            if failure is not None and self._retries(task, failure, restarts):
                return
        except Exception as exc:  # noqa: BLE001 - if a callback raised, the future would never complete
            failure = exc
        if failure is None:
            task.future.set_result(report.result)
        else:
            task.future.set_exception(_as_obsup_error(failure, task.what))

    def _retries(self, task: _PendingTask, failure: BaseException, restarts: int) -> bool:
        """Start another attempt if that can help; return whether it was started."""
        if isinstance(failure, Throttled):
            task.observe(events.Retried(task.number, 1, failure.what, 0.0, throttled=True))
        if isinstance(failure, BrokenExecutor) and task.lost_workers + 1 < MAX_LOST_WORKERS:
            self._restart_backend(task, restarts)
        elif isinstance(failure, Denied) and self._sign is not None and not task.was_denied:
            # The URL or the credentials that signed it have expired: a new URL may work.
            task.was_denied = True
        else:
            return False
        self._start_attempt(task)
        return True

    def _restart_backend(self, task: _PendingTask, restarts: int) -> None:
        """Start new workers, once for all parts that were lost with the old ones."""
        task.lost_workers += 1
        task.observe(events.Retried(task.number, task.lost_workers, "its worker process died", 0.0))
        with self._lock:
            if restarts == self._restarts:
                self._backend.restart()
                self._restarts += 1


def _publish_events(report: WorkerReport, observe: events.Observer) -> WorkerReport:
    """Pass the events of *report* to *observe*, and return the report."""
    for event in report.recorded:
        observe(event)
    if isinstance(report.result, Receipt):
        observe(events.PartStored(report.result.number, report.result.size))
    return report


def _as_obsup_error(failure: BaseException, what: str) -> BaseException:
    """Return *failure* as an ObsupError. The text of other errors is dropped: it could hold a signed URL."""
    if isinstance(failure, ObsupError):
        return failure
    if isinstance(failure, (BrokenExecutor, CancelledError)) or type(failure).__name__ == "KilledWorker":
        return WorkerLost(
            f"all workers that tried to send {what} died, or the scheduler stopped",
            "A worker ends when its host stops, or when it exceeds its memory limit",
            run_again("check the workers' logs"),
        )
    return ObsupError(
        f"the worker that sent {what} failed: {type(failure).__name__}",
        "The worker may have a different version of obsup or Python",
        run_again("install the same obsup on every worker"),
    )


def open_remote_workers(context: UploadContext, *, observe: events.Observer) -> RemoteWorkers:
    """Return the remote workers that the request asks for. Raises as ``open_backend`` does."""
    request, settings = context.request, context.connection.settings
    return RemoteWorkers(
        open_backend(request.executor, request.initial_jobs, timeout_s=settings.network.connect_timeout_s),
        settings,
        sign=context.connection.signer.sign if request.presign else None,
        rate=context.limit.rate if isinstance(context.limit, RateLimit) else None,
        observe=observe,
    )

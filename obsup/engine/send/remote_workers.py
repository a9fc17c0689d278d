"""Workers in other processes or on other machines that send parts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from obsup import events
from obsup.engine.job.connection import StoreSettings
from obsup.engine.job.context import UploadContext
from obsup.engine.job.request import UploadRequest
from obsup.engine.send.executors import WorkerBackend, open_backend
from obsup.engine.send.part import PartToSend
from obsup.engine.send.remote_report import WorkerReport
from obsup.errors import Denied, ObsupError, Throttled, WorkerLost
from obsup.local.source.rate_limit import RateLimit
from obsup.model import Receipt, SourceStat, Upload

if TYPE_CHECKING:
    from obsup.engine.job.result import Finished
    from obsup.store.presigned import PresignedPart


# How many workers may die over one part before it is the part that is to blame.
MAX_WORKER_LOSSES = 3


WorkerCall = tuple[Callable[[Any], WorkerReport], Any]


MakeCall = Callable[[], WorkerCall]


class _PartFuture(Future[Any]):
    """The future of a part, or of a small file, that may take several tries.

    It is cancelled only while no worker has begun: whoever calls a part off must not lose its receipt.
    """

    under_way: Future[Any] | None = None
    is_cancelled = False

    def cancel(self) -> bool:
        """Call the part off; return whether that could be done."""
        if self.under_way is None:
            return False
        self.is_cancelled = True
        if self.under_way.cancel():
            return super().cancel()
        self.is_cancelled = False
        return False


@dataclass(slots=True)
class _PendingPart:
    """One part, or one small file, on its way: what the driver promised, and how often it went wrong.

    *pack* makes, anew for each try, what a worker is to call and with what; *what* names it in messages. *observe*
    hears of its tries, wherever they were made, and of the part once it is stored.
    """

    what: str
    number: int
    pack: MakeCall
    promise: _PartFuture
    observe: events.Observer
    losses: int = 0
    was_denied: bool = False


class RemoteWorkers:
    """Workers in other processes. A part whose worker died goes to another; progress comes by the part.

    With *sign* each part carries its signed URL, anew for each try. The workers share the rate limit out. Futures of
    the workers' executor end in threads of that executor.
    """

    def __init__(
        self,
        workers: WorkerBackend,
        settings: StoreSettings,
        *,
        sign: Callable[[Upload, int], PresignedPart] | None = None,
        rate_bytes_per_s: float | None = None,
        observe: events.Observer = events.ignore,
    ) -> None:
        self.size = workers.size
        self._workers = workers
        self._settings = settings
        self._sign = sign
        self._rate_bytes_per_s = rate_bytes_per_s / workers.size if rate_bytes_per_s else None
        self._observe = observe
        self._lock = threading.Lock()
        self._generation = 0

    def send(self, job: PartToSend, observe: events.Observer | None = None) -> Future[Receipt]:
        """See WorkerBackend. *observe* hears of this part, where that is not who hears of all."""

        def pack() -> WorkerCall:
            # Here, and not above: threads of this process need nothing of it, and every upload would wait for it.
            from obsup.engine.send.remote_task import PartTask, run_part_task

            presigned = self._sign(job.upload, job.part.number) if self._sign is not None else None
            return run_part_task, PartTask(job, self._settings, presigned, self._rate_bytes_per_s)

        what = f"part {job.part.number} of {job.upload.target}"
        return self._promise(what, job.part.number, pack, observe or self._observe)

    def put(self, order: UploadRequest, stat: SourceStat, observe: events.Observer) -> Future[Finished]:
        """Have a worker put the small file of *order*, whose identity is *stat*; the future gives its object.

        *observe* hears of its tries.
        """

        def pack() -> WorkerCall:
            from obsup.engine.send.remote_task import ObjectTask, run_object_task

            return run_object_task, ObjectTask(order, self._settings, stat, self._rate_bytes_per_s)

        return self._promise(str(order.target), 1, pack, observe)

    def _promise(self, what: str, number: int, pack: MakeCall, observe: events.Observer) -> Future[Any]:
        pending = _PendingPart(what, number, pack, _PartFuture(), observe)
        self._try(pending)
        return pending.promise

    def close(self, *, wait: bool) -> None:
        """See WorkerBackend."""
        self._workers.close(wait=wait)

    def _try(self, pending: _PendingPart) -> None:
        """Hand the errand to a worker; what comes of it is taken in by ``_settle``."""
        call, argument = pending.pack()
        with self._lock:
            generation = self._generation
        # Not under the lock: a pool that breaks lets nobody submit until it has called back, and that comes here.
        try:
            future = self._workers.submit(call, argument)
        except BrokenExecutor as exc:
            future = Future()
            future.set_exception(exc)
        pending.promise.under_way = future if self._workers.can_cancel else None
        future.add_done_callback(partial(self._settle, pending, generation))

    def _settle(self, pending: _PendingPart, generation: int, future: Future[Any]) -> None:
        """Pass the outcome on, or have the part sent again."""
        if future.cancelled() and pending.promise.is_cancelled:
            return
        failure = CancelledError() if future.cancelled() else future.exception()
        account = WorkerReport()
        try:
            if failure is None:
                account = _publish_events(future.result(), pending.observe)
                failure = account.failure
            if failure is not None and self._is_tried_again(pending, failure, generation):
                return
        except Exception as exc:  # noqa: BLE001 - a callback that raises would leave the promise open for ever
            failure = exc
        if failure is None:
            pending.promise.set_result(account.result)
        else:
            pending.promise.set_exception(_as_obsup_error(failure, pending.what))

    def _is_tried_again(self, pending: _PendingPart, failure: BaseException, generation: int) -> bool:
        """Have the part sent again where that can help; return whether it is."""
        if isinstance(failure, Throttled):
            pending.observe(events.Retried(pending.number, 1, failure.what, 0.0, throttled=True))
        if isinstance(failure, BrokenExecutor) and pending.losses + 1 < MAX_WORKER_LOSSES:
            self._replace_worker(pending, generation)
        elif isinstance(failure, Denied) and self._sign is not None and not pending.was_denied:
            # The URL has expired, or the keys that signed it have: a new one may do.
            pending.was_denied = True
        else:
            return False
        self._try(pending)
        return True

    def _replace_worker(self, pending: _PendingPart, generation: int) -> None:
        """Make new workers, once for all the parts that the old ones took with them."""
        pending.losses += 1
        pending.observe(events.Retried(pending.number, pending.losses, "its worker process died", 0.0))
        with self._lock:
            if generation == self._generation:
                self._workers.renew()
                self._generation += 1


def _publish_events(account: WorkerReport, observe: events.Observer) -> WorkerReport:
    """Return *account*, once *observe* was told what it tells."""
    for event in account.said:
        observe(event)
    if isinstance(account.result, Receipt):
        observe(events.PartStored(account.result.number, account.result.size))
    return account


def _as_obsup_error(failure: BaseException, pending: str) -> BaseException:
    """Return *failure* as an error that says what to do: only ObsupErrors may come from a worker."""
    if isinstance(failure, ObsupError):
        return failure
    what = f"the worker that sent {pending}"
    if isinstance(failure, (BrokenExecutor, CancelledError)) or type(failure).__name__ == "KilledWorker":
        return WorkerLost(
            f"{what} died, as did those that tried it before, or the scheduler went away",
            "a worker ends when its machine does, or when it takes more memory than it is allowed",
            "look at the workers' logs, then run the same command again; what is stored is not sent again",
        )
    return ObsupError(
        f"{what} failed: {type(failure).__name__}",
        "perhaps another version of obsup or of Python is installed there",
        "install the same obsup on every worker, then run the same command again",
    )


def open_remote_workers(task: UploadContext, *, observe: events.Observer) -> RemoteWorkers:
    """Return the crew of workers elsewhere that the order asks for. Raises as ``open_backend`` does."""
    order, settings = task.request, task.connection.settings
    return RemoteWorkers(
        open_backend(order.executor, order.jobs_at_first, timeout_s=settings.line.connect_timeout_s),
        settings,
        sign=task.connection.signer.sign if order.presign else None,
        rate_bytes_per_s=task.limit.rate_bytes_per_s if isinstance(task.limit, RateLimit) else None,
        observe=observe,
    )

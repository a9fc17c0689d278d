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
from obsup.engine.job.context import Task
from obsup.engine.job.request import Order
from obsup.engine.send.executors import Workers, open_workers
from obsup.engine.send.part import PartJob
from obsup.engine.send.remote_report import Account
from obsup.errors import Denied, ObsupError, Throttled, WorkerLost
from obsup.local.source.rate_limit import RateLimit
from obsup.model import Receipt, SourceStat, Upload

if TYPE_CHECKING:
    from obsup.engine.job.result import Finished
    from obsup.store.presigned import PresignedPart


# How many workers may die over one part before it is the part that is to blame.
LOSSES = 3


Package = tuple[Callable[[Any], Account], Any]


Pack = Callable[[], Package]


class _Promise(Future[Any]):
    """The future of a part, or of a small file, that may take several tries.

    It is cancelled only while no worker has begun: whoever calls a part off must not lose its receipt.
    """

    under_way: Future[Any] | None = None
    is_called_off = False

    def cancel(self) -> bool:
        """Call the part off; return whether that could be done."""
        if self.under_way is None:
            return False
        self.is_called_off = True
        if self.under_way.cancel():
            return super().cancel()
        self.is_called_off = False
        return False


@dataclass(slots=True)
class _Errand:
    """One part, or one small file, on its way: what the driver promised, and how often it went wrong.

    *pack* makes, anew for each try, what a worker is to call and with what; *what* names it in messages. *observe*
    hears of its tries, wherever they were made, and of the part once it is stored.
    """

    what: str
    number: int
    pack: Pack
    promise: _Promise
    observe: events.Observer
    losses: int = 0
    was_denied: bool = False


class RemoteCrew:
    """Workers in other processes. A part whose worker died goes to another; progress comes by the part.

    With *sign* each part carries its signed URL, anew for each try. The workers share the rate limit out. Futures of
    the workers' executor end in threads of that executor.
    """

    def __init__(
        self,
        workers: Workers,
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

    def send(self, job: PartJob, observe: events.Observer | None = None) -> Future[Receipt]:
        """See Crew. *observe* hears of this part, where that is not who hears of all."""

        def pack() -> Package:
            # Here, and not above: threads of this process need nothing of it, and every upload would wait for it.
            from obsup.engine.send.remote_task import RemoteJob, run_remote

            presigned = self._sign(job.upload, job.part.number) if self._sign is not None else None
            return run_remote, RemoteJob(job, self._settings, presigned, self._rate_bytes_per_s)

        what = f"part {job.part.number} of {job.upload.target}"
        return self._promise(what, job.part.number, pack, observe or self._observe)

    def put(self, order: Order, stat: SourceStat, observe: events.Observer) -> Future[Finished]:
        """Have a worker put the small file of *order*, whose identity is *stat*; the future gives its object.

        *observe* hears of its tries.
        """

        def pack() -> Package:
            from obsup.engine.send.remote_task import RemotePut, run_put

            return run_put, RemotePut(order, self._settings, stat, self._rate_bytes_per_s)

        return self._promise(str(order.target), 1, pack, observe)

    def _promise(self, what: str, number: int, pack: Pack, observe: events.Observer) -> Future[Any]:
        errand = _Errand(what, number, pack, _Promise(), observe)
        self._try(errand)
        return errand.promise

    def leave(self, *, wait: bool) -> None:
        """See Crew."""
        self._workers.close(wait=wait)

    def _try(self, errand: _Errand) -> None:
        """Hand the errand to a worker; what comes of it is taken in by ``_settle``."""
        call, argument = errand.pack()
        with self._lock:
            generation = self._generation
        # Not under the lock: a pool that breaks lets nobody submit until it has called back, and that comes here.
        try:
            future = self._workers.submit(call, argument)
        except BrokenExecutor as exc:
            future = Future()
            future.set_exception(exc)
        errand.promise.under_way = future if self._workers.calls_off else None
        future.add_done_callback(partial(self._settle, errand, generation))

    def _settle(self, errand: _Errand, generation: int, future: Future[Any]) -> None:
        """Pass the outcome on, or have the part sent again."""
        if future.cancelled() and errand.promise.is_called_off:
            return
        failure = CancelledError() if future.cancelled() else future.exception()
        account = Account()
        try:
            if failure is None:
                account = _take_in(future.result(), errand.observe)
                failure = account.failure
            if failure is not None and self._is_tried_again(errand, failure, generation):
                return
        except Exception as exc:  # noqa: BLE001 - a callback that raises would leave the promise open for ever
            failure = exc
        if failure is None:
            errand.promise.set_result(account.result)
        else:
            errand.promise.set_exception(_as_told(failure, errand.what))

    def _is_tried_again(self, errand: _Errand, failure: BaseException, generation: int) -> bool:
        """Have the part sent again where that can help; return whether it is."""
        if isinstance(failure, Throttled):
            errand.observe(events.Retried(errand.number, 1, failure.what, 0.0, throttled=True))
        if isinstance(failure, BrokenExecutor) and errand.losses + 1 < LOSSES:
            self._replace_worker(errand, generation)
        elif isinstance(failure, Denied) and self._sign is not None and not errand.was_denied:
            # The URL has expired, or the keys that signed it have: a new one may do.
            errand.was_denied = True
        else:
            return False
        self._try(errand)
        return True

    def _replace_worker(self, errand: _Errand, generation: int) -> None:
        """Make new workers, once for all the parts that the old ones took with them."""
        errand.losses += 1
        errand.observe(events.Retried(errand.number, errand.losses, "its worker process died", 0.0))
        with self._lock:
            if generation == self._generation:
                self._workers.renew()
                self._generation += 1


def _take_in(account: Account, observe: events.Observer) -> Account:
    """Return *account*, once *observe* was told what it tells."""
    for event in account.said:
        observe(event)
    if isinstance(account.result, Receipt):
        observe(events.PartStored(account.result.number, account.result.size))
    return account


def _as_told(failure: BaseException, errand: str) -> BaseException:
    """Return *failure* as an error that says what to do: only ObsupErrors may come from a worker."""
    if isinstance(failure, ObsupError):
        return failure
    what = f"the worker that sent {errand}"
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


def open_remote_crew(task: Task, *, observe: events.Observer) -> RemoteCrew:
    """Return the crew of workers elsewhere that the order asks for. Raises as ``open_workers`` does."""
    order, settings = task.order, task.connection.settings
    return RemoteCrew(
        open_workers(order.executor, order.jobs_at_first, timeout_s=settings.line.connect_timeout_s),
        settings,
        sign=task.connection.signer.sign if order.presign else None,
        rate_bytes_per_s=task.limit.rate_bytes_per_s if isinstance(task.limit, RateLimit) else None,
        observe=observe,
    )

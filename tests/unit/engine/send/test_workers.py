"""Workers elsewhere: what is sent again, how often, and what never travels."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from datetime import UTC, datetime
from typing import Any

import pytest

from obsup import events
from obsup.dialects.registry import find_dialect
from obsup.engine.job.connection import StoreSettings
from obsup.engine.job.executor_spec import check_spec
from obsup.engine.job.stop import StopSignal
from obsup.engine.proof.part_proof import DigestChoice
from obsup.engine.send.backends import ProcessBackend
from obsup.engine.send.concurrency import ConcurrencyLimit
from obsup.engine.send.dispatcher import dispatch
from obsup.engine.send.part import PartToSend
from obsup.engine.send.remote_task import PartTask, WorkerReport
from obsup.engine.send.remote_workers import MAX_LOST_WORKERS, RemoteWorkers
from obsup.errors import (
    BadConfiguration,
    Denied,
    ObsupError,
    SourceChanged,
    Throttled,
    WorkerLost,
    WrongUsage,
)
from obsup.model import Credentials, Part, Receipt, SourceStat, Target, Upload
from obsup.store.answers.server_clock import ServerClock
from obsup.store.http.endpoint_route import Location, Route
from obsup.store.presigned import PartSigner, PresignedPart

TARGET = Target("obs", "https://obs.eu-de.otc.t-systems.com", "bucket", "key")
UPLOAD = Upload(TARGET, "upload-id")
SETTINGS = StoreSettings("obs", TARGET.endpoint)
RECEIPT = Receipt(1, 5, "etag")


def job(number: int = 1) -> PartToSend:
    """Return the job of one part."""
    part = Part(number, 5 * (number - 1), 5)
    return PartToSend(
        UPLOAD, part, "/data/file", SourceStat(50, 1, 2, 3, 4), DigestChoice(md5=True, crc64=False)
    )


class Roster:
    """Workers whose futures the test ends. ``handed`` are the calls in order."""

    size = 4

    def __init__(self, *, can_cancel: bool = True) -> None:
        self.can_cancel = can_cancel
        self.handed: list[tuple[PartTask, Future[Any]]] = []
        self.renewed = 0
        self.is_broken = False

    def submit(self, _call: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Take a call, or refuse it as a broken pool does."""
        if self.is_broken:
            raise BrokenExecutor
        future: Future[Any] = Future()
        self.handed.append((argument, future))
        return future

    def restart(self) -> None:
        """Be whole again."""
        self.renewed += 1
        self.is_broken = False

    def close(self, *, wait: bool) -> None:
        """Be gone."""


class Locked(Roster):
    """A pool that calls back under the lock that a submission waits for, as CPython's does from 3.12 on."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self.is_waited_for = threading.Event()
        self.is_ending = threading.Event()

    def submit(self, call: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Take a call, once the lock is free."""
        if self.is_ending.is_set():
            self.is_waited_for.set()
        with self._lock:
            return super().submit(call, argument)

    def restart(self) -> None:
        """Be another pool, with a lock of its own."""
        super().restart()
        self._lock = threading.Lock()
        self.is_ending.clear()

    def end(self) -> None:
        """Break, once somebody waits for the lock, and tell those whose calls are lost."""
        with self._lock:
            self.is_ending.set()
            assert self.is_waited_for.wait(10)
            lost, self.is_broken = list(self.handed), True
            for _, future in lost:
                future.set_exception(BrokenExecutor())


class Credentialed:
    """Credentials with a secret to look for."""

    def current(self) -> Credentials:
        """Return them."""
        return Credentials("ACCESS", "THE-SECRET", "THE-TOKEN")

    def refresh(self, stale: Credentials) -> Credentials:
        """Return them."""
        return stale


def signer() -> PartSigner:
    """Return a signer that is not on this machine's clock."""
    route = Route(Location(TARGET.endpoint, "", "virtual"))
    return PartSigner(
        find_dialect("obs"), route, credentials=Credentialed(), clock=ServerClock(lambda: 1_700_000_000.0)
    )


def test_a_receipt_comes_back_and_counts_as_progress() -> None:
    """By the part: what a worker elsewhere sends is heard of when it is stored."""
    roster, heard = Roster(), list[events.Event]()
    promise = RemoteWorkers(roster, SETTINGS, observe=heard.append).send(job())
    assert not promise.done()
    roster.handed[0][1].set_result(WorkerReport(RECEIPT))
    assert promise.result(0) == RECEIPT
    assert heard == [events.PartStored(1, 5)]


def test_what_a_worker_did_is_told_here_also_where_it_failed() -> None:
    """To whoever asked for this part, where that is not the crew's own observer."""
    roster, heard, own = Roster(), list[events.Event](), list[events.Event]()
    said = (events.Requested("UploadPart", "PUT", "bucket/key", 1, 403, "r1", 0.1, host="node7"),)
    promise = RemoteWorkers(roster, SETTINGS, observe=own.append).send(job(), observe=heard.append)
    roster.handed[0][1].set_result(WorkerReport(failure=SourceChanged("it changed"), recorded=said))
    assert isinstance(promise.exception(0), SourceChanged)
    assert (heard, own) == (list(said), [])


SLOW_DOWN = events.Retried(1, 1, "503 SlowDown", 0.5, throttled=True)


def test_what_a_worker_was_told_to_slow_down_shrinks_what_is_in_flight() -> None:
    """The driver hears of it with the part: fewer are handed out, as if it had been told itself."""
    roster, concurrency = Roster(), ConcurrencyLimit(Roster.size)
    workers, kept = RemoteWorkers(roster, SETTINGS, observe=concurrency), list[int]()
    jobs = (job(number) for number in range(1, 21))
    under_way: list[int] = []

    def window() -> int:
        # Whenever the driver asks how many more, the first that is under way comes to its end.
        waiting = [future for _, future in roster.handed if not future.done()]
        under_way.append(len(waiting))
        if waiting:
            number = len(kept) + 1
            waiting[0].set_result(
                WorkerReport(Receipt(number, 5, "etag"), recorded=(SLOW_DOWN,) if number == 1 else ())
            )
        return concurrency.window

    dispatch(
        jobs, workers.send, window=window, stop=StopSignal(), on_receipt=lambda one: kept.append(one.number)
    )
    assert sorted(kept) == list(range(1, 21))
    assert max(under_way[:2]) == 2 * Roster.size
    assert min(under_way[2:12]) <= Roster.size // 2 + 1


def test_a_worker_that_gave_up_slowing_down_tells_it_too() -> None:
    """A batch goes on with its other files, and with less of them at once."""
    roster, concurrency = Roster(), ConcurrencyLimit(Roster.size)
    promise = RemoteWorkers(roster, SETTINGS, observe=concurrency).send(job())
    roster.handed[0][1].set_result(WorkerReport(failure=Throttled("part 1 was refused", "busy", "run again")))
    assert isinstance(promise.exception(0), Throttled)
    assert concurrency.allowed == Roster.size // 2


def test_a_worker_of_another_version_is_told_apart() -> None:
    """What it hands back is no account: an error, not a promise that is never kept."""
    roster = Roster()
    promise = RemoteWorkers(roster, SETTINGS).send(job())
    roster.handed[0][1].set_result(RECEIPT)
    assert "different version of obsup" in str(promise.exception(0))


def test_all_parts_of_a_broken_pool_are_sent_again_by_one_new_pool() -> None:
    """One worker died, and took the others' parts with it."""
    roster = Roster()
    workers = RemoteWorkers(roster, SETTINGS)
    promises = [workers.send(job(number)) for number in (1, 2, 3)]
    for _, future in roster.handed[:3]:
        future.set_exception(BrokenExecutor())
    assert roster.renewed == 1
    assert [remote.to_send.part.number for remote, _ in roster.handed] == [1, 2, 3, 1, 2, 3]
    for _, future in roster.handed[3:]:
        future.set_result(WorkerReport(RECEIPT))
    assert [promise.result(0) for promise in promises] == [RECEIPT] * 3


def test_a_pool_that_is_found_broken_is_renewed() -> None:
    """A worker may die while none of its parts is waited for."""
    roster = Roster()
    workers = RemoteWorkers(roster, SETTINGS)
    roster.is_broken = True
    promise = workers.send(job())
    roster.handed[0][1].set_result(WorkerReport(RECEIPT))
    assert (promise.result(0), roster.renewed) == (RECEIPT, 1)


def test_a_pool_that_breaks_while_a_part_is_handed_over_does_not_stand_still() -> None:
    """The pool's thread, which calls back, and the driver's must not wait for one another's locks."""
    pool = Locked()
    workers = RemoteWorkers(pool, SETTINGS)
    first = workers.send(job(1))
    second: list[Future[Receipt]] = []
    ends = threading.Thread(target=pool.end, daemon=True)
    ends.start()
    assert pool.is_ending.wait(10)
    sends = threading.Thread(target=lambda: second.append(workers.send(job(2))), daemon=True)
    sends.start()
    for thread in (ends, sends):
        thread.join(10)
        assert not thread.is_alive()
    for one, future in pool.handed[1:]:
        future.set_result(WorkerReport(Receipt(one.to_send.part.number, 5, "etag")))
    assert (first.result(0).number, second[0].result(0).number) == (1, 2)
    assert pool.renewed == 1


def test_a_broken_pool_is_let_go_of_at_the_end() -> None:
    """Not where it calls back: it holds its lock there, and from CPython 3.12 on wants it once more to be gone."""
    ended, gone = list[int](), list[int]()
    numbers = iter(range(1, 9))

    class Pool(Executor):
        def __init__(self) -> None:
            self.number = next(numbers)

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            assert wait
            assert cancel_futures
            ended.append(self.number)

        def __del__(self) -> None:
            gone.append(self.number)

    workers = ProcessBackend(2, open_pool=lambda _: Pool())
    workers.restart()
    workers.restart()
    assert (ended, gone) == ([], [])
    workers.close(wait=True)
    assert ended == [1, 2, 3]
    del workers
    assert sorted(gone) == [1, 2, 3]


def test_a_part_that_kills_every_worker_is_given_back() -> None:
    """Three tries; then progress is kept and the exit code is 75."""
    roster = Roster()
    promise = RemoteWorkers(roster, SETTINGS).send(job())
    for _ in range(MAX_LOST_WORKERS):
        roster.handed[-1][1].set_exception(BrokenExecutor())
    assert len(roster.handed) == MAX_LOST_WORKERS
    failure = promise.exception(0)
    assert isinstance(failure, WorkerLost)
    assert (failure.exit_code, failure.retryable) == (75, True)


class KilledWorker(Exception):
    """What Dask raises when a part has killed too many workers."""


@pytest.mark.parametrize(
    ("raised", "becomes"),
    [
        (KilledWorker("run_remote-1234"), WorkerLost),
        (SourceChanged("it changed", "on host", "look"), SourceChanged),
        (ModuleNotFoundError("No module named 'obsup'"), ObsupError),
        (ValueError("https://bucket/key?Signature=SECRET"), ObsupError),
    ],
)
def test_what_a_worker_raises_is_an_error_with_an_exit_code(
    raised: Exception, becomes: type[ObsupError]
) -> None:
    """Ours as they are; anything else without its text, which could hold a signed URL."""
    roster = Roster()
    promise = RemoteWorkers(roster, SETTINGS).send(job())
    roster.handed[0][1].set_exception(raised)
    failure = promise.exception(0)
    assert type(failure) is becomes
    assert "SECRET" not in f"{failure} {failure!r}"
    assert len(roster.handed) == 1


def test_a_call_nobody_has_begun_is_called_off() -> None:
    """So that what is in flight can shrink; one under way is not sent twice."""
    roster = Roster()
    workers = RemoteWorkers(roster, SETTINGS)
    waiting, running = workers.send(job(1)), workers.send(job(2))
    roster.handed[1][1].set_running_or_notify_cancel()
    assert (waiting.cancel(), running.cancel()) == (True, False)
    assert (waiting.cancelled(), roster.handed[0][1].cancelled()) == (True, True)
    roster.handed[1][1].set_result(WorkerReport(RECEIPT))
    assert running.result(0) == RECEIPT


def test_what_cannot_tell_is_not_called_off() -> None:
    """Dask's futures look idle until they are done."""
    roster = Roster(can_cancel=False)
    promise = RemoteWorkers(roster, SETTINGS).send(job())
    assert not promise.cancel()
    assert not roster.handed[0][1].cancelled()


def test_futures_that_the_scheduler_dropped_are_a_loss() -> None:
    """The cluster went away."""
    roster = Roster(can_cancel=False)
    promise = RemoteWorkers(roster, SETTINGS).send(job())
    roster.handed[0][1].cancel()
    roster.handed[0][1].set_running_or_notify_cancel()
    assert isinstance(promise.exception(0), WorkerLost)


def test_a_signed_url_that_is_refused_is_signed_once_more() -> None:
    """It may have expired while the part waited; keys that are not permitted stay so."""
    roster, signed = Roster(), list[int]()

    def sign(upload: Upload, number: int) -> PresignedPart:
        signed.append(number)
        return signer().sign(upload, number)

    promise = RemoteWorkers(roster, SETTINGS, sign=sign).send(job())
    for _, future in roster.handed:
        future.set_result(WorkerReport(failure=Denied("refused")))
    assert signed == [1, 1]
    assert isinstance(promise.exception(0), Denied)


def test_a_refusal_of_the_workers_own_keys_is_not_tried_again() -> None:
    """Its own patience has been spent already."""
    roster = Roster()
    promise = RemoteWorkers(roster, SETTINGS).send(job())
    roster.handed[0][1].set_result(WorkerReport(failure=Denied("refused")))
    assert (len(roster.handed), type(promise.exception(0))) == (1, Denied)


def test_the_rate_is_shared_out() -> None:
    """Each call at once gets its part of it."""
    roster = Roster()
    RemoteWorkers(roster, SETTINGS, rate_bytes_per_s=1000.0).send(job())
    assert roster.handed[0][0].rate_bytes_per_s == 250.0


def test_what_travels_holds_no_secret_and_shows_no_signature() -> None:
    """A job is plain values; a signed URL travels, but stands in no repr, which schedulers log."""
    presigned = signer().sign(UPLOAD, 3)
    assert dict(presigned.query)["Signature"]
    plain, signed = PartTask(job(3), SETTINGS), PartTask(job(3), SETTINGS, presigned)
    for one in (plain, signed):
        data = pickle.dumps(one)
        assert pickle.loads(data) == one
        assert b"THE-SECRET" not in data
    assert "Signature" not in repr(signed)
    assert "THE-TOKEN" not in repr(signed)
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(Credentialed().current())


def test_a_presigned_part_lasts_a_day() -> None:
    """Long enough to wait behind another part on a slow line."""
    expires = dict(signer().sign(UPLOAD, 1).query)["Expires"]
    assert datetime.fromtimestamp(int(expires or 0), UTC) == datetime(2023, 11, 15, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize("spec", ["thread", "dask", "dask:", "mpi:x", ""])
def test_an_executor_that_is_none_is_refused(spec: str) -> None:
    """The error names all that there are."""
    with pytest.raises(WrongUsage, match="unknown executor") as caught:
        check_spec(spec)
    assert "threads, inline, processes, dask:ADDRESS and mpi" in caught.value.why


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that brings it."""
    monkeypatch.setattr("obsup.engine.job.executor_spec.find_spec", lambda _: None)
    for spec, extra in (("dask:tcp://host:1", "dask"), ("mpi", "mpi")):
        with pytest.raises(BadConfiguration) as caught:
            check_spec(spec)
        assert str(caught.value.next_step) == f"install it with: pip install 'obsup[{extra}]'"
    check_spec("processes")

"""Remote workers: what is sent again, how often, and what is never sent to them."""

from __future__ import annotations

import pickle
from collections.abc import Collection
from concurrent.futures import BrokenExecutor, Future
from datetime import UTC, datetime
from typing import Any

import pytest

from obsup import events
from obsup.dialects.registry import find_dialect
from obsup.engine.job.connection import StoreSettings
from obsup.engine.job.stop import StopSignal
from obsup.engine.plan.concurrency import ConcurrencyLimit
from obsup.engine.proof.part_proof import DigestChoice
from obsup.engine.send.backends import Attempt, MakeCall
from obsup.engine.send.dispatcher import dispatch
from obsup.engine.send.part import PartToSend
from obsup.engine.send.remote_task import PartTask, WorkerReport
from obsup.engine.send.remote_workers import MAX_LOST_WORKERS, RemoteWorkers
from obsup.errors import (
    BadConfiguration,
    Denied,
    NextStep,
    ObsupError,
    Refused,
    SourceChanged,
    Throttled,
    WorkerLost,
    run_again,
)
from obsup.model import Credentials, Part, Receipt, SourceStat, Target, Upload
from obsup.rate import constant_rate
from obsup.store.answers.server_clock import ServerClock
from obsup.store.endpoint_route import Location, Route
from obsup.store.http.body import BodyDigests
from obsup.store.presigned import UrlSigner

TARGET = Target("obs", "https://obs.eu-de.otc.t-systems.com", "bucket", "key")
UPLOAD = Upload(TARGET, "upload-id")
SETTINGS = StoreSettings("obs", TARGET.endpoint)
RECEIPT = Receipt(1, 5, "etag")


def part_to_send(number: int = 1) -> PartToSend:
    """Return one part."""
    part = Part(number, 5 * (number - 1), 5)
    return PartToSend(
        UPLOAD, part, "/data/file", SourceStat(50, 1, 2, 3, 4), DigestChoice(md5=True, crc64=False)
    )


class ManualBackend:
    """A WorkerBackend whose futures the test completes. ``calls`` are the calls in order.

    It chooses one of *workers*, if there are any; ``aside`` are those that are set aside.
    """

    size = 4
    is_local = False

    def __init__(self, *workers: str, can_cancel: bool = True) -> None:
        self.can_cancel = can_cancel
        self.calls: list[tuple[PartTask, Future[Any]]] = []
        self.is_broken = False
        self.workers = workers
        self.aside: dict[str, str] = {}

    def submit(self, make_call: MakeCall, *, avoid: Collection[str] = ()) -> Future[Any]:
        """Record a call, or fail as a broken pool does."""
        if self.is_broken:
            raise BrokenExecutor
        future = Attempt()
        future.worker = next((worker for worker in self.workers if worker not in avoid), "")
        self.calls.append((make_call(1 / self.size)[1], future))
        return future

    def has_other(self, workers: Collection[str]) -> bool:
        """Return whether there is one that is none of *workers*."""
        return bool(set(self.workers) - set(workers))

    def set_aside(self, worker: str, why: str) -> None:
        """Record it."""
        self.aside[worker] = why

    def close(self, *, wait: bool) -> None:
        """Do nothing."""


class SecretCredentials:
    """Credentials with a recognizable secret."""

    def current(self) -> Credentials:
        """Return them."""
        return Credentials("ACCESS", "THE-SECRET", "THE-TOKEN")

    def refresh(self, stale: Credentials) -> Credentials:
        """Return them."""
        return stale


def signer() -> UrlSigner:
    """Return a signer with a fixed clock."""
    route = Route(Location(TARGET.endpoint, "", "virtual"))
    return UrlSigner(
        find_dialect("obs"),
        route,
        credentials=SecretCredentials(),
        clock=ServerClock(lambda: 1_700_000_000.0),
    )


def test_a_receipt_counts_as_progress() -> None:
    """Per part: a remote worker reports a part when it is stored."""
    backend, observed = ManualBackend(), list[events.Event]()
    future = RemoteWorkers(backend, SETTINGS, observe=observed.append).send(part_to_send())
    assert not future.done()
    backend.calls[0][1].set_result(WorkerReport(RECEIPT))
    assert future.result(0) == RECEIPT
    assert observed == [events.PartStored(1, 5)]


def test_events_of_a_worker_are_reported_even_if_it_failed() -> None:
    """To the observer of this part instead of the common one."""
    backend, observed, common = ManualBackend(), list[events.Event](), list[events.Event]()
    recorded = (events.Requested("UploadPart", "PUT", "bucket/key", 1, 403, "r1", 0.1, host="node7"),)
    future = RemoteWorkers(backend, SETTINGS, observe=common.append).send(
        part_to_send(), observe=observed.append
    )
    backend.calls[0][1].set_result(WorkerReport(failure=SourceChanged("it changed"), recorded=recorded))
    assert isinstance(future.exception(0), SourceChanged)
    assert (observed, common) == (list(recorded), [])


SLOW_DOWN = events.Retried(1, 1, "503 SlowDown", 0.5, throttled=True)


def test_a_throttled_worker_reduces_the_parts_in_flight() -> None:
    """The driver learns of it with the part and submits fewer, as if it had been throttled itself."""
    backend, concurrency = ManualBackend(), ConcurrencyLimit(ManualBackend.size)
    workers, stored = RemoteWorkers(backend, SETTINGS, observe=concurrency), list[int]()
    parts = (part_to_send(number) for number in range(1, 21))
    in_flight: list[int] = []

    def window() -> int:
        # Whenever the driver asks for the window, the oldest part in flight finishes.
        waiting = [future for _, future in backend.calls if not future.done()]
        in_flight.append(len(waiting))
        if waiting:
            number = len(stored) + 1
            waiting[0].set_result(
                WorkerReport(Receipt(number, 5, "etag"), recorded=(SLOW_DOWN,) if number == 1 else ())
            )
        return concurrency.window

    dispatch(
        parts,
        workers.send,
        window=window,
        stop=StopSignal(),
        on_receipt=lambda one: stored.append(one.number),
    )
    assert sorted(stored) == list(range(1, 21))
    assert max(in_flight[:2]) == 2 * ManualBackend.size
    assert min(in_flight[2:12]) <= ManualBackend.size // 2 + 1


def test_a_part_that_failed_because_of_throttling_reduces_the_limit() -> None:
    """A batch continues with its other files, with fewer at once."""
    backend, concurrency = ManualBackend(), ConcurrencyLimit(ManualBackend.size)
    future = RemoteWorkers(backend, SETTINGS, observe=concurrency).send(part_to_send())
    backend.calls[0][1].set_result(WorkerReport(failure=Throttled("part 1 was refused", "Busy", run_again())))
    assert isinstance(future.exception(0), Throttled)
    assert concurrency.allowed == ManualBackend.size // 2


def test_a_worker_of_a_different_version_is_an_error() -> None:
    """It does not return a WorkerReport: the future fails instead of never completing."""
    backend = ManualBackend()
    future = RemoteWorkers(backend, SETTINGS).send(part_to_send())
    backend.calls[0][1].set_result(RECEIPT)
    assert "different version of obsup" in str(future.exception(0))


def test_parts_of_dead_workers_are_sent_by_others() -> None:
    """Each part is submitted again, and its future gets the new result."""
    backend = ManualBackend()
    workers = RemoteWorkers(backend, SETTINGS)
    futures = [workers.send(part_to_send(number)) for number in (1, 2, 3)]
    for _, attempt in backend.calls[:2]:
        attempt.set_exception(BrokenExecutor())
    assert [remote.to_send.part.number for remote, _ in backend.calls] == [1, 2, 3, 1, 2]
    for _, attempt in backend.calls[2:]:
        attempt.set_result(WorkerReport(RECEIPT))
    assert [future.result(0) for future in futures] == [RECEIPT] * 3


def test_a_part_that_cannot_be_submitted_fails() -> None:
    """For example because no process can be started."""
    backend = ManualBackend()
    backend.is_broken = True
    assert isinstance(RemoteWorkers(backend, SETTINGS).send(part_to_send()).exception(0), WorkerLost)


def test_a_part_that_kills_every_worker_fails() -> None:
    """After three attempts; progress is kept and the exit code is 75."""
    backend = ManualBackend()
    future = RemoteWorkers(backend, SETTINGS).send(part_to_send())
    for _ in range(MAX_LOST_WORKERS):
        backend.calls[-1][1].set_exception(BrokenExecutor())
    assert len(backend.calls) == MAX_LOST_WORKERS
    failure = future.exception(0)
    assert isinstance(failure, WorkerLost)
    assert (failure.exit_code, failure.retryable) == (75, True)


class KilledWorker(Exception):
    """What Dask raises when a task has killed too many workers."""


@pytest.mark.parametrize(
    ("raised", "becomes"),
    [
        (KilledWorker("run_remote-1234"), WorkerLost),
        (SourceChanged("it changed", "on host", NextStep("look")), SourceChanged),
        (ModuleNotFoundError("No module named 'obsup'"), BadConfiguration),
        (ValueError("https://bucket/key?Signature=SECRET"), ObsupError),
    ],
)
def test_every_exception_of_a_worker_becomes_an_obsup_error(
    raised: Exception, becomes: type[ObsupError]
) -> None:
    """ObsupErrors stay as they are; others lose their text, which could hold a signed URL."""
    backend = ManualBackend()
    future = RemoteWorkers(backend, SETTINGS).send(part_to_send())
    backend.calls[0][1].set_exception(raised)
    failure = future.exception(0)
    assert type(failure) is becomes
    assert "SECRET" not in f"{failure} {failure!r}"
    assert len(backend.calls) == 1


def test_a_call_that_has_not_started_is_cancelled() -> None:
    """So that fewer parts are in flight; a running one is not cancelled, and not sent twice."""
    backend = ManualBackend()
    workers = RemoteWorkers(backend, SETTINGS)
    waiting, running = workers.send(part_to_send(1)), workers.send(part_to_send(2))
    backend.calls[1][1].set_running_or_notify_cancel()
    assert (waiting.cancel(), running.cancel()) == (True, False)
    assert (waiting.cancelled(), backend.calls[0][1].cancelled()) == (True, True)
    backend.calls[1][1].set_result(WorkerReport(RECEIPT))
    assert running.result(0) == RECEIPT


def test_a_backend_that_cannot_cancel_is_not_asked_to() -> None:
    """Dask's futures look pending until they are done."""
    backend = ManualBackend(can_cancel=False)
    future = RemoteWorkers(backend, SETTINGS).send(part_to_send())
    assert not future.cancel()
    assert not backend.calls[0][1].cancelled()


def test_a_future_that_the_scheduler_cancelled_is_a_lost_worker() -> None:
    """The cluster was shut down."""
    backend = ManualBackend(can_cancel=False)
    future = RemoteWorkers(backend, SETTINGS).send(part_to_send())
    backend.calls[0][1].cancel()
    backend.calls[0][1].set_running_or_notify_cancel()
    assert isinstance(future.exception(0), WorkerLost)


def test_a_rejected_url_is_signed_once_more() -> None:
    """It may have expired while the part waited; missing permissions do not change."""
    backend = ManualBackend()
    future = RemoteWorkers(backend, SETTINGS, signer=signer()).send(part_to_send())
    for _, attempt in backend.calls:
        attempt.set_result(WorkerReport(failure=Denied("refused")))
    assert [task.presigned is not None for task, _ in backend.calls] == [True, True]
    assert isinstance(future.exception(0), Denied)


def test_rejected_credentials_of_a_worker_are_not_retried() -> None:
    """The worker has already retried."""
    backend = ManualBackend()
    future = RemoteWorkers(backend, SETTINGS).send(part_to_send())
    backend.calls[0][1].set_result(WorkerReport(failure=Denied("refused")))
    assert (len(backend.calls), type(future.exception(0))) == (1, Denied)


DENIED = WorkerReport(failure=Denied("no credentials", "Nothing was found (on host b)"))


def test_a_worker_that_alone_fails_is_set_aside() -> None:
    """Another one sends its part; only then it is clear that the worker is what fails."""
    backend = ManualBackend("a", "b")
    future = RemoteWorkers(backend, SETTINGS).send(part_to_send())
    backend.calls[0][1].set_result(DENIED)
    assert backend.aside == {}
    backend.calls[1][1].set_result(WorkerReport(RECEIPT))
    assert future.result(0) == RECEIPT
    assert backend.aside == {"a": "no credentials. Nothing was found (on host b)"}


def test_what_fails_on_several_workers_is_not_their_fault() -> None:
    """The part fails after three of them, and none is set aside. A rejection by the store is not sent elsewhere."""
    backend = ManualBackend("a", "b", "c", "d")
    workers = RemoteWorkers(backend, SETTINGS)
    future = workers.send(part_to_send())
    for _ in range(3):
        backend.calls[-1][1].set_result(DENIED)
    assert (len(backend.calls), type(future.exception(0)), backend.aside) == (3, Denied, {})
    future = workers.send(part_to_send())
    backend.calls[-1][1].set_result(WorkerReport(failure=Refused("no such bucket")))
    assert (len(backend.calls), type(future.exception(0)), backend.aside) == (4, Refused, {})


def test_the_rate_is_divided() -> None:
    """Each of the concurrent calls gets an equal share."""
    backend = ManualBackend()
    RemoteWorkers(backend, SETTINGS, rate=constant_rate(1000.0)).send(part_to_send())
    assert backend.calls[0][0].rate == constant_rate(250.0)


def test_a_task_holds_no_secret_and_its_repr_no_signature() -> None:
    """A signed URL is pickled, but not in the repr, which schedulers log."""
    presigned = signer().sign_part(UPLOAD, 3)
    assert dict(presigned.query)["Signature"]
    plain, signed = PartTask(part_to_send(3), SETTINGS), PartTask(part_to_send(3), SETTINGS, presigned)
    for one in (plain, signed):
        data = pickle.dumps(one)
        assert pickle.loads(data) == one
        assert b"THE-SECRET" not in data
    assert "Signature" not in repr(signed)
    assert "THE-TOKEN" not in repr(signed)
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(SecretCredentials().current())


def test_a_presigned_part_lasts_a_day() -> None:
    """Long enough to wait behind other parts on a slow network."""
    expires = dict(signer().sign_part(UPLOAD, 1).query)["Expires"]
    assert datetime.fromtimestamp(int(expires or 0), UTC) == datetime(2023, 11, 15, 22, 13, 20, tzinfo=UTC)


def test_a_presigned_object_lasts_an_hour() -> None:
    """Its URL publishes it, and is signed with the headers."""
    signed = signer().sign_object(TARGET, {"x-obs-acl": "private"}, BodyDigests("1B2M2Y8AsgTpgAmY7PhCfg=="))
    assert signed.headers == (("x-obs-acl", "private"), ("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="))
    expires = dict(signed.query)["Expires"]
    assert datetime.fromtimestamp(int(expires or 0), UTC) == datetime(2023, 11, 14, 23, 13, 20, tzinfo=UTC)

"""What is retried, when, how often, and with which credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from obsup import events
from obsup.errors import (
    DataMismatch,
    Denied,
    NetworkError,
    NotFinished,
    ObsupError,
    Refusal,
    Refused,
    StoreError,
    Throttled,
)
from obsup.model import Credentials, Upload
from obsup.store.answers.failure_table import as_error
from obsup.store.answers.server_clock import ServerClock
from obsup.store.retrying import Attempts, FailureRecovery, RetryingStore, RetryPolicy
from tests.doubles.scripted_server import ReceivedRequest, Reply, ScriptedServer, error, response
from tests.support.stores import KEYS, GivenKeys, bytes_body, open_store, target

NOON = 1_773_500_966.0  # Sat, 14 Mar 2026 15:09:26 GMT
DATE = "Sat, 14 Mar 2026 15:09:26 GMT"


@dataclass
class Time:
    """A clock that only sleep() advances."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)
    stops_after: int | None = None

    def sleep(self, seconds: float) -> bool:
        self.slept.append(seconds)
        self.now += seconds
        return len(self.slept) == self.stops_after

    def policy(self, retry_for_s: float = 900.0) -> RetryPolicy:
        return RetryPolicy(
            retry_for_s=retry_for_s,
            monotonic=lambda: self.now,
            sleep=self.sleep,
            uniform=lambda _low, high: high,
        )


def refused(status: int, code: str, **more: object) -> StoreError:
    return StoreError(Refusal("UploadPart", "b/k", status, code, **more))  # type: ignore[arg-type]


def run(
    failures: list[Exception],
    time: Time,
    *,
    keys: GivenKeys | None = None,
    clock: ServerClock | None = None,
    retry_for_s: float = 900.0,
    observe: events.Observer = events.ignore,
) -> str:
    """Run an operation that raises each of *failures* once and then succeeds."""
    left: Iterator[Exception] = iter(failures)

    def once() -> str:
        failure = next(left, None)
        if failure is not None:
            raise failure
        return "done"

    recovery = FailureRecovery(keys or GivenKeys(KEYS), clock or ServerClock(lambda: NOON))
    return Attempts(time.policy(retry_for_s), recovery, observe).run(
        once, doing="part 1 of b/k", part_number=1
    )


def test_backoff_doubles_up_to_a_cap() -> None:
    """With full jitter, whose maximum is tested here."""
    time = Time()
    assert run([NetworkError("reset", "closed", True)] * 8, time) == "done"
    assert time.slept == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_backoff_is_random() -> None:
    """From 0: clients that failed at the same time must not retry at the same time."""
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    policy = RetryPolicy(uniform=uniform)
    assert policy.delay_s(3, None) == 0.0
    assert asked == [(0.0, 4.0)]


def test_retries_end_after_the_retry_time() -> None:
    """With an attempt at its end, also if a wait would exceed it; the last failure is reported."""
    time = Time()
    with pytest.raises(NotFinished, match="closed"):
        run([NetworkError("reset", "closed", True)] * 99, time, retry_for_s=60.0)
    assert time.slept == [1.0, 2.0, 4.0, 8.0, 16.0, 29.0]
    with pytest.raises(NotFinished, match="closed"):
        run([NetworkError("reset", "closed", True)] * 9, time, retry_for_s=0.0)
    assert time.now == 60.0


def test_waits_for_a_busy_store_are_longer() -> None:
    time = Time()
    assert run([refused(503, "SlowDown")], time) == "done"
    assert time.slept == [4.0]
    with pytest.raises(Throttled):
        run([refused(503, "SlowDown")] * 99, Time())


def test_retry_after_is_the_minimum_wait() -> None:
    time = Time()
    assert run(
        [refused(503, "SlowDown", retry_after_s=45.0), refused(500, "InternalError", retry_after_s=0.1)], time
    )
    assert time.slept == [45.0, 2.0]


def test_a_retry_after_beyond_the_retry_time_ends_the_retries() -> None:
    """The user runs the command again later."""
    time = Time()
    with pytest.raises(Throttled):
        run([refused(503, "SlowDown", retry_after_s=999_999.0)] * 2, time, retry_for_s=10.0)
    assert sum(time.slept) <= 10.0


@pytest.mark.parametrize(
    "failure", [refused(404, "NoSuchBucket"), refused(400, "InvalidArgument", message="no")]
)
def test_a_permanent_refusal_is_not_retried(failure: StoreError) -> None:
    time = Time()
    with pytest.raises(Refused):
        run([failure], time)
    assert time.slept == []


def test_a_damaged_part_is_sent_again_twice() -> None:
    """Not for 15 minutes: a network that damages data does so again."""
    assert run([refused(400, "BadDigest")] * 2, Time()) == "done"
    with pytest.raises(DataMismatch):
        run([refused(400, "BadDigest")] * 3, Time())


def test_the_clock_of_the_store_is_adopted() -> None:
    """If that does not help several times in a row, the cause is not the clock."""
    clock = ServerClock(lambda: NOON - 3600)
    assert run([refused(403, "RequestTimeTooSkewed", date=DATE)], Time(), clock=clock) == "done"
    assert clock.now().timestamp() == NOON
    with pytest.raises(Denied):
        run([refused(403, "RequestTimeTooSkewed", date=DATE)] * 4, Time(), clock=clock)


def test_credentials_that_expire_again_are_reloaded_again() -> None:
    """A part that is retried for 15 minutes may need more than two security tokens."""
    expired, failed = refused(400, "ExpiredToken"), refused(500, "InternalError")
    assert run([expired, failed, expired, failed, expired], Time()) == "done"
    with pytest.raises(Denied):
        run([failed, expired, expired], Time())


def test_long_attempts_do_not_use_up_the_retry_time() -> None:
    """A part that takes an hour and is reset every time is retried, but not forever."""
    time = Time()
    calls = 0

    def send() -> str:
        nonlocal calls
        calls += 1
        time.now += 3600
        raise NetworkError("reset", "the connection was reset", sent=True)

    attempts = Attempts(time.policy(), FailureRecovery(GivenKeys(KEYS), ServerClock()), events.ignore)
    with pytest.raises(NotFinished):
        attempts.run(send, doing="part 1")
    assert 10 <= calls <= 20


def test_a_long_wait_for_a_response_counts_in_full() -> None:
    """Complete may be awaited for ten times --stall-timeout; a part that took long to send counts for a minute."""
    for idle_s, expected in ((600.0, 2), (0.0, 12)):
        time, attempts = Time(), list[float]()

        def send(time: Time = time, attempts: list[float] = attempts, idle_s: float = idle_s) -> str:
            attempts.append(time.now)
            time.now += 600.0
            failure = NetworkError("stall", "idle", sent=True)
            failure.idle_s = idle_s
            raise failure

        recovery = FailureRecovery(GivenKeys(KEYS), ServerClock(lambda: NOON))
        with pytest.raises(NotFinished):
            Attempts(time.policy(900.0), recovery, events.ignore).run(send, doing="completing b/k")
        assert len(attempts) == expected


@pytest.mark.parametrize("kind", ["stall", "connect"])
def test_a_first_attempt_in_which_nothing_moved_uses_up_the_retry_time(kind: str) -> None:
    """A server that does not respond is not waited for twice if --retry-for is shorter than --stall-timeout."""
    time = Time()
    calls = 0

    def send() -> str:
        nonlocal calls
        calls += 1
        time.now += 30
        raise NetworkError(kind, "idle", sent=True)

    attempts = Attempts(
        time.policy(retry_for_s=20.0), FailureRecovery(GivenKeys(KEYS), ServerClock()), events.ignore
    )
    with pytest.raises(NotFinished):
        attempts.run(send, doing="part 1")
    assert (calls, time.now) == (1, 30.0)


@pytest.mark.parametrize(
    ("off_s", "why"),
    [
        (1320, "This computer's clock is 22 min 0 s ahead of store.example"),
        (-7500, "This computer's clock is 2 h 5 min behind store.example"),
        (3, "The clocks of this computer and of the store differ by more than the store allows"),
    ],
)
def test_the_difference_of_a_wrong_clock_is_reported(off_s: float, why: str) -> None:
    """If the dates agree, only the error of the store is reported."""
    ahead_s = ServerClock(lambda: NOON + off_s).ahead_s(DATE)
    refusal = Refusal(
        "UploadPart",
        "b/k",
        403,
        "RequestTimeTooSkewed",
        request_id="r1",
        endpoint="https://store.example",
        clock_ahead_s=ahead_s,
    )
    assert as_error(StoreError(refusal), doing="part 1").why == f"{why} (request id r1)"


@pytest.mark.parametrize(
    "date", ["", "yesterday", "Wed, 01 Jan 1800 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"]
)
def test_an_invalid_date_does_not_change_the_clock(date: str) -> None:
    clock = ServerClock(lambda: NOON)
    with pytest.raises(Denied):
        run([refused(403, "RequestTimeTooSkewed", date=date)], Time(), clock=clock)
    assert clock.now().timestamp() == NOON


@pytest.mark.parametrize(
    "code", ["ExpiredToken", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"]
)
def test_credentials_are_reloaded_once(code: str) -> None:
    """Expired credentials are replaced; a missing permission is reported soon."""
    keys = GivenKeys(KEYS, later=[Credentials("new", "secret")])
    assert run([refused(403, code)], Time(), keys=keys) == "done"
    assert (keys.refreshed, keys.current().access_key) == (1, "new")
    with pytest.raises(Denied):
        run([refused(403, code)] * 2, Time(), keys=GivenKeys(KEYS))


def test_different_failures_have_separate_limits() -> None:
    keys = GivenKeys(KEYS)
    clock = ServerClock(lambda: NOON - 3600)
    failures: list[Exception] = [
        refused(403, "RequestTimeTooSkewed", date=DATE),
        NetworkError("reset", "closed", True),
        refused(400, "ExpiredToken"),
        refused(400, "BadDigest"),
        refused(500, "InternalError"),
    ]
    assert run(failures, Time(), keys=keys, clock=clock) == "done"


def test_each_retry_is_reported() -> None:
    seen: list[events.Event] = []
    run([refused(500, "InternalError", request_id="r1")], Time(), observe=seen.append)
    assert isinstance(seen[0], events.Retried)
    assert (seen[0].number, seen[0].attempt, seen[0].delay_s) == (1, 1, 1.0)
    assert "r1" in seen[0].reason


def test_a_stop_ends_the_wait() -> None:
    """Progress is kept, and the command can be run again."""
    with pytest.raises(ObsupError) as caught:
        run([NetworkError("reset", "closed", True)] * 9, Time(stops_after=2))
    assert caught.value.exit_code == 75


Script = Callable[[ReceivedRequest], Reply]


def replay(*replies: Reply) -> Script:
    left = iter(replies)
    return lambda _: next(left)


def test_each_attempt_sends_the_whole_body_and_a_new_signature() -> None:
    """Dates and tokens expire; the body is read again from the start."""
    time = Time(now=NOON)
    keys = GivenKeys(KEYS, later=[Credentials("second", "secret", "token")])
    replies = replay(
        error(500, "InternalError"), error(400, "ExpiredToken"), response(200, headers={"ETag": "e"})
    )
    with (
        ScriptedServer(replies) as server,
        open_store("obs", server.endpoint, keys=keys, clock=lambda: time.now) as inner,
    ):
        store = RetryingStore(inner, time.policy(), FailureRecovery(keys, ServerClock()))
        store.upload_part(Upload(target(server.endpoint), "id"), 1, bytes_body(b"content"))
        first, second, third = server.received
    assert [one.body for one in server.received] == [b"content"] * 3
    assert first.header("Date") != second.header("Date")
    assert first.header("Authorization") != second.header("Authorization")
    assert str(third.header("Authorization")).startswith("OBS second:")
    assert third.header("x-obs-security-token") == "token"


def test_an_incomplete_list_is_never_returned() -> None:
    """After a failure on the second page the list starts again."""
    part = "<Part><PartNumber>{}</PartNumber><Size>1</Size></Part>"
    page = f"<ListPartsResult><IsTruncated>{{}}</IsTruncated>{part}</ListPartsResult>"
    replies = replay(
        response(200, page.format("true", 1)),
        error(500, "InternalError"),
        response(200, page.format("true", 1)),
        response(200, page.format("false", 2)),
    )
    with ScriptedServer(replies) as server, open_store("obs", server.endpoint) as inner:
        store = RetryingStore(inner, Time().policy(), FailureRecovery(GivenKeys(KEYS), ServerClock()))
        listed = [part.number for part in store.list_parts(Upload(target(server.endpoint), "id"))]
    assert listed == [1, 2]


def test_initiate_and_complete_are_not_retried() -> None:
    """The engine must look at the store first."""
    with (
        ScriptedServer(lambda _: error(500, "InternalError")) as server,
        open_store("obs", server.endpoint) as inner,
    ):
        store = RetryingStore(inner, Time().policy(), FailureRecovery(GivenKeys(KEYS), ServerClock()))
        with pytest.raises(StoreError):
            store.initiate(target(server.endpoint), {})
        with pytest.raises(StoreError):
            store.complete(Upload(target(server.endpoint), "id"), [(1, "e")], {})
        assert len(server.received) == 2

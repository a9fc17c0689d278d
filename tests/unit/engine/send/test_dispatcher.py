"""The driver's loop: how much is under way, what ends, what is kept, what is raised."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from obsup.engine.job.stop import StopSignal
from obsup.engine.proof.part_proof import DigestChoice
from obsup.engine.send.dispatcher import dispatch
from obsup.engine.send.part import PartToSend
from obsup.errors import Interrupted, NotFinished, ObsupError
from obsup.model import Part, Receipt, SourceStat, Target, Upload

UPLOAD = Upload(Target("obs", "http://127.0.0.1", "bucket", "key"), "id")
STAT = SourceStat(1000, 0, 0, 0, 0)


def jobs(count: int) -> Iterator[PartToSend]:
    """Yield *count* jobs."""
    return (
        PartToSend(
            UPLOAD, Part(number, number * 10, 10), "/source", STAT, DigestChoice(md5=True, crc64=False)
        )
        for number in range(1, count + 1)
    )


class Workers:
    """Threads that send parts as *how* says, and remember which began."""

    def __init__(self, size: int, how: Callable[[int], None]) -> None:
        self._pool = ThreadPoolExecutor(size)
        self._how = how
        self.begun: list[int] = []
        self.kept: list[int] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def _send(self, job: PartToSend) -> Receipt:
        self.begun.append(job.part.number)
        self._how(job.part.number)
        return Receipt(job.part.number, job.part.size, "etag")

    def run(self, count: int, window: Callable[[], int], stop: StopSignal | None = None) -> None:
        """Dispatch *count* jobs to these workers."""
        dispatch(
            jobs(count),
            lambda job: self._pool.submit(self._send, job),
            window=window,
            stop=stop or StopSignal(),
            on_receipt=lambda receipt: self.kept.append(receipt.number),
        )


def test_every_job_is_sent_once_and_kept() -> None:
    """In whatever order they end."""
    with Workers(3, lambda _number: None) as workers:
        workers.run(50, lambda: 6)
    assert sorted(workers.begun) == sorted(workers.kept) == list(range(1, 51))


def test_no_more_than_the_window_is_ever_submitted() -> None:
    """10,000 parts are not 10,000 futures."""
    open_now, most = 0, 0
    futures: list[Future[Receipt]] = []

    def send(job: PartToSend) -> Future[Receipt]:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        future: Future[Receipt] = Future()
        futures.append(future)
        if open_now == 4:
            for one in futures:
                one.set_result(Receipt(1, 10, "etag"))
            futures.clear()
            open_now = 0
        return future

    dispatch(jobs(40), send, window=lambda: 4, stop=StopSignal(), on_receipt=lambda _receipt: None)
    assert most == 4


def test_after_a_failure_nothing_new_begins() -> None:
    """What waits in the queue of the workers is called off; what is under way ends, and is kept."""
    part_2_began, may_end = threading.Event(), threading.Event()

    def how(number: int) -> None:
        if number == 1:
            assert part_2_began.wait(30)
            threading.Timer(0.5, may_end.set).start()
            raise NotFinished("part 1 failed")
        part_2_began.set()
        assert may_end.wait(30)

    with Workers(2, how) as workers, pytest.raises(NotFinished, match="part 1 failed"):
        workers.run(50, lambda: 8)
    # The thread that failed takes one more from its queue before the driver can hear of it.
    assert set(workers.begun) - {3} == {1, 2}
    assert 2 in workers.kept


def test_where_the_driver_sends_itself_the_first_failure_is_the_last_part() -> None:
    """The inline executor hands back futures that are done."""
    begun = []

    def send(job: PartToSend) -> Future[Receipt]:
        begun.append(job.part.number)
        future: Future[Receipt] = Future()
        if job.part.number == 3:
            future.set_exception(NotFinished("part 3 failed"))
        else:
            future.set_result(Receipt(job.part.number, 10, "etag"))
        return future

    with pytest.raises(NotFinished):
        dispatch(jobs(9), send, window=lambda: 8, stop=StopSignal(), on_receipt=lambda _receipt: None)
    assert begun == [1, 2, 3]


def test_a_smaller_window_takes_back_what_has_not_begun() -> None:
    """And sends it later: no part is lost between two windows."""
    window = 8
    first_began, may_end = threading.Event(), threading.Event()

    def how(number: int) -> None:
        nonlocal window
        if number == 1:
            window = 1
            first_began.set()
        assert may_end.wait(30)

    def shrink() -> int:
        if first_began.is_set():
            threading.Timer(0.3, may_end.set).start()
        return window

    with Workers(1, how) as workers:
        workers.run(12, shrink)
    assert workers.begun[0] == 1
    assert sorted(workers.begun) == sorted(workers.kept) == list(range(1, 13))


def test_a_stop_lets_parts_in_flight_end_and_raises_its_reason() -> None:
    """The reason to stop outranks what fails because of it."""
    stop = StopSignal(grace_s=30)

    def how(number: int) -> None:
        stop.request_stop(Interrupted("stopped by SIGINT"))
        if number == 2:
            raise NotFinished("cut short")

    with Workers(2, how) as workers, pytest.raises(Interrupted):
        workers.run(50, lambda: 4, stop)
    assert len(workers.begun) <= 4
    assert 1 in workers.kept


def test_a_stop_at_once_waits_for_nobody() -> None:
    """Parts in flight get no time."""
    stop = StopSignal()
    may_end = threading.Event()

    def how(number: int) -> None:
        stop.request_stop(Interrupted("stopped"), at_once=True)
        assert may_end.wait(30)

    with Workers(1, how) as workers:
        with pytest.raises(ObsupError, match="stopped"):
            workers.run(5, lambda: 2, stop)
        assert workers.kept == []
        may_end.set()

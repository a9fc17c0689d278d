"""The driver's loop: how many parts are submitted, what finishes, what is kept, what is raised."""

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
from tests.support.waiting import wait_for

UPLOAD = Upload(Target("obs", "http://127.0.0.1", "bucket", "key"), "id")
STAT = SourceStat(1000, 0, 0, 0, 0)


def parts(count: int) -> Iterator[PartToSend]:
    """Yield *count* parts."""
    digests = DigestChoice(md5=True, crc64=False)
    return (
        PartToSend(UPLOAD, Part(number, number * 10, 10), "/source", STAT, digests)
        for number in range(1, count + 1)
    )


class ThreadWorkers:
    """Threads that call *send_part* with each part number, and record which were started and stored."""

    def __init__(self, size: int, send_part: Callable[[int], None]) -> None:
        self._pool = ThreadPoolExecutor(size)
        self._send_part = send_part
        self.futures: list[Future[Receipt]] = []
        self.started: list[int] = []
        self.stored: list[int] = []

    def __enter__(self) -> ThreadWorkers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def _send(self, to_send: PartToSend) -> Receipt:
        self.started.append(to_send.part.number)
        self._send_part(to_send.part.number)
        return Receipt(to_send.part.number, to_send.part.size, "etag")

    def _submit(self, to_send: PartToSend) -> Future[Receipt]:
        self.futures.append(self._pool.submit(self._send, to_send))
        return self.futures[-1]

    def run(self, count: int, window: Callable[[], int], stop: StopSignal | None = None) -> None:
        """Dispatch *count* parts to these workers."""
        dispatch(
            parts(count),
            self._submit,
            window=window,
            stop=stop or StopSignal(),
            on_receipt=lambda receipt: self.stored.append(receipt.number),
        )

    def set_when_cancelled(self, event: threading.Event, first: int, last: int) -> None:
        """Set *event* in a thread, once the submissions from *first* to *last* are cancelled."""

        def watch() -> None:
            wait_for(lambda: len(self.futures) >= last, within_s=30)
            wait_for(
                lambda: all(future.cancelled() for future in self.futures[first - 1 : last]), within_s=30
            )
            event.set()

        threading.Thread(target=watch, daemon=True).start()


def test_every_part_is_sent_once_and_stored() -> None:
    """In whatever order they finish."""
    with ThreadWorkers(3, lambda _number: None) as workers:
        workers.run(50, lambda: 6)
    assert sorted(workers.started) == sorted(workers.stored) == list(range(1, 51))


def test_no_more_than_the_window_is_submitted() -> None:
    """10,000 parts are not 10,000 futures."""
    pending, most = list[Future[Receipt]](), 0

    def submit(_part: PartToSend) -> Future[Receipt]:
        nonlocal most
        future: Future[Receipt] = Future()
        pending.append(future)
        most = max(most, len(pending))
        if len(pending) == 4:
            for one in pending:
                one.set_result(Receipt(1, 10, "etag"))
            pending.clear()
        return future

    dispatch(parts(40), submit, window=lambda: 4, stop=StopSignal(), on_receipt=lambda _receipt: None)
    assert most == 4


def test_no_part_starts_after_a_failure() -> None:
    """Parts that no worker has started are cancelled; those in flight finish and are recorded."""
    part_2_started, may_finish = threading.Event(), threading.Event()

    def send_part(number: int) -> None:
        if number == 1:
            assert part_2_started.wait(30)
            raise NotFinished("part 1 failed")
        part_2_started.set()
        assert may_finish.wait(30)

    with ThreadWorkers(2, send_part) as workers:
        # The thread that failed may start part 3 before the driver learns of the failure.
        workers.set_when_cancelled(may_finish, 4, 8)
        with pytest.raises(NotFinished, match="part 1 failed"):
            workers.run(50, lambda: 8)
    assert set(workers.started) - {3} == {1, 2}
    assert 2 in workers.stored


def test_an_inline_failure_is_the_last_part() -> None:
    """The inline executor returns futures that are done."""
    started = []

    def submit(to_send: PartToSend) -> Future[Receipt]:
        started.append(to_send.part.number)
        future: Future[Receipt] = Future()
        if to_send.part.number == 3:
            future.set_exception(NotFinished("part 3 failed"))
        else:
            future.set_result(Receipt(to_send.part.number, 10, "etag"))
        return future

    with pytest.raises(NotFinished):
        dispatch(parts(9), submit, window=lambda: 8, stop=StopSignal(), on_receipt=lambda _receipt: None)
    assert started == [1, 2, 3]


def test_a_smaller_window_cancels_parts_that_have_not_started() -> None:
    """They are sent later: no part is lost."""
    window = 8
    may_finish = threading.Event()

    def send_part(number: int) -> None:
        nonlocal window
        if number == 1:
            window = 1
        assert may_finish.wait(30)

    with ThreadWorkers(1, send_part) as workers:
        workers.set_when_cancelled(may_finish, 2, 8)
        workers.run(12, lambda: window if len(workers.futures) >= 8 else 8)
    assert workers.started[0] == 1
    assert sorted(workers.started) == sorted(workers.stored) == list(range(1, 13))


def test_a_stop_lets_parts_in_flight_finish_and_raises_its_reason() -> None:
    """The reason takes precedence over failures that the stop causes."""
    stop = StopSignal(grace_s=30)

    def send_part(number: int) -> None:
        stop.request_stop(Interrupted("stopped by SIGINT"))
        if number == 2:
            raise NotFinished("interrupted")

    with ThreadWorkers(2, send_part) as workers, pytest.raises(Interrupted):
        workers.run(50, lambda: 4, stop)
    assert len(workers.started) <= 4
    assert 1 in workers.stored


def test_an_immediate_stop_does_not_wait() -> None:
    """Parts in flight get no time to finish."""
    stop = StopSignal()
    may_finish = threading.Event()

    def send_part(_number: int) -> None:
        stop.request_stop(Interrupted("stopped"), at_once=True)
        assert may_finish.wait(30)

    with ThreadWorkers(1, send_part) as workers:
        with pytest.raises(ObsupError, match="stopped"):
            workers.run(5, lambda: 2, stop)
        assert workers.stored == []
        may_finish.set()

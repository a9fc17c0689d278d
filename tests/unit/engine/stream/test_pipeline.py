"""The pipeline of a stream: one thread reads, memory is bounded, and nothing keeps reading after the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from obsup.engine.job.stop import StopSignal
from obsup.engine.plan.concurrency import ConcurrencyLimit
from obsup.engine.plan.stream_plan import StreamSizes
from obsup.engine.stream.pipeline import StreamPipeline
from obsup.errors import Interrupted, LocalFailure, NotFinished
from obsup.local.processes.executors import InlineExecutor
from obsup.local.source.digest import PartDigest
from obsup.local.source.expectation import Expectation
from obsup.local.source.file_object import FileObject
from obsup.local.source.memory_part import MemoryPart
from obsup.local.source.stream import ByteSource
from obsup.local.source.stream_parts import PartReader
from obsup.model import Receipt
from tests.support.waiting import wait_for

PART = 10
JOBS = 3


class RecordingSource(ByteSource):
    """A stream of *size* bytes that records its reading threads. It fails at *fails_at* and blocks at *blocks_at*."""

    name = "the source"

    def __init__(self, size: int, *, fails_at: int | None = None, blocks_at: int | None = None) -> None:
        self.size = size
        self.position = 0
        self.threads: set[threading.Thread] = set()
        self.is_started = self.is_closed = False
        self.is_blocked = threading.Event()
        self._fails_at = fails_at
        self._blocks_at = blocks_at
        self._cancelled = threading.Event()

    def start(self) -> None:
        """Record it."""
        self.is_started = True

    def readinto(self, view: memoryview, /) -> int:
        """Fill *view* as far as the stream goes."""
        assert not self.is_closed
        self.threads.add(threading.current_thread())
        if self._fails_at is not None and self.position >= self._fails_at:
            raise OSError("the disk is broken")
        if self._blocks_at is not None and self.position >= self._blocks_at:
            self.is_blocked.set()
            assert self._cancelled.wait(30)
            raise LocalFailure("reading was cancelled")
        count = min(len(view), self.size - self.position)
        self.position += count
        return count

    def is_finished(self, _timeout_s: float, /) -> bool:
        """Return True: the end of the bytes is the end of the stream."""
        return True

    def cancel(self) -> None:
        """Make a blocked read return."""
        self._cancelled.set()

    def close(self) -> None:
        """Record it; no read may follow."""
        self.is_closed = True


@contextmanager
def pipeline_of(
    source: RecordingSource | FileObject, *, executor: Executor | None = None, stop: StopSignal | None = None
) -> Iterator[StreamPipeline]:
    """Return a started pipeline of parts of PART bytes, JOBS at once, and close it."""
    reader = PartReader(source, Expectation().meter(), lambda: PartDigest(md5=True))
    pipeline = StreamPipeline(
        reader,
        source,
        StreamSizes(PART, PART, 1000),
        executor=executor or ThreadPoolExecutor(JOBS),
        concurrency=ConcurrencyLimit(JOBS),
        stop=stop or StopSignal(),
    )
    try:
        pipeline.start()
        yield pipeline
    finally:
        pipeline.close()


def receipt_of(part: MemoryPart) -> Receipt:
    """Return the receipt of a part, as the store would confirm it."""
    return Receipt(part.part.number, part.part.size, "etag")


def send_all(pipeline: StreamPipeline, send: Callable[[MemoryPart], Receipt], stored: list[int]) -> None:
    """Send every part of the stream with *send*; add the numbers to *stored* in the order of their receipts."""
    is_last = False
    while not is_last:
        part = pipeline.next()
        is_last = part.is_last
        pipeline.send(part, send, lambda receipt: stored.append(receipt.number))
    pipeline.drain()


@pytest.mark.parametrize("executor", [ThreadPoolExecutor, InlineExecutor])
def test_one_thread_reads_the_whole_stream(executor: type[Executor]) -> None:
    """However many parts there are; it ends with the stream."""
    source, stored = RecordingSource(50 * PART - 1), list[int]()
    with pipeline_of(source, executor=executor()) as pipeline:
        send_all(pipeline, receipt_of, stored)
        assert sorted(stored) == list(range(1, 51))
        (reader,) = source.threads
        assert reader is not threading.current_thread()
        assert reader.name == "read-stream"
        reader.join(30)
        assert not reader.is_alive()
    assert source.is_closed


def test_no_more_parts_are_read_than_fit_into_memory() -> None:
    """The parts in flight and one more; releasing one lets the reader continue."""
    source = RecordingSource(50 * PART)
    with pipeline_of(source) as pipeline:
        held = [pipeline.next()]
        while pipeline.has_room:
            held.append(pipeline.next())
        assert len(held) == JOBS + 1
        # Whole parts, and the reader looks up to one buffer ahead to see whether a part is the last.
        assert source.position <= (JOBS + 2) * PART
        pipeline.discard(held[0])
        assert pipeline.has_room
        assert pipeline.next().part.number == JOBS + 2
        assert source.position <= (JOBS + 3) * PART


def test_the_memory_budget_holds_while_parts_are_sent() -> None:
    """The reader waits for the senders: parts that are read but not stored never exceed the budget."""
    source, stored, pending = RecordingSource(200 * PART), list[int](), list[int]()

    def send(part: MemoryPart) -> Receipt:
        parts_read = source.position // PART
        pending.append(parts_read - len(stored))
        return receipt_of(part)

    with pipeline_of(source) as pipeline:
        send_all(pipeline, send, stored)
    assert len(stored) == 200
    # One more for the reader, which looks ahead, and one whose receipt is being recorded.
    assert max(pending) <= JOBS + 3


def test_a_failed_read_is_raised_after_the_parts_before_it() -> None:
    """The parts that were read are returned first, so that they can be sent."""
    source = RecordingSource(50 * PART, fails_at=2 * PART)
    with pipeline_of(source) as pipeline:
        assert pipeline.next().part.number == 1
        with pytest.raises(OSError, match="the disk is broken"):
            pipeline.next()
    (reader,) = source.threads
    assert not reader.is_alive()


def test_a_failed_part_ends_the_reading() -> None:
    """The first failure is raised, receipts of parts in flight are kept, and the reader thread ends."""
    source = RecordingSource(500 * PART)
    stored: list[int] = []

    def send_or_fail(part: MemoryPart) -> Receipt:
        if part.part.number == 3:
            raise NotFinished("part 3 failed")
        return receipt_of(part)

    with pipeline_of(source) as pipeline, pytest.raises(NotFinished, match="part 3 failed"):
        send_all(pipeline, send_or_fail, stored)
    (reader,) = source.threads
    assert not reader.is_alive()
    assert {1, 2} <= set(stored)
    assert source.is_closed


def test_a_stop_ends_a_read_that_blocks() -> None:
    """The source's cancel makes the read return; no thread stays behind."""
    source, stop = RecordingSource(50 * PART, blocks_at=2 * PART), StopSignal()
    with pipeline_of(source, stop=stop) as pipeline:
        assert pipeline.next().part.number == 1
        assert source.is_blocked.wait(30)
        stop.request_stop(Interrupted("stopped by SIGINT"))
        with pytest.raises(Interrupted):
            pipeline.next()
    (reader,) = source.threads
    assert not reader.is_alive()
    assert source.is_closed


def test_closing_ends_a_reader_that_waits_for_memory() -> None:
    """It reads nothing more."""
    source = RecordingSource(50 * PART)
    with pipeline_of(source) as pipeline:
        while pipeline.has_room:
            pipeline.next()
    (reader,) = source.threads
    assert not reader.is_alive()
    assert source.is_closed


def test_a_read_that_cannot_be_cancelled_is_the_last_one() -> None:
    """A file object may block for ever: close does not wait for it, and when it returns nothing more is read."""
    may_return, reads = threading.Event(), list[threading.Thread]()

    class BlockingFile:
        def read(self, size: int = -1, /) -> bytes:  # noqa: ARG002 - the signature of a file
            reads.append(threading.current_thread())
            assert may_return.wait(30)
            return b"x"

    stop = StopSignal()
    with pipeline_of(FileObject(BlockingFile()), stop=stop) as pipeline:
        wait_for(lambda: reads)
        stop.request_stop(Interrupted("stopped by SIGINT"))
        with pytest.raises(Interrupted):
            pipeline.next()
    assert reads[0].is_alive()
    may_return.set()
    reads[0].join(30)
    assert not reads[0].is_alive()
    assert len(reads) == 1


def test_a_source_that_cannot_start_is_closed() -> None:
    """No thread was started."""

    class Unstartable(RecordingSource):
        def start(self) -> None:
            raise LocalFailure("it cannot be started")

    source = Unstartable(PART)
    with pytest.raises(LocalFailure, match="cannot be started"), pipeline_of(source):
        pass
    assert (source.threads, source.is_closed) == (set(), True)

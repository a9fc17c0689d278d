"""Pipeline for a stream: read ahead, upload concurrently, within a memory budget."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import NoReturn

from obsup.engine.job.stop import StopSignal
from obsup.engine.plan.concurrency import ConcurrencyLimit
from obsup.engine.plan.stream_plan import StreamSizes
from obsup.engine.send.dispatcher import POLL_S, drain
from obsup.engine.stream.reader_thread import ReaderThread
from obsup.local.source.memory_part import MemoryPart
from obsup.local.source.stream import ByteSource
from obsup.local.source.stream_parts import PartReader
from obsup.model import Receipt
from obsup.value import Value

# How long close() waits for a cancelled read to return, in seconds.
JOIN_S = 1.0


class _PendingPart(Value):
    """A part to send with *call*; *on_receipt* gets its receipt."""

    part: MemoryPart
    call: Callable[[MemoryPart], Receipt]
    on_receipt: Callable[[Receipt], None]


class StreamPipeline:
    """Reads the parts of a stream in one thread and sends them in several. One thread drives it.

    ``next`` returns a part, which the driver passes to ``send`` or ``discard``; ``drain`` waits for all parts sent.
    After a failure or a stop no part starts, those in flight finish, and the failure or the stop's reason is raised.
    """

    def __init__(
        self,
        reader: PartReader,
        source: ByteSource,
        sizes: StreamSizes,
        *,
        executor: Executor,
        concurrency: ConcurrencyLimit,
        stop: StopSignal,
    ) -> None:
        self._source = source
        self._executor = executor
        self._concurrency = concurrency
        self._stop = stop
        # What the reader and the senders finished. The memory budget bounds it.
        self._finished: SimpleQueue[MemoryPart | BaseException | Future[Receipt]] = SimpleQueue()
        self._reader = ReaderThread(reader, sizes, jobs=concurrency.most, deliver=self._finished.put)
        self._read: deque[MemoryPart | BaseException] = deque()
        self._next_number = 1
        self._held = 0
        self._ready: deque[_PendingPart] = deque()
        self._sending: dict[Future[Receipt], _PendingPart] = {}
        self._failures: list[BaseException] = []

    @property
    def has_room(self) -> bool:
        """Whether ``next`` returns a part even if all parts returned so far stay in memory."""
        return self._held < self._reader.budget(self._next_number)

    def start(self) -> None:
        """Start the source, and read it."""
        self._source.start()
        self._reader.start()

    def next(self) -> MemoryPart:
        """Return the next part of the stream; receive receipts while waiting. Raises what reading raises."""
        self.update()
        while not self._read:
            self.update(POLL_S)
        part = self._read.popleft()
        if isinstance(part, BaseException):
            self.fail(part)
        self._next_number += 1
        self._held += 1
        return part

    def send(
        self, part: MemoryPart, call: Callable[[MemoryPart], Receipt], on_receipt: Callable[[Receipt], None]
    ) -> None:
        """Call *call* with *part* in a sender thread; *on_receipt* is called in the driver's thread."""
        self._ready.append(_PendingPart(part, call, on_receipt))
        self._submit()

    def discard(self, part: MemoryPart) -> None:
        """Release a part that is not sent, or no longer."""
        part.release()
        self._held -= 1
        self._reader.release()

    def drain(self) -> None:
        """Wait until every part that was sent is stored."""
        while self._sending or self._ready:
            self.update(POLL_S)

    def update(self, wait_s: float = 0.0) -> None:
        """Process the parts that were read or stored; wait up to *wait_s* for one. Raises as ``check`` does."""
        self._receive(wait_s)
        self.check()
        self._submit()

    def check(self) -> None:
        """Raise the stop's reason or the first failure, if any, after the parts in flight finished."""
        if self._stop.reason is None and not self._failures:
            return
        while self._sending and not self._stop.is_over:
            self._receive(POLL_S)
        raise self._stop.reason or self._failures[0]

    def fail(self, failure: BaseException) -> NoReturn:
        """Raise *failure*, or the stop's reason, after the parts in flight finished."""
        self._failures.append(failure)
        self.check()
        raise failure

    def close(self) -> None:
        """End all threads, and close the source unless a read blocks in it."""
        self._source.cancel()
        has_ended = False
        try:
            has_ended = self._reader.close(JOIN_S)
            self._executor.shutdown(wait=not self._stop.is_over, cancel_futures=True)
        finally:
            if has_ended:
                self._source.close()

    def _submit(self) -> None:
        """Start sending as many parts as may be in flight."""
        while self._ready and len(self._sending) < self._concurrency.allowed:
            pending = self._ready.popleft()
            future = self._executor.submit(pending.call, pending.part)
            self._sending[future] = pending
            future.add_done_callback(self._finished.put)

    def _receive(self, wait_s: float = 0.0) -> None:
        """Process everything that the reader and the senders finished; wait up to *wait_s* for the first."""
        for finished in drain(self._finished, wait_s):
            if not isinstance(finished, Future):
                self._read.append(finished)
                continue
            pending = self._sending.pop(finished)
            self.discard(pending.part)
            failure = finished.exception()
            if failure is None:
                pending.on_receipt(finished.result())
            else:
                self._failures.append(failure)

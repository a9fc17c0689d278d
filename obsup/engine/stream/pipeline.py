"""The parts of one stream on their way: read ahead, sent by several threads, never more in memory than agreed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from typing import Any, NoReturn

from obsup.engine.job.stop import StopSignal
from obsup.engine.plan.stream_plan import StreamSizes, parts_in_memory
from obsup.engine.send.concurrency import ConcurrencyLimit
from obsup.engine.send.dispatcher import POLL_S
from obsup.local.source.memory_part import MemoryPart
from obsup.local.source.stream import ByteSource
from obsup.local.source.stream_parts import PartReader
from obsup.model import Receipt
from obsup.value import Value

# How long a reader that was cancelled may take to come back, in seconds.
PATIENCE_S = 1.0


class _PendingPart(Value):
    """A part that is to be sent: by *call*, whose receipt goes to *keep*."""

    part: MemoryPart
    call: Callable[[MemoryPart], Receipt]
    keep: Callable[[Receipt], None]


class StreamPipeline:
    """Driven by one thread: ``next`` gives a part, which is then sent or dropped; ``drain`` waits for all.

    After a failure, or when *stop* asks, nothing new begins, what is under way ends and is kept, and the failure
    or the reason is raised.
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
        self._reader = reader
        self._source = source
        self._sizes = sizes
        self._executor = executor
        self._concurrency = concurrency
        self._stop = stop
        self._number = 1
        self._is_at_end = False
        self._in_memory = 0
        self._thread: threading.Thread | None = None
        self._reading: Future[MemoryPart] | None = None
        self._ready: deque[_PendingPart] = deque()
        self._sending: dict[Future[Receipt], _PendingPart] = {}
        self._failures: list[BaseException] = []

    @property
    def can_go_on(self) -> bool:
        """Whether ``next`` will have a part though all that are in memory now stay there."""
        return self._reading is not None or self._has_room

    @property
    def _has_room(self) -> bool:
        size = self._sizes.size_of(min(self._number, self._sizes.max_parts))
        return self._in_memory < parts_in_memory(size, self._sizes.start, self._concurrency.most)

    def next(self) -> MemoryPart:
        """Return the next part of the stream; meanwhile take receipts in."""
        self._read_ahead()
        while self._reading is None or not self._reading.done():
            self.wait_a_little()
            self._read_ahead()
        self._take_in()
        self.check()
        part = self._reading.result()
        self._reading = None
        self._is_at_end = part.is_last
        self._number += 1
        self._read_ahead()
        return part

    def send(
        self, part: MemoryPart, call: Callable[[MemoryPart], Receipt], keep: Callable[[Receipt], None]
    ) -> None:
        """Have a thread *call* with *part*; *keep* hears the receipt, here."""
        self._ready.append(_PendingPart(part, call, keep))
        self._launch()

    def drop(self, part: MemoryPart) -> None:
        """Let go of a part that need not be sent."""
        part.release()
        self._in_memory -= 1

    def drain(self) -> None:
        """Return once every part that was sent is stored."""
        while self._sending or self._ready:
            self.wait_a_little()

    def wait_a_little(self) -> None:
        """Wait a little for anything to happen, and take it in."""
        waiting: set[Future[Any]] = set(self._sending)
        if self._reading is not None:
            waiting.add(self._reading)
        wait(waiting, timeout=POLL_S, return_when=FIRST_COMPLETED)
        self._take_in()
        self.check()
        self._launch()

    def check(self) -> None:
        """Raise, after what is under way has ended, where this cannot end well any more."""
        if self._stop.reason is None and not self._failures:
            return
        while self._sending and not self._stop.is_over:
            wait(self._sending, timeout=POLL_S, return_when=FIRST_COMPLETED)
            self._take_in()
        raise self._stop.reason or self._failures[0]

    def fail(self, failure: Exception) -> NoReturn:
        """Raise *failure*, or the reason to stop, after what is under way has ended."""
        self._failures.append(failure)
        self.check()
        raise failure

    def close(self) -> None:
        """Let go of the source and the threads."""
        self._source.cancel()
        try:
            if self._thread is not None:
                self._thread.join(PATIENCE_S)
            self._executor.shutdown(wait=not self._stop.is_over, cancel_futures=True)
        finally:
            if self._thread is None or not self._thread.is_alive():
                self._source.close()

    def _launch(self) -> None:
        """Have as many parts sent as may be in flight."""
        while self._ready and len(self._sending) < self._concurrency.allowed:
            pending = self._ready.popleft()
            self._sending[self._executor.submit(pending.call, pending.part)] = pending

    def _read_ahead(self) -> None:
        if self._reading is not None or self._is_at_end or not self._has_room:
            return
        if self._number > self._sizes.max_parts:
            return
        self._in_memory += 1
        self._reading = Future()
        self._thread = threading.Thread(target=self._read, args=(self._reading, self._number), daemon=True)
        self._thread.start()

    def _read(self, future: Future[MemoryPart], number: int) -> None:
        try:
            future.set_result(
                self._reader.take(number, self._sizes.offset_of(number), self._sizes.size_of(number))
            )
        except BaseException as exc:  # noqa: BLE001 - a future carries whatever its call raised
            future.set_exception(exc)

    def _take_in(self) -> None:
        for future in [one for one in self._sending if one.done()]:
            pending = self._sending.pop(future)
            self.drop(pending.part)
            failed = future.exception()
            if failed is None:
                pending.keep(future.result())
            else:
                self._failures.append(failed)
        if self._reading is not None and self._reading.done() and self._reading.exception() is not None:
            self._failures.append(self._reading.exception() or AssertionError("it was looked at"))

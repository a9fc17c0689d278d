"""Read a stream in one thread, ahead of the sending, within the memory budget."""

from __future__ import annotations

import threading
from collections.abc import Callable

from obsup.engine.plan.stream_plan import StreamSizes, parts_in_memory
from obsup.errors import LIMIT_REACHED, LocalFailure, run_again
from obsup.local.platform.processes import start_thread
from obsup.local.source.memory_part import MemoryPart
from obsup.local.source.stream_parts import PartReader


class ReaderThread:
    """The one thread that reads a stream, from its first part to its end.

    Each part goes to *deliver*, in order; then the error if reading failed. *deliver* is called in this thread. A part
    occupies memory from its first byte until ``release``. The thread waits while the budget for *jobs* parts in flight
    is used up.
    """

    def __init__(
        self,
        reader: PartReader,
        sizes: StreamSizes,
        *,
        jobs: int,
        deliver: Callable[[MemoryPart | BaseException], None],
    ) -> None:
        self._reader = reader
        self._sizes = sizes
        self._jobs = jobs
        self._deliver = deliver
        self._changed = threading.Condition()
        self._in_memory = 0
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="read-stream", daemon=True)

    def start(self) -> None:
        """Start reading. Raises LocalFailure if no thread can be started."""
        try:
            start_thread(self._thread)
        except RuntimeError as exc:
            raise LocalFailure(
                "no thread can be started to read the stream",
                LIMIT_REACHED,
                run_again("raise the limit"),
            ) from exc

    def budget(self, number: int) -> int:
        """Return how many parts may be in memory while part *number* is read, this part included."""
        size = self._sizes.size_of(min(number, self._sizes.max_parts))
        return parts_in_memory(size, self._sizes.start, self._jobs)

    def release(self) -> None:
        """Report that the memory of one delivered part is free."""
        with self._changed:
            self._in_memory -= 1
            self._changed.notify()

    def close(self, timeout_s: float) -> bool:
        """Make the thread end; return whether it did within *timeout_s*. Cancel the source's pending read before."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            for number in range(1, self._sizes.max_parts + 1):
                if not self._reserve(number):
                    return
                part = self._reader.take(number, self._sizes.offset_of(number), self._sizes.size_of(number))
                self._deliver(part)
                if part.is_last:
                    return
        except BaseException as exc:  # noqa: BLE001 - the thread that drives the upload raises it
            self._deliver(exc)

    def _reserve(self, number: int) -> bool:
        """Wait until part *number* fits into memory, and count it; return False if the thread must end."""
        budget = self.budget(number)
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._in_memory < budget)
            self._in_memory += 1
            return not self._is_closed

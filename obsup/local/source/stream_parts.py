"""From a stream to parts in memory."""

from __future__ import annotations

from collections.abc import Callable

from obsup.local.source.buffers import BLOCK, BufferPool
from obsup.local.source.digest import PartDigest
from obsup.local.source.expectation import SourceMeter
from obsup.local.source.memory_part import MemoryPart
from obsup.local.source.stream import ByteSource
from obsup.model import Part


def read_one(source: ByteSource, number: int, size: int, digest: PartDigest) -> MemoryPart:
    """Return a part of *size* bytes, or of what is left of *source*: not a byte more is read.

    Raises what reading raises.
    """
    pool = BufferPool()
    blocks: list[bytearray] = []
    filled, count = 0, 1
    while filled < size and count:
        within = filled % BLOCK
        if not within:
            blocks.append(pool.take())
        count = source.readinto(memoryview(blocks[-1])[within : within + size - filled])
        filled += count
    return MemoryPart(Part(number, 0, filled), blocks, pool, is_last=False, digest=digest)


class PartReader:
    """Cuts a stream into parts, each byte read once. One thread at a time calls ``take``.

    It reads a little ahead of each part, at most a block, so that the last part knows that it is the last.
    """

    def __init__(self, source: ByteSource, meter: SourceMeter, digest: Callable[[], PartDigest]) -> None:
        self._source = source
        self._meter = meter
        self._digest = digest
        self.pool = BufferPool()
        self._ahead: tuple[bytearray, int] | None = None

    def take(self, number: int, offset: int, size: int) -> MemoryPart:
        """Return the next part: *size* bytes, or what is left of the stream.

        Raises what reading raises, and DataMismatch where the stream becomes larger than expected.
        """
        blocks, filled = ([self._ahead[0]], self._ahead[1]) if self._ahead is not None else ([], 0)
        self._ahead = None
        count = 1
        while filled < size and count:
            within = filled % BLOCK
            if not within:
                blocks.append(self.pool.take())
            count = self._fill(memoryview(blocks[-1])[within : within + size - filled])
            filled += count
        is_last = not count or not self._look_ahead(size)
        part = Part(number, offset, filled)
        return MemoryPart(part, blocks, self.pool, is_last=is_last, digest=self._digest())

    def _look_ahead(self, size: int) -> bool:
        """Read the beginning of the part that follows; return whether there is one."""
        block = self.pool.take()
        count = self._fill(memoryview(block)[:size])
        if count:
            self._ahead = (block, count)
        else:
            self.pool.give_back([block])
        return bool(count)

    def _fill(self, view: memoryview) -> int:
        count = self._source.readinto(view)
        self._meter.update(view[:count])
        self._meter.check_room(self._source.name)
        return count

"""Read a stream into parts in memory."""

from __future__ import annotations

from collections.abc import Callable

from obsup.local.source.buffers import Block, BufferPool
from obsup.local.source.digest import PartDigest
from obsup.local.source.expectation import SourceMeter
from obsup.local.source.memory_part import MemoryPart, fill_blocks
from obsup.local.source.stream import ByteSource
from obsup.model import Part


def read_stream_part(source: ByteSource, number: int, size: int, digest: PartDigest) -> MemoryPart:
    """Return a part of *size* bytes, or less at the end of *source*. It reads no byte beyond the part.

    Raises what reading raises.
    """
    pool = BufferPool()
    blocks: list[Block] = []
    filled = fill_blocks(blocks, 0, size, pool, source.readinto)
    return MemoryPart(Part(number, 0, filled), blocks, pool, is_last=False, digest=digest)


class PartReader:
    """Splits a stream into parts and reads each byte once. Only one thread at a time may call ``take``.

    It reads at most one block beyond each part, so that the last part is known to be the last.
    """

    def __init__(self, source: ByteSource, meter: SourceMeter, digest: Callable[[], PartDigest]) -> None:
        self._source = source
        self._meter = meter
        self._digest = digest
        self.pool = BufferPool()
        self._read_ahead: tuple[Block, int] | None = None

    def take(self, number: int, offset: int, size: int) -> MemoryPart:
        """Return the next part: *size* bytes, or the rest of the stream.

        Raises what reading raises, and DataMismatch if the stream is larger than expected.
        """
        blocks, filled = ([self._read_ahead[0]], self._read_ahead[1]) if self._read_ahead else ([], 0)
        self._read_ahead = None
        filled = fill_blocks(blocks, filled, size, self.pool, self._fill)
        is_last = filled < size or not self._has_more(size)
        part = Part(number, offset, filled)
        return MemoryPart(part, blocks, self.pool, is_last=is_last, digest=self._digest())

    def _has_more(self, size: int) -> bool:
        """Read the beginning of the next part; return whether there is one."""
        block = self.pool.take()
        count = self._fill(memoryview(block)[:size])
        if count:
            self._read_ahead = (block, count)
        else:
            self.pool.give_back([block])
        return bool(count)

    def _fill(self, view: memoryview) -> int:
        count = self._source.readinto(view)
        self._meter.update(view[:count])
        self._meter.check_size_so_far(self._source.name)
        return count

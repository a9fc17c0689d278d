"""Buffers for reading the source. They are reused, because allocating one costs as much as the bytes that it holds."""

from __future__ import annotations

from collections import deque

from obsup.units import MIB

# A block is hashed and sent while it is still in the processor's cache.
BLOCK_BYTES = 1 * MIB


class BufferPool:
    """A pool of blocks of BLOCK_BYTES, with as many as were ever in use at once. Thread-safe."""

    def __init__(self) -> None:
        self._free: deque[bytearray] = deque()
        self.allocated = 0

    def take(self) -> bytearray:
        """Return a free block, or a new one."""
        try:
            return self._free.pop()
        except IndexError:
            self.allocated += 1
            return bytearray(BLOCK_BYTES)

    def give_back(self, blocks: list[bytearray]) -> None:
        """Return *blocks* to the pool. They must not be used any more."""
        self._free.extend(blocks)

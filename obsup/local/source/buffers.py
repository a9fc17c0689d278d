"""Buffers that bytes pass through, used again and again: a new one costs as much as the bytes that it takes."""

from __future__ import annotations

from collections import deque

from obsup.units import MIB

# What is read is hashed and sent while it still lies in the processor's own cache. Bytes.
BLOCK = 1 * MIB


class BufferPool:
    """Buffers of the size of a block: as many as were taken at once, and no more. Safe to share between threads."""

    def __init__(self) -> None:
        self._free: deque[bytearray] = deque()
        self.made = 0

    def take(self) -> bytearray:
        """Return a free block, or a new one."""
        try:
            return self._free.pop()
        except IndexError:
            self.made += 1
            return bytearray(BLOCK)

    def give_back(self, blocks: list[bytearray]) -> None:
        """Take *blocks* back; nobody reads them any more."""
        self._free.extend(blocks)

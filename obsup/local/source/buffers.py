"""Buffers for reading the source. They are reused, because allocating one costs as much as the bytes that it holds."""

from __future__ import annotations

import mmap
import os
from collections import deque

from obsup.units import MIB

# A block is hashed and sent while it is still in the processor's cache.
BLOCK_BYTES = 1 * MIB
# On Unix, the memory is not shared with forked processes.
_ACCESS = mmap.ACCESS_COPY if os.name == "posix" else mmap.ACCESS_WRITE

Block = bytearray | memoryview


class BufferPool:
    """A pool of blocks of BLOCK_BYTES, with as many as were ever in use at once. Thread-safe."""

    def __init__(self) -> None:
        self._free: deque[Block] = deque()
        self.allocated = 0

    def take(self) -> Block:
        """Return a free block, or a new one. Raises MemoryError.

        A new one begins at a page. That of a bytearray begins 16 bytes later, and reading a file into it takes half as
        long again: the processor mistakes the bytes that it reads for those that it has just written.
        """
        try:
            return self._free.pop()
        except IndexError:
            self.allocated += 1
        try:
            return memoryview(mmap.mmap(-1, BLOCK_BYTES, access=_ACCESS))
        except OSError as exc:  # callers would treat it as an error of a file or a socket
            raise MemoryError from exc

    def give_back(self, blocks: list[Block]) -> None:
        """Return *blocks* to the pool. They must not be used any more."""
        self._free.extend(blocks)

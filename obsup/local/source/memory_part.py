"""A part of a stream in memory: read once, hashed once, sent as often as it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from obsup.local.source.buffers import BLOCK, BufferPool
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import FileWindow, Gate
from obsup.model import Part


class MemoryPart:
    """The bytes of one part. ``is_last`` tells that the stream ends with it."""

    def __init__(
        self, part: Part, blocks: list[bytearray], pool: BufferPool, *, is_last: bool, digest: PartDigest
    ) -> None:
        self.part = part
        self.is_last = is_last
        self.digest = digest
        self._blocks = blocks
        self._pool = pool
        self._hashed = 0

    def open(
        self,
        _fresh: Callable[[], PartDigest] | None = None,
        /,
        *,
        on_sent: Callable[[int], None] | None = None,
        gate: Gate | None = None,
    ) -> MemoryBody:
        """Return the bytes as a body. Memory does not change: what was hashed is not hashed again."""
        return MemoryBody(self, on_sent=on_sent, gate=gate)

    def md5(self, gate: Gate | None = None) -> str:
        """Return the MD5 in hex; for a digest without one it is computed apart."""
        if self.digest.md5 is not None:
            return self.hashed(gate).md5 or ""
        apart = PartDigest(md5=True)
        for _, view in self._views(0):
            if gate is not None:
                gate(len(view))
            apart.update(view)
        return apart.md5 or ""

    def hashed(self, gate: Gate | None = None) -> PartDigest:
        """Return the digest of all the bytes."""
        for start, view in self._views(self._hashed):
            if gate is not None:
                gate(len(view))
            self.hash_to(start, view)
        return self.digest

    def check(self) -> None:
        """Memory stays what it is."""

    def view(self, start: int, amount: int) -> memoryview:
        """Return at most *amount* bytes from *start*, of one block."""
        number, within = divmod(start, BLOCK)
        end = min(within + amount, BLOCK, within + self.part.size - start)
        return memoryview(self._blocks[number])[within:end]

    def hash_to(self, start: int, view: memoryview) -> None:
        """Feed *view*, which begins at *start*, to the digest, as far as it is new to it."""
        fresh = view[max(0, self._hashed - start) :]
        if start <= self._hashed and fresh:
            self.digest.update(fresh)
            self._hashed += len(fresh)

    def release(self) -> None:
        """Give the memory back."""
        self._pool.give_back(self._blocks)
        self._blocks = []

    def _views(self, start: int) -> Iterator[tuple[int, memoryview]]:
        while start < self.part.size:
            view = self.view(start, BLOCK)
            yield start, view
            start += len(view)


def read_part(
    window: FileWindow, digest: PartDigest, gate: Gate | None = None, *, pool: BufferPool | None = None
) -> MemoryPart:
    """Read a part of a file into memory of *pool*, and return it once the file is known to have stood still meanwhile.

    Raises SourceChanged, and as PartBody does.
    """
    pool = pool or BufferPool()
    blocks: list[bytearray] = []
    body = window.open(PartDigest, gate=gate)
    try:
        for start in range(0, window.part.size, BLOCK):
            blocks.append(pool.take())
            left = memoryview(blocks[-1])[: window.part.size - start]
            while left:
                left = left[body.readinto(left) :]
    finally:
        body.close()
    window.check()
    return MemoryPart(window.part, blocks, pool, is_last=True, digest=digest)


class MemoryBody:
    """A part in memory as the body of one request. *on_sent* and *gate* are as for ``PartBody``."""

    def __init__(
        self, content: MemoryPart, *, on_sent: Callable[[int], None] | None = None, gate: Gate | None = None
    ) -> None:
        self.size = content.part.size
        self.sent = 0
        self.digest = content.digest
        self._content = content
        self._on_sent = on_sent
        self._gate = gate

    def read(self, amount: int = BLOCK, /) -> memoryview:
        """Return the next block, of at most *amount* bytes; empty at the end of the part."""
        if self.sent >= self.size:
            return memoryview(b"")
        view = self._content.view(self.sent, amount if amount >= 0 else BLOCK)
        if self._gate is not None:
            view = view[: self._gate(len(view))]
        self._content.hash_to(self.sent, view)
        self.sent += len(view)
        if self._on_sent is not None:
            self._on_sent(self.sent)
        return view

    def close(self) -> None:
        """Nothing is open."""

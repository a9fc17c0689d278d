"""A part in memory: read once, hashed once, sent as often as necessary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from obsup.errors import SourceTouched
from obsup.local.source.buffers import BLOCK_BYTES, Block, BufferPool
from obsup.local.source.digest import Gate, PartDigest
from obsup.local.source.file import FileWindow, check_sent
from obsup.local.source.identity import ignore_times, ignores_times
from obsup.model import Checksum, Part, Receipt


class MemoryPart:
    """The bytes of one part. ``is_last``: the stream ends with it."""

    def __init__(
        self, part: Part, blocks: list[Block], pool: BufferPool, *, is_last: bool, digest: PartDigest
    ) -> None:
        self.part = part
        self.is_last = is_last
        self.digest = digest
        self._blocks = blocks
        self._pool = pool
        self._hashed = 0

    def open(
        self,
        _new_digest: Callable[[], PartDigest] | None = None,
        /,
        *,
        on_sent: Callable[[int], None] | None = None,
        gate: Gate | None = None,
    ) -> MemoryBody:
        """Return the part as a request body. Memory does not change, so each byte is hashed only once."""
        return MemoryBody(self, on_sent=on_sent, gate=gate)

    def md5(self, gate: Gate | None = None) -> str:
        """Return the MD5 in hex; if the digest does not include it, it is computed separately."""
        if self.digest.md5 is not None:
            return self.hashed(gate).md5 or ""
        return self._hash(PartDigest(md5=True), gate).md5 or ""

    def checksum(self, algorithm: str, gate: Gate | None = None) -> Checksum | None:
        """Return the checksum of this *algorithm*."""
        return self._hash(PartDigest(checksum=algorithm), gate).checksum

    def _hash(self, digest: PartDigest, gate: Gate | None) -> PartDigest:
        for _, view in self._views(0):
            if gate is not None:
                gate(len(view))
            digest.update(view)
        return digest

    def hashed(self, gate: Gate | None = None) -> PartDigest:
        """Return the digest of the whole part."""
        for start, view in self._views(self._hashed):
            if gate is not None:
                gate(len(view))
            self.hash_to(start, view)
        return self.digest

    def view(self, start: int, amount: int) -> memoryview:
        """Return at most *amount* bytes from *start*, within one block."""
        number, within = divmod(start, BLOCK_BYTES)
        end = min(within + amount, BLOCK_BYTES, within + self.part.size - start)
        return memoryview(self._blocks[number])[within:end]

    def hash_to(self, start: int, view: memoryview) -> None:
        """Add to the digest what *view*, which begins at *start*, has beyond the bytes already hashed."""
        fresh = view[max(0, self._hashed - start) :]
        if start <= self._hashed and fresh:
            self.digest.update(fresh)
            self._hashed += len(fresh)

    def release(self) -> None:
        """Return the memory to the pool."""
        self._pool.give_back(self._blocks)
        self._blocks = []

    def _views(self, start: int) -> Iterator[tuple[int, memoryview]]:
        while start < self.part.size:
            view = self.view(start, BLOCK_BYTES)
            yield start, view
            start += len(view)


def fill_blocks(
    blocks: list[Block], filled: int, size: int, pool: BufferPool, readinto: Callable[[memoryview], int]
) -> int:
    """Read into *blocks*, of which *filled* bytes are in use, until they hold *size* bytes or the source ends.

    Blocks are added from *pool*. Returns how many bytes they hold. Raises what *readinto* raises.
    """
    count = 1
    while filled < size and count:
        within = filled % BLOCK_BYTES
        if not within:
            blocks.append(pool.take())
        count = readinto(memoryview(blocks[-1])[within : within + size - filled])
        filled += count
    return filled


def read_part(
    window: FileWindow, digest: PartDigest, gate: Gate | None = None, *, pool: BufferPool | None = None
) -> MemoryPart:
    """Return a part of a file, read into memory of *pool*, after checking that the file did not change.

    If only its times changed, its content is compared. Raises SourceChanged, and what PartBody raises.
    """
    pool = pool or BufferPool()
    blocks: list[Block] = []
    with closing(window.open(PartDigest, gate=gate)) as body:
        fill_blocks(blocks, 0, window.part.size, pool, body.readinto)
        try:
            body.check()
            is_touched = ignores_times(window.stat)
        except SourceTouched:
            is_touched = True
    content = MemoryPart(window.part, blocks, pool, is_last=True, digest=digest)
    if is_touched:
        hashed = content.hashed(gate)
        read = Receipt(window.part.number, window.part.size, "", hashed.md5, hashed.crc64)
        check_sent(window.path, ignore_times(window.stat), [(window.part, read)], gate)
    return content


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

    def read(self, amount: int = BLOCK_BYTES, /) -> memoryview:
        """Return the next block, of at most *amount* bytes; empty at the end of the part."""
        if self.sent >= self.size:
            return memoryview(b"")
        view = self._content.view(self.sent, amount if amount >= 0 else BLOCK_BYTES)
        if self._gate is not None:
            view = view[: self._gate(len(view))]
        self._content.hash_to(self.sent, view)
        self.sent += len(view)
        if self._on_sent is not None:
            self._on_sent(self.sent)
        return view

    def check(self) -> None:
        """Do nothing: memory does not change."""

    def close(self) -> None:
        """Do nothing: no file is open."""

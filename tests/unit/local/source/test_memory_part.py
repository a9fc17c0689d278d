"""A part in memory: read once, hashed once, sent as often as necessary."""

from __future__ import annotations

import hashlib
import random

from hypothesis import given
from hypothesis import strategies as st

from obsup.local.source.buffers import BLOCK_BYTES
from obsup.local.source.digest import PartDigest
from obsup.local.source.expectation import Expectation
from obsup.local.source.file_object import FileObject
from obsup.local.source.memory_part import MemoryPart
from obsup.local.source.stream_parts import PartReader
from obsup.units import KIB, MIB


class ShortReads:
    """A file whose reads return as many bytes as *steps* say, like those of a pipe."""

    def __init__(self, data: bytes, steps: list[int]) -> None:
        self._data = data
        self._steps = steps
        self._at = 0
        self.reads = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return at most *size* bytes, and 0 only at the end."""
        step = self._steps[self.reads % len(self._steps)]
        self.reads += 1
        block = self._data[self._at : self._at + min(size, step)]
        self._at += len(block)
        return block


class CountingDigest(PartDigest):
    """A digest that counts its bytes."""

    def __init__(self) -> None:
        super().__init__(md5=True)
        self.count = 0

    def update(self, block: memoryview | bytes) -> None:
        """Count, and add the block."""
        self.count += len(block)
        super().update(block)


def reader_of(file: ShortReads) -> PartReader:
    """Return a reader of *file*."""
    return PartReader(FileObject(file), Expectation().meter(), CountingDigest)


def bytes_of(part: MemoryPart, amount: int = MIB) -> bytes:
    """Return the body of a request with the part."""
    body = part.open()
    read = b""
    while block := bytes(body.read(amount)):
        read += block
    return read


def take_all(reader: PartReader, size: int) -> list[MemoryPart]:
    """Return all parts of the stream."""
    parts = [reader.take(1, 0, size)]
    while not parts[-1].is_last:
        parts.append(reader.take(len(parts) + 1, len(parts) * size, size))
    return parts


@given(
    length=st.integers(0, 3 * MIB),
    size=st.sampled_from([100 * KIB, MIB - 1, MIB, MIB + 1, 2 * MIB]),
    steps=st.lists(st.integers(1, 3 * MIB), min_size=1, max_size=5),
    amount=st.sampled_from([64 * KIB - 1, MIB, 9 * MIB]),
)
def test_parts_are_the_stream_for_any_reads(length: int, size: int, steps: list[int], amount: int) -> None:
    """Short reads, odd part sizes, an end on a part boundary: the same bytes, and one last part."""
    steps = [max(step, length // 200 + 1) for step in steps]
    data = random.Random(length).randbytes(length)
    parts = take_all(reader_of(ShortReads(data, steps)), size)
    assert b"".join(bytes_of(part, amount) for part in parts) == data
    assert [part.part.size for part in parts[:-1]] == [size] * (len(parts) - 1)
    assert parts[-1].part.size > 0 or length == 0
    assert [part.part.offset for part in parts] == [number * size for number in range(len(parts))]


def test_the_end_is_read_once() -> None:
    """After Ctrl-D, a terminal must not be read again."""
    file = ShortReads(b"x" * 1000, [400])
    take_all(reader_of(file), MIB)
    assert file.reads == 4


def test_a_retry_hashes_no_byte_again() -> None:
    """Memory does not change."""
    data = random.Random(1).randbytes(3 * MIB)
    part = reader_of(ShortReads(data, [MIB])).take(1, 0, 4 * MIB)
    broken = part.open()
    broken.read(MIB)
    broken.read(MIB)
    assert bytes_of(part) == bytes_of(part) == data
    digest = part.digest
    assert isinstance(digest, CountingDigest)
    assert digest.count == len(data)
    assert part.md5() == hashlib.md5(data).hexdigest()
    assert digest.count == len(data)


def test_content_md5_with_another_digest() -> None:
    """If parts are verified by CRC-64, the MD5 is computed separately."""
    source = FileObject(ShortReads(b"x" * MIB, [MIB]))
    reader = PartReader(source, Expectation().meter(), lambda: PartDigest(crc64=True))
    part = reader.take(1, 0, 2 * MIB)
    assert part.md5() == hashlib.md5(b"x" * MIB).hexdigest()
    assert part.hashed().md5 is None


def test_a_body_returns_what_the_gate_allows() -> None:
    """A rate limit may allow less than was asked for."""
    part = reader_of(ShortReads(b"x" * MIB, [MIB])).take(1, 0, MIB)
    body = part.open(gate=lambda size: min(size, 1000))
    assert len(body.read(MIB)) == 1000
    sent: list[int] = []
    body = part.open(gate=lambda size: size // 2 + 1, on_sent=sent.append)
    while body.read():
        pass
    assert sent[-1] == MIB
    assert part.md5() == hashlib.md5(b"x" * MIB).hexdigest()


def test_memory_is_reused() -> None:
    """A long stream needs no more blocks than a short one."""
    reader = reader_of(ShortReads(b"x" * 20 * MIB, [MIB]))
    for number in range(1, 10):
        part = reader.take(number, (number - 1) * 2 * MIB, 2 * MIB)
        part.release()
    assert reader.pool.allocated <= 2 * MIB // BLOCK_BYTES + 1

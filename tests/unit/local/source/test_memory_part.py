"""A part of a stream in memory: read once, hashed once, sent as often as it takes."""

from __future__ import annotations

import hashlib
import random

from hypothesis import given
from hypothesis import strategies as st

from obsup.local.source.buffers import BLOCK
from obsup.local.source.digest import PartDigest
from obsup.local.source.expectation import Expectation
from obsup.local.source.memory_part import MemoryPart
from obsup.local.source.stream import FileObject
from obsup.local.source.stream_parts import PartReader
from obsup.units import KIB, MIB


class Dribble:
    """A file whose reads end wherever *steps* say, as those of a pipe do."""

    def __init__(self, data: bytes, steps: list[int]) -> None:
        self._data = data
        self._steps = steps
        self._at = 0
        self.reads = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return at most *size* bytes; none only at the end."""
        step = self._steps[self.reads % len(self._steps)]
        self.reads += 1
        block = self._data[self._at : self._at + min(size, step)]
        self._at += len(block)
        return block


class CountingDigest(PartDigest):
    """A digest that remembers how many bytes it was fed."""

    def __init__(self) -> None:
        super().__init__(md5=True)
        self.fed = 0

    def update(self, block: memoryview | bytes) -> None:
        """Count."""
        self.fed += len(block)
        super().update(block)


def reader_of(file: Dribble) -> PartReader:
    """Return a reader of *file*."""
    return PartReader(FileObject(file), Expectation().meter(), CountingDigest)


def bytes_of(part: MemoryPart, amount: int = MIB) -> bytes:
    """Return what a request with the part as its body would carry."""
    body = part.open()
    read = b""
    while block := bytes(body.read(amount)):
        read += block
    return read


def take_all(reader: PartReader, size: int) -> list[MemoryPart]:
    """Return the parts of the whole stream."""
    parts = [reader.take(1, 0, size)]
    while not parts[-1].is_last:
        parts.append(reader.take(len(parts) + 1, len(parts) * size, size))
    return parts


# The machine may be busy: how long an example takes says nothing.
@given(
    length=st.integers(0, 3 * MIB),
    size=st.sampled_from([100 * KIB, MIB - 1, MIB, MIB + 1, 2 * MIB]),
    steps=st.lists(st.integers(1, 3 * MIB), min_size=1, max_size=5),
    amount=st.sampled_from([64 * KIB - 1, MIB, 9 * MIB]),
)
def test_parts_are_the_stream_however_it_comes(length: int, size: int, steps: list[int], amount: int) -> None:
    """Short reads, odd part sizes, an end on the boundary: not one byte more or less, and one last part."""
    steps = [max(step, length // 200 + 1) for step in steps]
    data = random.Random(length).randbytes(length)
    parts = take_all(reader_of(Dribble(data, steps)), size)
    assert b"".join(bytes_of(part, amount) for part in parts) == data
    assert [part.part.size for part in parts[:-1]] == [size] * (len(parts) - 1)
    assert parts[-1].part.size > 0 or length == 0
    assert [part.part.offset for part in parts] == [number * size for number in range(len(parts))]


def test_the_end_is_read_once() -> None:
    """A terminal whose user pressed Ctrl-D is not asked again."""
    file = Dribble(b"x" * 1000, [400])
    take_all(reader_of(file), MIB)
    assert file.reads == 4


def test_a_retry_hashes_nothing_twice() -> None:
    """The digest of memory cannot change: what the first attempt hashed the second only sends."""
    data = random.Random(1).randbytes(3 * MIB)
    part = reader_of(Dribble(data, [MIB])).take(1, 0, 4 * MIB)
    broken = part.open()
    broken.read(MIB)
    broken.read(MIB)
    assert bytes_of(part) == bytes_of(part) == data
    digest = part.digest
    assert isinstance(digest, CountingDigest)
    assert digest.fed == len(data)
    assert part.md5() == hashlib.md5(data).hexdigest()
    assert digest.fed == len(data)


def test_an_md5_beside_another_digest() -> None:
    """Where parts are proved by CRC-64, Content-MD5 is computed apart."""
    source = FileObject(Dribble(b"x" * MIB, [MIB]))
    reader = PartReader(source, Expectation().meter(), lambda: PartDigest(crc64=True))
    part = reader.take(1, 0, 2 * MIB)
    assert part.md5() == hashlib.md5(b"x" * MIB).hexdigest()
    assert part.hashed().md5 is None


def test_a_body_takes_what_the_gate_lets_through() -> None:
    """A rate limit may let go less than the line would take."""
    part = reader_of(Dribble(b"x" * MIB, [MIB])).take(1, 0, MIB)
    body = part.open(gate=lambda size: min(size, 1000))
    assert len(body.read(MIB)) == 1000
    sent: list[int] = []
    body = part.open(gate=lambda size: size // 2 + 1, on_sent=sent.append)
    while body.read():
        pass
    assert sent[-1] == MIB
    assert part.md5() == hashlib.md5(b"x" * MIB).hexdigest()


def test_memory_is_used_again() -> None:
    """However long the stream: the blocks of parts that are stored carry those that follow."""
    reader = reader_of(Dribble(b"x" * 20 * MIB, [MIB]))
    for number in range(1, 10):
        part = reader.take(number, (number - 1) * 2 * MIB, 2 * MIB)
        part.release()
    assert reader.pool.made <= 2 * MIB // BLOCK + 1

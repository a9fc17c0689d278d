"""Buffers are reused, but never used by two at a time."""

from __future__ import annotations

import ctypes
import mmap
import subprocess
import sys
from pathlib import Path

import pytest

from obsup.local.source import file as file_source
from obsup.local.source.buffers import BufferPool
from obsup.local.source.file import PartBody
from obsup.local.source.identity import stat_source
from obsup.model import Part


def test_a_returned_buffer_is_used_again() -> None:
    pool = BufferPool()
    first = pool.take()
    pool.give_back([first])
    assert pool.take() is first
    assert pool.allocated == 1


def test_a_block_begins_at_a_page() -> None:
    """16 bytes later, reading a file into it takes half as long again."""
    block = BufferPool().take()
    assert ctypes.addressof(ctypes.c_char.from_buffer(block)) % mmap.PAGESIZE == 0


FORK = """
import os
from obsup.local.source.buffers import BufferPool
block = BufferPool().take()
block[0] = 1
child = os.fork()
if not child:
    block[0] = 2
    os._exit(0)
print(os.waitpid(child, 0)[1], block[0])
"""
LITTLE_MEMORY = """
import mmap, resource
from pathlib import Path
from obsup.local.source.buffers import BufferPool
pool = BufferPool()
used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
resource.setrlimit(resource.RLIMIT_AS, (used, used))
try:
    pool.take()
except MemoryError:
    print("no memory")
"""


def output_of(program: str) -> str:
    """Run *program* in a process of its own: this one has threads, and its memory is not limited."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_a_block_is_not_shared_with_a_forked_process() -> None:
    """Worker processes may be forked while a part is read."""
    assert output_of(FORK) == "0 1\n"


def test_a_limit_of_memory_is_no_failure_of_a_file_or_the_network() -> None:
    """The system's error would look like one of the socket that the block is sent on."""
    assert output_of(LITTLE_MEMORY) == "no memory\n"


def test_consecutive_parts_use_one_buffer(tmp_path: Path) -> None:
    """A new buffer per part would cost many page faults."""
    path = tmp_path / "source"
    path.write_bytes(bytes(3000))
    allocated = []
    for number in (1, 2, 3):
        body = PartBody(path, Part(number, 1000 * (number - 1), 1000), stat_source(path))
        assert len(body.read()) == 1000
        body.close()
        allocated.append(file_source.BUFFERS.allocated)
    assert allocated[0] == allocated[2]


def test_readinto_needs_no_buffer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files are read into the memory that they are sent from."""
    pool = BufferPool()
    monkeypatch.setattr(file_source, "BUFFERS", pool)
    path = tmp_path / "source"
    path.write_bytes(b"a" * 1000 + b"b" * 2000)
    body, into = PartBody(path, Part(1, 0, 3000), stat_source(path)), memoryview(bytearray(4000))
    assert (body.readinto(into[:1000]), body.readinto(into[1000:]), body.readinto(into)) == (1000, 2000, 0)
    assert bytes(into[:3000]) == path.read_bytes()
    assert not body.read()
    body.close()
    assert pool.allocated == 0


def test_closing_a_window_twice_returns_its_buffer_once(tmp_path: Path) -> None:
    """Otherwise two windows would share a buffer and send wrong bytes."""
    path = tmp_path / "source"
    path.write_bytes(b"a" * 1000 + b"b" * 1000)
    closed = PartBody(path, Part(1, 0, 1000), stat_source(path))
    closed.read()
    closed.close()
    closed.close()
    one, two = (
        PartBody(path, Part(1, 0, 1000), stat_source(path)),
        PartBody(path, Part(2, 1000, 1000), stat_source(path)),
    )
    first, second = one.read(), two.read()
    assert (bytes(first), bytes(second)) == (b"a" * 1000, b"b" * 1000)
    one.close()
    two.close()

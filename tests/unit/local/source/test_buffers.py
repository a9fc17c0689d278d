"""Buffers that are used again: never by two at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from obsup.local.source import file as file_source
from obsup.local.source.buffers import BufferPool
from obsup.local.source.file import PartBody
from obsup.model import Part


def test_buffers_are_used_again() -> None:
    pool = BufferPool()
    first = pool.take()
    pool.give_back([first])
    assert pool.take() is first
    assert pool.made == 1


def test_parts_one_after_the_other_pass_through_one_buffer(tmp_path: Path) -> None:
    """A new one for each part costs a sixteenth of all page faults there are to save."""
    path = tmp_path / "source"
    path.write_bytes(bytes(3000))
    made = []
    for number in (1, 2, 3):
        body = PartBody(path, Part(number, 1000 * (number - 1), 1000))
        assert len(body.read()) == 1000
        body.close()
        made.append(file_source.BUFFERS.made)
    assert made[0] == made[2]


def test_what_is_read_elsewhere_takes_no_buffer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files are read into the memory that they are sent from, and others the kernel sends."""
    spare = BufferPool()
    monkeypatch.setattr(file_source, "BUFFERS", spare)
    path = tmp_path / "source"
    path.write_bytes(b"a" * 1000 + b"b" * 2000)
    body, into = PartBody(path, Part(1, 0, 3000)), memoryview(bytearray(4000))
    assert (body.readinto(into[:1000]), body.readinto(into[1000:]), body.readinto(into)) == (1000, 2000, 0)
    assert bytes(into[:3000]) == path.read_bytes()
    assert not body.read()
    body.close()
    assert spare.made == 0


def test_a_window_that_is_closed_twice_gives_its_buffer_back_once(tmp_path: Path) -> None:
    """Two windows that shared a buffer would send each other's bytes."""
    path = tmp_path / "source"
    path.write_bytes(b"a" * 1000 + b"b" * 1000)
    gone = PartBody(path, Part(1, 0, 1000))
    gone.read()
    gone.close()
    gone.close()
    one, two = PartBody(path, Part(1, 0, 1000)), PartBody(path, Part(2, 1000, 1000))
    first, second = one.read(), two.read()
    assert (bytes(first), bytes(second)) == (b"a" * 1000, b"b" * 1000)
    one.close()
    two.close()

"""Bytes that nobody looks at: the kernel takes them from the file to the socket, under the same watch as all others."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from obsup.errors import SourceChanged
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import PartBody
from obsup.model import Part

CONTENT = bytes(range(256)) * 40

Ends = tuple[socket.socket, socket.socket]
Open = Callable[..., PartBody]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A socket that does not block, and its other end."""
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        yield near, far


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file."""
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens windows, which are closed at the end."""
    with ExitStack() as stack:

        def open_window(*words: Any, **options: Any) -> PartBody:
            return stack.enter_context(closing(PartBody(*words, **options)))

        yield open_window


def everything(far: socket.socket) -> bytes:
    """Return what has come."""
    far.setblocking(False)
    return far.recv(1 << 20)


@pytest.mark.parametrize("digest", [PartDigest(md5=True), PartDigest(crc64=True)])
def test_bytes_that_a_digest_needs_are_seen(opened: Open, source: Path, digest: PartDigest) -> None:
    assert not opened(source, Part(1, 0, 10), digest=digest).can_sendfile


def test_only_the_window_is_sent(opened: Open, source: Path, ends: Ends) -> None:
    heard: list[int] = []
    body = opened(source, Part(2, 100, 5000), on_sent=heard.append)
    assert body.can_sendfile
    assert body.send_to(ends[0].fileno()) == 5000
    assert everything(ends[1]) == CONTENT[100:5100]
    assert heard == [5000]
    assert not body.read()


def test_the_gate_is_asked_once_for_each_byte(opened: Open, source: Path, ends: Ends) -> None:
    """A limit that were asked again where the socket had no room would count those bytes twice."""
    near, far = ends
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    granted: list[int] = []

    def gate(size: int) -> int:
        granted.append(min(size, 6000))
        return granted[-1]

    body = opened(source, Part(1, 0, len(CONTENT)), gate=gate)
    came, refused = b"", 0
    while len(came) < len(CONTENT):
        try:
            body.send_to(near.fileno())
        except BlockingIOError:
            refused += 1
            came += everything(far)
        if body.sent == body.size:
            came += everything(far)
    assert refused
    assert came == CONTENT
    assert sum(granted) == len(CONTENT)


def test_a_source_that_became_shorter_is_noticed(opened: Open, source: Path, ends: Ends) -> None:
    body = opened(source, Part(1, 0, len(CONTENT)))
    with source.open("r+b") as file:
        file.truncate(100)
    assert body.send_to(ends[0].fileno()) == 100
    with pytest.raises(SourceChanged, match="became shorter"):
        body.send_to(ends[0].fileno())


def test_where_the_kernel_cannot_the_bytes_are_read(opened: Open, ends: Ends) -> None:
    """Not every file system can: the files of a process in /proc are such."""
    path = Path("/proc/self/cmdline")
    content = path.read_bytes()
    body = opened(path, Part(1, 3, len(content) - 3))
    assert body.send_to(ends[0].fileno()) == 0
    assert not body.can_sendfile
    assert bytes(body.read()) == content[3:]


def test_a_line_that_breaks_is_no_fault_of_the_file(opened: Open, source: Path, ends: Ends) -> None:
    ends[1].close()
    with pytest.raises(BrokenPipeError):
        opened(source, Part(1, 0, 10)).send_to(ends[0].fileno())

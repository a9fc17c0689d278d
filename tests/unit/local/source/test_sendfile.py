"""sendfile: the kernel sends a window of the file, with the same checks as read."""

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
from obsup.local.source.identity import stat_source
from obsup.model import Part

CONTENT = bytes(range(256)) * 40

Ends = tuple[socket.socket, socket.socket]
Open = Callable[..., PartBody]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A non-blocking socket and its peer."""
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
    """Open windows, and close them at the end."""
    with ExitStack() as stack:

        def open_window(path: Path, part: Part, **options: Any) -> PartBody:
            return stack.enter_context(closing(PartBody(path, part, stat_source(path), **options)))

        yield open_window


def received(far: socket.socket) -> bytes:
    """Return the bytes received so far."""
    far.setblocking(False)
    return far.recv(1 << 20)


@pytest.mark.parametrize("digest", [PartDigest(md5=True), PartDigest(crc64=True)])
def test_sendfile_is_not_used_if_a_digest_is_computed(opened: Open, source: Path, digest: PartDigest) -> None:
    assert not opened(source, Part(1, 0, 10), digest=digest).can_sendfile


def test_only_the_window_is_sent(opened: Open, source: Path, ends: Ends) -> None:
    sent: list[int] = []
    body = opened(source, Part(2, 100, 5000), on_sent=sent.append)
    assert body.can_sendfile
    assert body.send_to(ends[0].fileno()) == 5000
    assert received(ends[1]) == CONTENT[100:5100]
    assert sent == [5000]
    assert not body.read()


def test_the_gate_is_called_once_for_each_byte(opened: Open, source: Path, ends: Ends) -> None:
    """Otherwise a rate limit would count bytes twice if the socket is full."""
    near, far = ends
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    granted: list[int] = []

    def gate(size: int) -> int:
        granted.append(min(size, 6000))
        return granted[-1]

    body = opened(source, Part(1, 0, len(CONTENT)), gate=gate)
    data, blocked = b"", 0
    while len(data) < len(CONTENT):
        try:
            body.send_to(near.fileno())
        except BlockingIOError:
            blocked += 1
            data += received(far)
        if body.sent == body.size:
            data += received(far)
    assert blocked
    assert data == CONTENT
    assert sum(granted) == len(CONTENT)


def test_a_source_that_became_shorter_is_an_error(opened: Open, source: Path, ends: Ends) -> None:
    body = opened(source, Part(1, 0, len(CONTENT)))
    with source.open("r+b") as file:
        file.truncate(100)
    assert body.send_to(ends[0].fileno()) == 100
    with pytest.raises(SourceChanged, match="became shorter"):
        body.send_to(ends[0].fileno())


def test_a_file_that_the_kernel_cannot_send_is_read(opened: Open, ends: Ends) -> None:
    """Files in /proc, for example."""
    path = Path("/proc/self/cmdline")
    content = path.read_bytes()
    body = opened(path, Part(1, 3, len(content) - 3))
    assert body.send_to(ends[0].fileno()) == 0
    assert not body.can_sendfile
    assert bytes(body.read()) == content[3:]


def test_a_broken_connection_is_not_an_error_of_the_file(opened: Open, source: Path, ends: Ends) -> None:
    ends[1].close()
    with pytest.raises(BrokenPipeError):
        opened(source, Part(1, 0, 10)).send_to(ends[0].fileno())

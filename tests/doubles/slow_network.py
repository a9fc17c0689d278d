"""The line between a client and a store on 127.0.0.1: as slow as the test says, or standing still where it says."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from tests.doubles.listener import Listener

# Small, so that what the client believes to have sent is not far ahead of what came through.
BUFFER = 64 * 1024
STEP_S = 0.02
_REQUEST = re.compile(rb"[A-Z]+ \S+ HTTP/1\.1\r\n")

Way = Literal["up", "down"]


@dataclass
class Still:
    """The first request whose line matches *request* stands still, *way* up or down, after so many bytes of it."""

    request: str
    way: Way
    after: int = 0
    struck: object | None = None


@dataclass
class Relay:
    """Passes bytes on to the store at *port*; *up* and *down* are rates in bytes a second."""

    port: int
    up: float | None = None
    down: float | None = None
    still: Still | None = None

    def __post_init__(self) -> None:
        self._listener = Listener(self._take)
        self._listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)

    def __enter__(self) -> Self:
        self._listener.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.end()

    @property
    def endpoint(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://{self._listener.address}"

    def _take(self, connection: socket.socket) -> None:
        store = socket.create_connection(("127.0.0.1", self.port))
        self._listener.open.append(store)
        request = _Request()
        self._listener.start(self._pass_on, connection, store, "up", self.up, request)
        self._listener.start(self._pass_on, store, connection, "down", self.down, request)

    def _pass_on(
        self, here: socket.socket, there: socket.socket, way: Way, rate: float | None, request: _Request
    ) -> None:
        """Pass on what comes from *here* until it ends; then that is passed on as well."""
        with contextlib.suppress(OSError):
            while data := here.recv(int(rate * STEP_S) if rate else BUFFER):
                if way == "up":
                    request.hear(data)
                left = self._left_until_still(request, way, len(data))
                there.sendall(data[:left])
                if left < len(data):
                    # Until the client has had enough; what it sent meanwhile is lost.
                    self._wait_for_end(here if way == "up" else there)
                    break
                if rate:
                    time.sleep(STEP_S)
        for one in (here, there):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _left_until_still(self, request: _Request, way: Way, size: int) -> int:
        """Return how many of *size* bytes may pass before the line stands still."""
        still = self.still
        if still is None or still.way != way or not re.search(still.request, request.line):
            return size
        if still.struck not in (None, request):
            return size
        left = max(0, still.after - request.passed.get(way, 0))
        request.passed[way] = request.passed.get(way, 0) + size
        if left < size:
            still.struck = request  # itself: a number of its own may be another's once it is gone
        return min(left, size)

    def _wait_for_end(self, client: socket.socket) -> None:
        """Return when the client hangs up, without taking from it what it sends."""
        while not self._listener.stopping.wait(STEP_S):
            state = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            if state != 1:  # not ESTABLISHED any more
                return


class _Request:
    """The request that is under way on one connection, and how many bytes of it were passed on each way."""

    def __init__(self) -> None:
        self.line = ""
        self.passed: dict[Way, int] = {}

    def hear(self, data: bytes) -> None:
        """Take in bytes from the client: a request begins with a block of its own."""
        if match := _REQUEST.match(data):
            self.line, self.passed = match[0].decode("latin-1"), {}

"""A relay between a client and a store on 127.0.0.1 that limits the rate or stalls a connection."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from dataclasses import dataclass
from typing import Literal

from tests.doubles.listener import Relay

# Small, so that the client cannot send much more than has passed.
BUFFER = 64 * 1024
STEP_S = 0.02
_REQUEST = re.compile(rb"[A-Z]+ \S+ HTTP/1\.1\r\n")

Direction = Literal["up", "down"]


@dataclass
class Stall:
    """The first request whose request line matches *request* stalls in one direction after so many bytes."""

    request: str
    direction: Direction
    after: int = 0
    stalled: object | None = None


@dataclass
class SlowNetwork(Relay):
    """A relay; *up* and *down* limit the rates in bytes per second."""

    up: float | None = None
    down: float | None = None
    stall: Stall | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)

    def _connect(self, connection: socket.socket) -> None:
        store = socket.create_connection(("127.0.0.1", self.port))
        self._listener.open.append(store)
        request = _Request()
        self._listener.run_in_thread(self._relay, connection, store, "up", self.up, request)
        self._listener.run_in_thread(self._relay, store, connection, "down", self.down, request)

    def _relay(
        self,
        source: socket.socket,
        target: socket.socket,
        direction: Direction,
        rate: float | None,
        request: _Request,
    ) -> None:
        """Relay from *source* to *target* until it ends; then end both."""
        with contextlib.suppress(OSError):
            while data := source.recv(int(rate * STEP_S) if rate else BUFFER):
                if direction == "up":
                    request.note_sent(data)
                left = self._left_until_stall(request, direction, len(data))
                target.sendall(data[:left])
                if left < len(data):
                    # Until the client closes the connection. Bytes that it sends in the meantime are lost.
                    self._wait_for_end(source if direction == "up" else target)
                    break
                if rate:
                    time.sleep(STEP_S)
        for connection in (source, target):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _left_until_stall(self, request: _Request, direction: Direction, size: int) -> int:
        """Return how many of *size* bytes may pass before the connection stalls."""
        stall = self.stall
        if stall is None or stall.direction != direction or not re.search(stall.request, request.line):
            return size
        if stall.stalled not in (None, request):
            return size
        left = max(0, stall.after - request.passed.get(direction, 0))
        request.passed[direction] = request.passed.get(direction, 0) + size
        if left < size:
            stall.stalled = request  # the object, because its id() may be reused
        return min(left, size)

    def _wait_for_end(self, client: socket.socket) -> None:
        """Wait until the client closes the connection, without reading what it sends."""
        while not self._listener.stopping.wait(STEP_S):
            state = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
            if state != 1:  # no longer ESTABLISHED
                return


class _Request:
    """The current request on one connection, and how many of its bytes were relayed in each direction."""

    def __init__(self) -> None:
        self.line = ""
        self.passed: dict[Direction, int] = {}

    def note_sent(self, data: bytes) -> None:
        """Note bytes of the client. A request starts at the beginning of a block."""
        if match := _REQUEST.match(data):
            self.line, self.passed = match[0].decode("latin-1"), {}

"""A server on 127.0.0.1 that records every request and sends the replies of a script, valid or not."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.doubles.listener import Listener

BLOCK = 64 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() sends an RST


@dataclass
class ReceivedRequest:
    """One request as it was received."""

    line: str
    headers: list[tuple[str, str]]
    connection: int
    body: bytes = b""

    @property
    def method(self) -> str:
        """The method of the request."""
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        """The request target, byte for byte."""
        return self.line.split(" ")[1]

    def header(self, name: str) -> str | None:
        """Return the value of a header, None if it was not sent."""
        values = [value for sent, value in self.headers if sent.lower() == name.lower()]
        assert len(values) < 2, f"{name} was sent twice"
        return values[0] if values else None


@dataclass(frozen=True)
class Reply:
    """A reply: *pieces* with a pause before each.

    *early*: it is sent before the body is read, and the body is not read. *close* and *reset* end the connection.
    *interim* is sent as soon as the head is read. *drains*: bytes after an early reply are read and counted.
    """

    pieces: Iterable[bytes]
    pause_s: float = 0.0
    interim: bytes = b""
    early: bool = False
    close: bool = False
    reset: bool = False
    drains: bool = False


def response(
    status: int = 200, body: bytes | str = b"", headers: dict[str, str] | None = None, **options: Any
) -> Reply:
    """Return a complete response with a Content-Length."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return Reply(["\r\n".join([*lines, "", ""]).encode() + content], **options)


def error(status: int, code: str, *, headers: dict[str, str] | None = None, **fields: str) -> Reply:
    """Return an error response of a store."""
    elements = "".join(f"<{name}>{value}</{name}>" for name, value in {"Code": code, **fields}.items())
    return response(status, f"<?xml version='1.0'?><Error>{elements}</Error>", headers)


@dataclass
class ScriptedServer:
    """Serves while its ``with`` block runs. *script* returns the reply to a request before the body is read.

    With *tls* it uses TLS. It is also a proxy: it replies to CONNECT with *tunnel*, and then serves as the requested
    host, with TLS if *tunnel_tls* is given.
    """

    script: Callable[[ReceivedRequest], Reply]
    tls: ssl.SSLContext | None = None
    tunnel: Reply = field(default_factory=lambda: Reply([b"HTTP/1.1 200 Connected\r\n\r\n"]))
    tunnel_tls: ssl.SSLContext | None = None
    received: list[ReceivedRequest] = field(default_factory=list)
    connections: int = 0
    drained: int = 0

    def __post_init__(self) -> None:
        self._listener = Listener(self._accept)
        self.port = self._listener.port

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.stop()

    @property
    def endpoint(self) -> str:
        """``http://127.0.0.1:PORT``, or https."""
        return f"{'https' if self.tls else 'http'}://{self._listener.address}"

    @property
    def last(self) -> ReceivedRequest:
        """The latest request."""
        return self.received[-1]

    def wait_until_closed(self) -> None:
        """Wait until this server has closed every connection so far."""
        for thread in self._listener.threads:
            thread.join()

    def _accept(self, connection: socket.socket) -> None:
        self.connections += 1
        self._listener.run_in_thread(self._serve, connection, self.connections)

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            # Otherwise delayed bytes are lost if the socket is closed before everything is read.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                connection = self._secure(connection, self.tls)
            while self._serve_one(connection, number):
                pass
        except OSError:
            pass
        finally:
            connection.close()

    def _secure(self, connection: socket.socket, context: ssl.SSLContext) -> socket.socket:
        self._listener.open.remove(connection)
        secured = context.wrap_socket(connection, server_side=True)
        self._listener.open.append(secured)
        return secured

    def _serve_one(self, connection: socket.socket, number: int) -> bool:
        """Serve one request; return whether the connection stays open."""
        stream = connection.makefile("rb", buffering=0)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = stream.read(1)
            if not byte:
                return False
            head += byte
        line, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        headers = [(name, value) for name, _, value in (one.partition(": ") for one in lines)]
        request = ReceivedRequest(line, headers, number)
        self.received.append(request)
        if request.method == "CONNECT":
            return self._connect(connection, number)
        reply = self.script(request)
        connection.sendall(reply.interim)
        if not reply.early:
            request.body = _read_body(stream, request)
        _send(connection, reply)
        if reply.reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if reply.drains:
            while block := stream.read(BLOCK):
                self.drained += len(block)
        elif reply.early and not (reply.close or reply.reset):
            self._listener.stopping.wait()  # without reading
        return not (reply.early or reply.close or reply.reset)

    def _connect(self, connection: socket.socket, number: int) -> bool:
        _send(connection, self.tunnel)
        if self.tunnel.close:
            return False
        if self.tunnel_tls is not None:
            connection = self._secure(connection, self.tunnel_tls)
        try:
            while self._serve_one(connection, number):
                pass
        finally:
            connection.close()
        return False


def _send(connection: socket.socket, reply: Reply) -> None:
    for piece in reply.pieces:
        time.sleep(reply.pause_s)
        connection.sendall(piece)


def _read_body(stream: socket.SocketIO, request: ReceivedRequest) -> bytes:
    left = int(request.header("content-length") or 0)
    body = bytearray()
    while left > len(body):
        block = stream.read(min(left - len(body), BLOCK))
        if not block:
            break
        body += block
    return bytes(body)

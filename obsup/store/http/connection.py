"""Connections to a store: each sends requests, and is kept open for the next one."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any

from obsup.errors import NetworkError
from obsup.local.platform.sockets import reset_on_close
from obsup.store.http.body import Body
from obsup.store.http.response import open_stream, read_body, read_head
from obsup.store.http.settings import ConnectionSettings, Response, limited
from obsup.store.http.sockets import (
    RESPONSE_CHECK_INTERVAL_S,
    EarlyResponse,
    NoAnswer,
    check_for_response,
    is_ready,
    open_connection,
    send_all,
    send_available,
)
from obsup.units import KIB, MIB

BLOCK_BYTES = 1 * MIB
# A body of at most this size is sent together with the head.
MAX_JOINED_BODY_BYTES = 64 * KIB


OpenSocket = Callable[[], Any]
"""Opens a socket: one of ``socket``, or of TLS. Raises OSError."""


class NotConnected(OSError):
    """No address of the host accepts connections."""


class NoTLS(ssl.SSLError):
    """The first bytes from the server are not TLS."""


class Connection:
    """A connection that stops sending as soon as the store responds. ``is_reusable``: it can carry another request.

    A request that failed never reaches the store later, when it may be older than another one.
    """

    def __init__(self, open_socket: OpenSocket, settings: ConnectionSettings) -> None:
        self._open_socket = open_socket
        self._settings = settings
        self._sock: Any = None
        self._next_check_s = 0.0
        self._is_done = False
        self.is_reusable = False

    @property
    def is_idle(self) -> bool:
        """Whether it is open, and the store has neither closed it nor sent anything."""
        if self._sock is None or (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending()):
            return False
        return not is_ready(self._sock, read=True, timeout_s=0)

    def exchange(
        self, method: str, head: bytes, body: Body | bytes, size: int, *, response_timeout_s: float
    ) -> Response:
        """Send *head* and the *size* bytes of *body*, and return the response. Raises NetworkError and OSError."""
        self.is_reusable = self._is_done = is_sent = False
        alert: BaseException | None = None
        if self._sock is None:
            self._sock = self._open_socket()
            reset_on_close(self._sock, True)
        try:
            self._send_request(head, body, size)
            is_sent = True
        except (EarlyResponse, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError) as exc:
            # The response that the store sent before it closed the connection can still be read, but not an alert.
            if type(exc.__cause__) is ssl.SSLError:
                alert = exc.__cause__
        limit_s = self._settings.response_limit_s
        with closing(open_stream(self._sock, timeout_s=response_timeout_s, limit_s=limit_s)) as stream:
            try:
                answer = read_head(stream, method)
            except ConnectionResetError as exc:
                raise exc from alert
            require_whole_request(answer.status, is_sent=is_sent)
            content = read_body(stream, answer)
        self._is_done = is_sent
        self.is_reusable = is_sent and not answer.is_last
        return Response(answer.status, answer.headers, content)

    def close(self) -> None:
        """Close the connection."""
        if self._sock is not None:
            if self._is_done:
                reset_on_close(self._sock, False)
            self._sock.close()
            self._sock = None

    def __del__(self) -> None:
        self.close()  # the store may not have been closed

    def _send_request(self, head: bytes, body: Body | bytes, size: int) -> None:
        if size <= MAX_JOINED_BODY_BYTES:
            # No response can exist yet, so nothing looks for one.
            send_all(self._sock, head + _read_all(body, size), self._stall_timeout_s)
            return
        self._send(head)
        if isinstance(body, bytes):
            self._send(body)
            return
        if getattr(body, "can_sendfile", False):
            self._send_file(body)
        while block := body.read(BLOCK_BYTES):
            self._send(block)

    @property
    def _stall_timeout_s(self) -> float:
        """The seconds in which no byte moves."""
        return limited(self._settings.stall_timeout_s)

    def _send(self, data: Any) -> None:
        self._check_for_response()
        send_all(self._sock, data, self._stall_timeout_s)

    def _send_file(self, body: Any) -> None:
        """Let the kernel send as much of *body* as it can from its file; nothing over TLS."""
        while type(self._sock) is socket.socket and body.can_sendfile and body.sent < body.size:
            self._check_for_response()
            send_available(self._sock, partial(body.send_to, self._sock.fileno()), self._stall_timeout_s)

    def _check_for_response(self) -> None:
        """Raise EarlyResponse if the store responds. Without room in the socket, the wait for room checks that."""
        now_s = time.monotonic()
        if now_s >= self._next_check_s:
            self._next_check_s = now_s + RESPONSE_CHECK_INTERVAL_S
            check_for_response(self._sock)


class ConnectionPool:
    """The open connections to one host that no request uses, at most *settings.connections*. Safe to share."""

    def __init__(self, open_socket: OpenSocket, settings: ConnectionSettings) -> None:
        self._open = partial(Connection, open_socket, settings)
        self._max_idle = settings.connections
        self._idle: list[Connection] = []
        self._is_closed = False

    def take(self) -> Connection:
        """Return the connection that was used last, or a new one, which is not open yet."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if connection.is_idle:
                return connection
            connection.close()
        return self._open()

    def give_back(self, connection: Connection) -> None:
        """Keep *connection* for another request if it can carry one, otherwise close it."""
        if connection.is_reusable and not self._is_closed and len(self._idle) < self._max_idle:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close all connections, those in use after their request."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()


def open_directly(
    host: str, port: int, *, tls: Callable[[], ssl.SSLContext] | None, settings: ConnectionSettings
) -> socket.socket:
    """Return a connection to any address of *host*, with TLS in the context that *tls* returns. Raises OSError."""
    context = tls() if tls is not None else None
    try:
        sock = open_connection(host, port, limited(settings.connect_timeout_s))
    except (socket.gaierror, ConnectionRefusedError):
        raise
    except TimeoutError as exc:
        raise NoAnswer(str(exc)) from exc
    except OSError as exc:
        raise NotConnected(str(exc)) from exc
    if context is None:
        return sock
    # The TLS socket takes over what *sock* is. Certificates name neither the dot at the end of a name nor the zone of
    # an address.
    with naming_no_tls(), closing(sock):
        return context.wrap_socket(sock, server_hostname=host.partition("%")[0].rstrip("."))


@contextmanager
def naming_no_tls() -> Iterator[None]:
    """Raise NoTLS for the error of OpenSSL that means it."""
    try:
        yield
    except ssl.SSLError as exc:
        if exc.reason == "WRONG_VERSION_NUMBER":
            raise NoTLS(*exc.args) from exc
        raise


def require_whole_request(status: int, *, is_sent: bool) -> None:
    """Raise NetworkError if *status* reports success, but the request was not sent completely.

    A proxy may respond so, and pass on what it has received.
    """
    is_success = 200 <= status < 300 or status == HTTPStatus.SEE_OTHER
    if is_success and not is_sent:
        detail = f"the server responded {status} before it had the whole request"
        raise NetworkError("incomplete", detail, sent=True)


def head_of(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    """Return the head of a request. Raises ValueError for a line break, which would start another header."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        raise ValueError("a header with a line break")
    return text.encode("latin-1")


def _read_all(body: Any, size: int) -> bytes:
    if isinstance(body, bytes) or not size:
        return body if size else b""
    content = bytearray()
    while block := body.read(BLOCK_BYTES):
        content += block
    return bytes(content)

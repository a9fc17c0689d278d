"""Everything in obsup that uses private names of urllib3 and http.client: connections, pools and responses.

``tests/unit/store/http/test_library_internals.py`` lists each private name, and pyproject.toml has upper bounds for the
libraries because of this module.
"""

from __future__ import annotations

import socket
import ssl
import time
from functools import partial
from http.client import HTTPException, HTTPResponse, IncompleteRead, LineTooLong, UnknownProtocol
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
)

from obsup.store.http.settings import limited
from obsup.store.http.sockets import (
    RESPONSE_CHECK_INTERVAL_S,
    ResponseStream,
    check_for_response,
    find_addresses,
    open_connection,
    send_all,
    send_available,
)
from obsup.units import KIB

_MAX_HEADERS = 200
_MAX_LINE_BYTES = 64 * KIB
# Of one response: the final head and the interim ones before it.
_MAX_HEADS = 100


class StoreResponse(HTTPResponse):
    """A response whose head is read without the email package, which takes longer than the rest of a small request.

    http.client would also accept a head that breaks off. ``fields`` are the headers by lower-case name; the values of
    repeated ones are joined by a comma.
    """

    fields: dict[str, str]

    def __init__(self, sock: Any, *, limit_s: float, **options: Any) -> None:
        super().__init__(ResponseStream(sock, limit_s), **options)  # type: ignore[arg-type]

    def begin(self) -> None:
        """Read the head. Raises HTTPException if it is invalid or breaks off."""
        for _ in range(_MAX_HEADS):
            version, status, self.reason = self._read_status()  # type: ignore[attr-defined]
            self.fields = _read_head(self.fp)
            if not 100 <= status < 200 or status == 101:
                break
        else:
            raise UnknownProtocol("too many interim responses")
        if not version.startswith("HTTP/1."):
            raise UnknownProtocol(version)
        self.version = 10 if version == "HTTP/1.0" else 11
        self.code = self.status = status
        self.headers = self.msg = self.fields  # type: ignore[assignment]
        self.chunked = self.fields.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        length, *others = {one.strip() for one in self.fields.get("content-length", "").split(",")}
        if others:
            raise UnknownProtocol("contradictory Content-Length")
        is_valid = length.isascii() and length.isdigit() and len(length) < 20 and not self.chunked
        self.length = int(length) if is_valid else None
        if status in (204, 304) or self._method == "HEAD":  # type: ignore[attr-defined]
            self.length = 0
        ends_with_connection = not self.chunked and self.length is None
        self.will_close = self._check_close() or ends_with_connection  # type: ignore[attr-defined]


def _read_head(stream: Any) -> dict[str, str]:
    """Return the headers that follow in *stream*. Raises IncompleteRead, LineTooLong."""
    fields: dict[str, str] = {}
    name = ""
    for _ in range(_MAX_HEADERS):
        line = stream.readline(_MAX_LINE_BYTES + 1)
        if line in (b"\r\n", b"\n"):
            return fields
        if len(line) > _MAX_LINE_BYTES:
            raise LineTooLong("header line")
        text = line.decode("latin-1")
        if name and text.startswith((" ", "\t")):  # a folded line; RFC 9112 still allows it
            fields[name] = f"{fields[name]} {text.strip()}"
            continue
        name, colon, value = text.partition(":")
        if not colon or not line.endswith(b"\n") or not name.strip():
            raise IncompleteRead(line)
        name, value = name.strip().lower(), value.strip()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    raise IncompleteRead(b"")


class _Connection(HTTPConnection):
    """A connection that tries all addresses of its host and stops sending as soon as the store responds."""

    longest_stall_s = 60.0
    response_limit_s = 900.0
    is_broken = False  # a request was not sent completely: the connection must not be reused
    _next_check_s = 0.0

    @property
    def stall_timeout_s(self) -> float:
        """The seconds in which no byte moves."""
        return limited(self.longest_stall_s)

    def _new_conn(self) -> socket.socket:
        self.is_broken = False
        try:
            return open_connection(self._dns_host, self.port, self.timeout)  # type: ignore[arg-type]
        except socket.gaierror as exc:
            raise NameResolutionError(self.host, self, exc) from exc
        except TimeoutError as exc:
            raise ConnectTimeoutError(self, str(exc)) from exc
        except OSError as exc:
            raise NewConnectionError(self, str(exc)) from exc

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        try:
            self._check_for_response()
            send_all(self.sock, data, self.stall_timeout_s)
        except OSError:
            self.is_broken = True
            raise

    def send_file(self, body: Any) -> None:
        """Let the kernel send as much of *body* as it can from its file; nothing over TLS."""
        if type(self.sock) is not socket.socket:
            return
        try:
            while body.can_sendfile and body.sent < body.size:
                self._check_for_response()
                send_available(self.sock, partial(body.send_to, self.sock.fileno()), self.stall_timeout_s)
        except OSError:
            self.is_broken = True
            raise

    def _check_for_response(self) -> None:
        """Raise EarlyResponse if the store responds. Without room in the socket, the wait for room checks that."""
        now_s = time.monotonic()
        if now_s >= self._next_check_s:
            self._next_check_s = now_s + RESPONSE_CHECK_INTERVAL_S
            check_for_response(self.sock)


class NoTLS(ssl.SSLError):
    """The first bytes from the server are not TLS."""


class _SecureConnection(_Connection, HTTPSConnection):
    has_tunnel = False
    _is_tunnelling = False

    def send(self, data: Any) -> None:
        super().send(data)
        if self._is_tunnelling:
            # On TLS, sending leaves a socket that does not wait, and the response of the proxy follows at once.
            self.sock.settimeout(self.stall_timeout_s)

    def _tunnel(self) -> None:
        self._is_tunnelling = True
        try:
            super()._tunnel()
            self.sock.settimeout(self.stall_timeout_s)
            self.has_tunnel = True
        finally:
            self._is_tunnelling = False

    def connect(self) -> None:
        self.has_tunnel = False
        try:
            super().connect()
        except ssl.SSLError as exc:
            if exc.reason == "WRONG_VERSION_NUMBER":
                raise NoTLS(*exc.args) from exc
            raise


def _address_that_answers(host: str, port: int, timeout_s: float) -> str:
    """Return the address of *host*, or, if it has several, the first that accepts a connection. Raises OSError."""
    addresses = find_addresses(host, port, timeout_s)
    if len(addresses) == 1:
        return str(addresses[0][4][0])
    with open_connection(host, port, timeout_s) as connection:
        return str(connection.getpeername()[0])


def _socks_connection() -> type[HTTPConnection]:
    """Return the class of connections through a SOCKS proxy. Needs PySocks."""
    from urllib3.contrib.socks import SOCKSConnection

    class ThroughSocks(SOCKSConnection):
        is_broken = False

        def _new_conn(self) -> socket.socket:
            self.is_broken = False
            options = self._socks_options
            host, port = str(options["proxy_host"]), int(options["proxy_port"] or 0)
            try:
                # PySocks tries only the first address of each family, one after the other, each with the whole timeout.
                address = _address_that_answers(host, port, self.timeout)  # type: ignore[arg-type]
                self._socks_options = {**options, "proxy_host": address}
                connected = super()._new_conn()
            except (HTTPError, OSError) as exc:
                raise ProxyError("SOCKS", exc) from exc
            finally:
                self._socks_options = options
            # From here on it is an ordinary socket, which the kernel can send files on.
            plain = socket.socket(fileno=connected.detach())
            plain.settimeout(self.timeout)
            return plain

    return ThroughSocks


def pool_classes(
    stall_timeout_s: float, response_limit_s: float, *, through_socks: bool = False
) -> dict[str, Any]:
    """Return the classes of connection pools by scheme.

    *stall_timeout_s* is seconds in which no byte moves; *response_limit_s* is seconds for one response.
    """
    first: tuple[Any, ...] = (_socks_connection(),) if through_socks else ()

    class Plain(*first, _Connection):  # type: ignore[misc]
        pass

    class Secure(*first, _SecureConnection):  # type: ignore[misc]
        pass

    for kind in (Plain, Secure):
        kind.longest_stall_s = stall_timeout_s
        kind.response_limit_s = response_limit_s
        kind.response_class = partial(StoreResponse, limit_s=response_limit_s)  # type: ignore[assignment]

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def take_connection(pool: Any) -> Any:
    """Return a connection from *pool*, which may not be open yet."""
    return pool._get_conn()


def open_taken(pool: Any, connection: Any, *, through_tunnel: bool) -> None:
    """Open *connection*, taken from *pool*. Raises ProxyError if a proxy prevents it, before it reaches the store."""
    try:
        if through_tunnel:
            pool._prepare_proxy(connection)
        else:
            connection.connect()
    except (OSError, HTTPException, HTTPError) as exc:
        if pool.proxy is None or (through_tunnel and connection.has_tunnel):
            raise
        raise ProxyError("no connection", exc) from exc


def return_connection(pool: Any, connection: Any, *, is_reusable: bool) -> None:
    """Return *connection* to *pool*, closed unless it can carry another request."""
    if not is_reusable:
        connection.close()
    pool._put_conn(connection)

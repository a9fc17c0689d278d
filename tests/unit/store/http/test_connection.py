"""Send requests on connections without a proxy, and read their responses."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing, nullcontext
from functools import partial

import pytest

from obsup.dialects.addressing import locate
from obsup.errors import NetworkError
from obsup.store.http.connection import MAX_JOINED_BODY_BYTES, ConnectionPool, head_of, open_directly
from obsup.store.http.settings import ConnectionSettings, Response
from obsup.store.http.tls_files import tls_context
from obsup.store.http.transport import Transport
from tests.doubles.certificates import Authority
from tests.doubles.scripted_server import Reply, ScriptedServer, response
from tests.support.stores import BytesBody


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "a\nb", "a\rb"])
def test_a_header_with_a_line_break_is_never_sent(value: str) -> None:
    """It would start another header or another request."""
    with pytest.raises(ValueError, match="line break"):
        head_of("PUT", "/bucket/key", {"x-obs-meta-a": value})


@pytest.mark.parametrize(
    ("lines", "name", "value"),
    [
        ("ETag: one\r\n", "etag", "one"),
        ("X-A: one\r\nx-a: two\r\n", "x-a", "one, two"),
        ("X-A: one\r\n two\r\n", "x-a", "one two"),
        ("X-A:\r\n", "x-a", ""),
        ("X-A:one  \r\n", "x-a", "one"),
    ],
)
def test_headers_are_read_as_http_defines_them(lines: str, name: str, value: str) -> None:
    """Repeated headers are joined, folded ones unfolded, and values trimmed."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{lines}\r\n".encode()
    with ScriptedServer(lambda _: Reply([head])) as server:
        got = _put(server, b"x")
    assert got.headers[name] == value


@pytest.mark.parametrize("count", [1, 199, 5000])
def test_a_response_with_too_many_headers_is_an_error(count: int) -> None:
    """Real responses have about a dozen."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"X-A: b\r\n" * count + b"\r\n"
    with ScriptedServer(lambda _: Reply([head])) as server:
        if count < 199:
            assert _put(server, b"x").status == 200
            return
        with pytest.raises(NetworkError) as caught:
            _put(server, b"x")
    assert caught.value.kind == "incomplete"


@pytest.mark.parametrize("size", [1, MAX_JOINED_BODY_BYTES, MAX_JOINED_BODY_BYTES + 1])
def test_a_body_of_any_size_arrives_complete(size: int) -> None:
    """Sent with the head or after it, from memory or from a file."""
    content = bytes(range(256)) * (size // 256 + 1)
    for body in (content[:size], BytesBody(content[:size])):
        with ScriptedServer(lambda _: response(200)) as server:
            _put(server, body)
            assert server.last.body == content[:size]


def test_a_request_that_failed_does_not_reach_the_store_later() -> None:
    """It may be older than another one then: the system would send the rest of it in the next minutes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        address = locate(f"http://127.0.0.1:{server.getsockname()[1]}", "bucket", "key", "path")
        settings = ConnectionSettings(stall_timeout_s=0.2)
        with closing(Transport(settings)) as transport, pytest.raises(NetworkError):
            transport.exchange("PUT", address, (), headers={}, body=bytes(MAX_JOINED_BODY_BYTES), sign=None)
        connection, _ = server.accept()
        with connection, pytest.raises(ConnectionResetError):
            b"".join(iter(partial(connection.recv, 4096), b""))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", b"body"),
        (b"HTTP/1.1 200\r\nContent-Length: 4\r\n\r\nbody", b"body"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n", b""),
        (CHUNKED + b"2\r\nbo\r\n02;a=b\r\ndy\r\n0\r\nETag: x\r\n\r\n", b"body"),
        (CHUNKED + b"A\r\n0123456789\r\n000\r\n\r\n", b"0123456789"),
    ],
)
def test_a_response_shows_its_end(head: bytes, body: bytes) -> None:
    """The connection stays open, and carries the next request."""
    with ScriptedServer(lambda _: Reply([head])) as server, closing(_open()) as transport:
        for _ in range(2):
            assert _put(server, b"x", transport).body == body
        assert server.connections == 1


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\nbody",
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 4\r\n\r\nbody",
        CHUNKED + b"4\r\nbody\r\n0\r\n",
    ],
)
def test_a_response_ends_with_the_connection(head: bytes) -> None:
    """As HTTP/1.0 has it, or without an end of its own; the next request has another connection."""
    with ScriptedServer(lambda _: Reply([head], close=True)) as server, closing(_open()) as transport:
        for _ in range(2):
            assert _put(server, b"x", transport).body == b"body"
        assert server.connections == 2


@pytest.mark.parametrize(
    "chunks",
    [
        b"-1\r\n",
        b"+4\r\nbody\r\n0\r\n\r\n",
        b"0x4\r\nbody\r\n0\r\n\r\n",
        b"4_0\r\nbody\r\n0\r\n\r\n",
        b"\r\nbody\r\n0\r\n\r\n",
        b"3\r\nbody\r\n0\r\n\r\n",
        b"4\r\nbody\r\n",
        b"fffffffffffffff\r\nbody",
    ],
)
def test_chunks_that_contradict_their_sizes_are_an_error(chunks: bytes) -> None:
    with (
        ScriptedServer(lambda _: Reply([CHUNKED + chunks], close=True)) as server,
        pytest.raises(NetworkError) as caught,
    ):
        _put(server, b"x")
    assert caught.value.kind in ("incomplete", "reset")
    assert caught.value.sent


def test_tls_names_the_protocol_that_follows(authority: Authority) -> None:
    """A server with several protocols could choose another one."""
    tls = authority.context("127.0.0.1")
    tls.set_alpn_protocols(["h2", "http/1.1"])
    settings = ConnectionSettings(ca_bundle=str(authority.bundle))
    with (
        ScriptedServer(lambda _: response(200), tls=tls) as server,
        closing(
            open_directly("127.0.0.1", server.port, tls=lambda: tls_context(settings, {}), settings=settings)
        ) as sock,
    ):
        assert isinstance(sock, ssl.SSLSocket)
        assert sock.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("has_tls", [False, True])
def test_what_follows_a_response_is_not_taken_for_the_next_one(authority: Authority, has_tls: bool) -> None:
    """Some servers send a body with the response to HEAD: the next request has another connection."""
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 16000\r\n\r\n" + b"x" * 16_000
    settings = ConnectionSettings(ca_bundle=str(authority.bundle))
    with (
        ScriptedServer(
            lambda one: Reply([body]) if one.method == "HEAD" else response(200),
            tls=authority.context("127.0.0.1") if has_tls else None,
        ) as server,
        closing(Transport(settings)) as transport,
    ):
        for method in ("HEAD", "PUT"):
            address = locate(server.endpoint, "bucket", "key", "path")
            got = transport.exchange(method, address, (), headers={}, body=b"", sign=None)
            assert (got.status, got.body) == (200, b"")
        assert server.connections == 2


def test_idle_connections_are_limited_and_close_with_the_transport() -> None:
    """Those in use close after their request."""
    with ScriptedServer(lambda _: response(200)) as server:
        settings = ConnectionSettings(connections=1)
        pool = ConnectionPool(
            partial(open_directly, "127.0.0.1", server.port, tls=None, settings=settings), settings
        )
        used = [pool.take() for _ in range(3)]
        head = head_of("GET", "/", {"Host": "localhost"})
        for connection in used:
            connection.exchange("GET", head, b"", 0, response_timeout_s=20)
        for connection in used[:2]:
            pool.give_back(connection)
        assert [one.is_idle for one in used] == [True, False, True]
        pool.close()
        pool.give_back(used[2])
        assert [one.is_idle for one in used] == [False, False, False]


def _open() -> Transport:
    return Transport(ConnectionSettings(connect_timeout_s=10, stall_timeout_s=20))


def _put(server: ScriptedServer, body: bytes | BytesBody, transport: Transport | None = None) -> Response:
    with nullcontext(transport) if transport else closing(_open()) as used:
        return used.exchange(
            "PUT", locate(server.endpoint, "bucket", "key", "path"), (), headers={}, body=body, sign=None
        )

"""Write the head of a request, and read the head of a response."""

from __future__ import annotations

import pytest

from obsup.dialects.addressing import locate
from obsup.errors import NetworkError
from obsup.store.http.request_writer import MAX_JOINED_BODY_BYTES, head_of
from obsup.store.http.settings import ConnectionSettings, Response
from obsup.store.http.transport import Transport
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


def _put(server: ScriptedServer, body: bytes | BytesBody) -> Response:
    transport = Transport(ConnectionSettings(connect_timeout_s=10, stall_timeout_s=20))
    try:
        return transport.exchange(
            "PUT", locate(server.endpoint, "bucket", "key", "path"), (), headers={}, body=body, sign=None
        )
    finally:
        transport.close()

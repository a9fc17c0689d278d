"""Requests as they are sent, and responses as they are read."""

from __future__ import annotations

import base64
import errno
import itertools
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3

from obsup.dialects.addressing import locate
from obsup.dialects.dialect import Addressing
from obsup.errors import NetworkError
from obsup.local.source.file import PartBody
from obsup.local.source.identity import stat_source
from obsup.model import Part
from obsup.store.http.body import Body
from obsup.store.http.network_errors import network_error
from obsup.store.http.probe import check_protocol_of_proxy
from obsup.store.http.response import MAX_RESPONSE_BYTES
from obsup.store.http.settings import ConnectionSettings, Response
from obsup.store.http.tls_files import describe_trust
from obsup.store.http.transport import USER_AGENT, Transport
from tests.doubles.certificates import Authority
from tests.doubles.listener import Listener
from tests.doubles.scripted_server import ReceivedRequest, Reply, ScriptedServer, error, response
from tests.doubles.stepped_clock import SteppedClock
from tests.support.stores import BytesBody

MIB = 1024 * 1024
Open = Callable[..., Transport]
KEYS = [
    ("plain.txt", "/bucket/plain.txt"),
    ("/leading", "/bucket//leading"),
    ("dir//x", "/bucket/dir//x"),
    ("a/../b/./c", "/bucket/a/../b/./c"),
    ("~tilde", "/bucket/~tilde"),
    ("a b+c%d", "/bucket/a%20b%2Bc%25d"),
    ("?x=1&y#z;w", "/bucket/%3Fx%3D1%26y%23z%3Bw"),
    ("http://x", "/bucket/http%3A//x"),
    ("é/对象", "/bucket/%C3%A9/%E5%AF%B9%E8%B1%A1"),
]


@pytest.fixture
def open_transport() -> Iterator[Open]:
    """Open transports that are closed with the test."""
    opened: list[Transport] = []

    def run(**settings: Any) -> Transport:
        settings = {"connect_timeout_s": 10.0, "stall_timeout_s": 20.0, **settings}
        opened.append(Transport(ConnectionSettings(**settings)))
        return opened[-1]

    yield run
    for transport in opened:
        transport.close()


def ok(_request: ReceivedRequest) -> Reply:
    return response(200, "fine")


def send(
    transport: Transport,
    endpoint: str,
    method: str = "GET",
    *,
    key: str | None = "key",
    body: Body | bytes = b"",
    query: tuple[tuple[str, str | None], ...] = (),
    addressing: Addressing = "path",
) -> Response:
    return transport.exchange(
        method,
        locate(endpoint, "bucket", key, addressing),
        query,
        headers={},
        body=body,
        sign=None,
    )


def error_of(transport: Transport, endpoint: str) -> NetworkError:
    """Return the error of a request."""
    with pytest.raises(NetworkError) as caught:
        send(transport, endpoint)
    return caught.value


@pytest.mark.parametrize(("key", "target"), KEYS)
def test_a_key_is_sent_byte_by_byte(open_transport: Open, key: str, target: str) -> None:
    """requests and urllib3 would change some of these keys to those of other objects."""
    with ScriptedServer(ok) as server:
        send(open_transport(), server.endpoint, key=key, query=(("uploads", None), ("prefix", "a/b c+d")))
        assert server.last.target == f"{target}?uploads&prefix=a%2Fb%20c%2Bd"


@pytest.mark.parametrize(("key", "target"), KEYS)
def test_a_key_is_sent_through_a_proxy_byte_by_byte(open_transport: Open, key: str, target: str) -> None:
    """A proxy for plain HTTP receives an absolute target, which urllib3 would normalise."""
    with ScriptedServer(ok) as proxy:
        send(open_transport(proxy=proxy.endpoint), "http://store.example:8080", key=key)
        assert proxy.last.target == f"http://store.example:8080{target}"
        assert proxy.last.header("Host") == "store.example:8080"


def test_no_other_headers_are_sent(open_transport: Open) -> None:
    """No Accept, no Connection, no Transfer-Encoding: what is sent was signed."""
    with ScriptedServer(ok) as server:
        send(open_transport(), server.endpoint, "DELETE")
        assert [name for name, _ in server.last.headers] == ["Host", "User-Agent", "Accept-Encoding"]


def test_caches_on_the_way_are_not_asked(open_transport: Open) -> None:
    """RFC 9111, 3.5: they may keep the response about a public object. --header can ask for another directive."""
    with ScriptedServer(ok) as server:
        for method, given, expected in (
            ("GET", {}, "no-cache"),
            ("HEAD", {}, "no-cache"),
            ("HEAD", {"cache-control": "no-store"}, "no-store"),
            ("PUT", {}, None),
            ("POST", {}, None),
        ):
            signed: list[str] = []

            def sign(headers: Mapping[str, str], signed: list[str] = signed) -> Mapping[str, str]:
                signed.extend(headers)
                return {}

            address = locate(server.endpoint, "bucket", "key", "path")
            open_transport().exchange(method, address, (), headers=given, body=b"", sign=sign)
            assert server.last.header("Cache-Control") == expected
            assert ("cache-control" in [name.lower() for name in signed]) == bool(given)


def test_a_header_in_another_case_is_sent_once(open_transport: Open) -> None:
    """The header of the transport, or of the signature, replaces one with the same name in any case."""
    with ScriptedServer(ok) as server:
        open_transport().exchange(
            "GET",
            locate(server.endpoint, "bucket", "key", "path"),
            (),
            headers={"USER-AGENT": "other", "date": "now", "x-own": "1"},
            body=b"",
            sign=lambda _headers: {"Date": "then"},
        )
        sent = [
            (name, value) for name, value in server.last.headers if name.lower() in ("user-agent", "date")
        ]
        assert sent == [("User-Agent", USER_AGENT), ("Date", "then")]


@pytest.mark.parametrize("body", [b"", BytesBody(b"")])
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_an_empty_body_has_a_content_length(open_transport: Open, method: str, body: Any) -> None:
    """A file-like body of length 0 would be sent in chunks, which the stores reject."""
    with ScriptedServer(ok) as server:
        send(open_transport(), server.endpoint, method, body=body)
        assert server.last.header("Content-Length") == "0"
        assert server.last.header("Transfer-Encoding") is None


def test_the_content_length_of_a_part_is_that_of_its_window(open_transport: Open, tmp_path: Path) -> None:
    """The file is longer than the part."""
    (tmp_path / "source").write_bytes(b"0123456789")
    body = PartBody(tmp_path / "source", Part(2, 3, 4), stat_source(tmp_path / "source"))
    with ScriptedServer(ok) as server:
        send(open_transport(), server.endpoint, "PUT", body=body)
    body.close()
    assert server.last.header("Content-Length") == "4"
    assert server.last.body == b"3456"


def test_a_bucket_under_localhost_is_loopback_and_keeps_its_name(open_transport: Open) -> None:
    """Independent of the resolver; also for the second request on a connection."""
    with ScriptedServer(ok) as server:
        transport = open_transport()
        for _ in range(2):
            send(transport, f"http://localhost:{server.port}", addressing="virtual")
        assert [one.header("Host") for one in server.received] == [f"bucket.localhost:{server.port}"] * 2
        assert server.connections == 1


@pytest.fixture(params=["memory", "sendfile"])
def large(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Body]:
    """A body that is larger than any socket buffer, from memory or sent by the kernel."""
    if request.param == "memory":
        yield BytesBody(bytes(32 * MIB))
        return
    with (tmp_path / "large").open("wb") as file:
        file.truncate(32 * MIB)
    with closing(PartBody(tmp_path / "large", Part(1, 0, 32 * MIB), stat_source(tmp_path / "large"))) as body:
        yield body


def test_a_refusal_during_the_body_is_read(open_transport: Open, large: Body) -> None:
    """The store returns 403 after the head and closes the connection with most of the body unread."""
    with ScriptedServer(lambda _: response(403, "<Error/>", early=True, close=True)) as server:
        got = send(open_transport(), server.endpoint, "PUT", body=large)
    assert (got.status, got.body) == (403, b"<Error/>")


@pytest.mark.parametrize("status", [200, 303])
@pytest.mark.parametrize("through", ["direct", "proxy"])
def test_success_before_the_whole_body_was_sent_is_a_failure(
    open_transport: Open, large: Body, through: str, status: int
) -> None:
    """A proxy that limits bodies may store the part of it that it has received."""
    with ScriptedServer(lambda _: response(status, early=True)) as server:
        proxy = {"proxy": server.endpoint} if through == "proxy" else {}
        endpoint = "http://store.example" if through == "proxy" else server.endpoint
        with pytest.raises(
            NetworkError, match=f"responded {status} before it had the whole request"
        ) as failed:
            send(open_transport(**proxy), endpoint, "PUT", body=large)
    assert failed.value.sent


def test_the_kernel_sends_a_file_that_no_digest_needs(
    open_transport: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over plain HTTP the bytes do not pass through Python."""
    (tmp_path / "source").write_bytes(bytes(MIB))
    body = PartBody(tmp_path / "source", Part(1, 0, MIB), stat_source(tmp_path / "source"))
    monkeypatch.setattr(body, "readinto", lambda _block: pytest.fail("the bytes were read"))
    with closing(body), ScriptedServer(ok) as server:
        monkeypatch.setattr(body, "read", lambda _amount: b"")
        send(open_transport(), server.endpoint, "PUT", body=body)
        assert len(server.last.body) == MIB


def test_a_file_arrives_with_and_without_tls(
    open_transport: Open, tmp_path: Path, authority: Authority
) -> None:
    """With TLS the kernel cannot send it."""
    content = bytes(range(256)) * 20_000
    (tmp_path / "source").write_bytes(content)
    for tls in (None, authority.context("127.0.0.1")):
        body = PartBody(tmp_path / "source", Part(1, 5, len(content) - 7), stat_source(tmp_path / "source"))
        with ScriptedServer(ok, tls=tls) as server:
            send(open_transport(ca_bundle=str(authority.bundle)), server.endpoint, "PUT", body=body)
        assert server.last.body == content[5:-2]
        body.close()


def test_a_refusal_over_tls_during_the_body_is_read(open_transport: Open, authority: Authority) -> None:
    """The socket is full, so the wait for room must also notice the response."""
    tls = authority.context("127.0.0.1")
    with ScriptedServer(lambda _: response(403, "<Error/>", early=True), tls=tls) as server:
        transport = open_transport(ca_bundle=str(authority.bundle), stall_timeout_s=600)
        got = send(transport, server.endpoint, "PUT", body=BytesBody(bytes(32 * MIB)))
    assert (got.status, got.body) == (403, b"<Error/>")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("closes", [True, False])
def test_a_refusal_over_tls_is_noticed_while_the_body_is_being_sent(
    open_transport: Open, authority: Authority, version: ssl.TLSVersion, closes: bool
) -> None:
    """The store closes the connection or reads the rest: never "connection reset", never the whole body."""
    tls = authority.context("127.0.0.1")
    tls.maximum_version = version
    told = error(403, "AccessDenied", Message="not you")
    with ScriptedServer(
        lambda _: replace(told, early=True, close=closes, drains=not closes), tls=tls
    ) as server:
        transport = open_transport(ca_bundle=str(authority.bundle))
        for _ in range(5):
            got = send(transport, server.endpoint, "PUT", body=BytesBody(bytes(64 * MIB)))
            assert (got.status, b"not you" in got.body) == (403, True)
        assert server.connections == 5
    assert server.drained < 5 * 32 * MIB


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_other_tls_messages_do_not_stop_the_body(
    open_transport: Open, authority: Authority, version: ssl.TLSVersion
) -> None:
    """Session tickets, which TLS 1.3 may send at any time, and ``100 Continue``."""
    tls = authority.context("127.0.0.1")
    tls.maximum_version = version
    content = bytes(range(256)) * (32 * 4096)
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    with ScriptedServer(lambda _: response(200, "fine", interim=interim), tls=tls) as server:
        transport = open_transport(ca_bundle=str(authority.bundle))
        for _ in range(3):
            got = send(transport, server.endpoint, "PUT", body=BytesBody(content))
            assert (got.status, got.body) == (200, b"fine")
        assert [one.body == content for one in server.received] == [True] * 3
        assert server.connections == 1


def test_a_connection_with_an_incomplete_request_is_not_reused(open_transport: Open, large: Body) -> None:
    """The store responds early and keeps the connection open: the next request would be read as the rest of the body.

    The response is noticed while the socket is full, long before the stall timeout.
    """
    replies = iter([response(503, early=True), response(200)])
    with ScriptedServer(lambda _: next(replies)) as server:
        transport = open_transport(stall_timeout_s=600)
        assert send(transport, server.endpoint, "PUT", body=large).status == 503
        assert send(transport, server.endpoint).status == 200
        assert [one.connection for one in server.received if one.method == "GET"] == [2]


def test_a_connection_is_reused(open_transport: Open) -> None:
    with ScriptedServer(ok) as server:
        transport = open_transport()
        for _ in range(3):
            send(transport, server.endpoint, "PUT", body=b"x")
        assert server.connections == 1


def test_an_idle_connection_that_the_store_closed_is_replaced(open_transport: Open) -> None:
    """Stores close idle connections after 5 s; that is no failure and needs no retry."""
    with ScriptedServer(lambda _: response(200, close=True)) as server:
        transport = open_transport()
        for _ in range(3):
            assert send(transport, server.endpoint, "PUT", body=b"x").status == 200
            server.wait_until_closed()
        assert server.connections == 3


def test_an_informational_response_does_not_stop_the_body(open_transport: Open) -> None:
    """Some servers send 100 Continue without a request for it."""
    whole = response(200)
    reply = Reply(whole.pieces, interim=b"HTTP/1.1 100 Continue\r\n\r\n")
    with ScriptedServer(lambda _: reply) as server:
        send(open_transport(), server.endpoint, "PUT", body=BytesBody(bytes(32 * MIB)))
        assert len(server.last.body) == 32 * MIB


def test_a_chunked_response_is_read(open_transport: Open) -> None:
    pieces = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"4\r\n<a><\r\n",
        b"3\r\n/a>\r\n0\r\n\r\n",
    ]
    with ScriptedServer(lambda _: Reply(pieces)) as server:
        assert send(open_transport(), server.endpoint).body == b"<a></a>"


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n<a>"],
        [b"HTTP/1.1 200 OK\r\nContent-"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: abc"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: abc\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nrubbish\r\nETag: abc\r\n\r\n"],
        [b"HTTP/1.1 2"],
        [b"not HTTP at all\r\n\r\n"],
        [],
    ],
)
def test_an_incomplete_response_is_a_network_failure(open_transport: Open, pieces: list[bytes]) -> None:
    """The store may have executed the request."""
    with ScriptedServer(lambda _: Reply(pieces, close=True)) as server, pytest.raises(NetworkError) as caught:
        send(open_transport(), server.endpoint, "POST", body=b"x")
    assert caught.value.kind in ("incomplete", "reset")
    assert caught.value.sent


def test_a_reset_during_the_request_is_a_network_failure(open_transport: Open) -> None:
    with (
        ScriptedServer(lambda _: Reply([], early=True, reset=True)) as server,
        pytest.raises(NetworkError) as caught,
    ):
        send(open_transport(), server.endpoint, "PUT", body=BytesBody(bytes(8 * MIB)))
    assert (caught.value.kind, caught.value.sent) == ("reset", True)


@pytest.mark.parametrize("size", [1, 8 * MIB])
def test_a_store_that_requires_a_client_certificate(
    open_transport: Open, authority: Authority, size: int
) -> None:
    """With TLS 1.3 it says so when the client sends already, and closes the connection.

    The system may drop the alert with the connection; such an attempt is retried.
    """
    tls = authority.context("127.0.0.1")
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(authority.bundle)
    errors = []
    with ScriptedServer(ok, tls=tls) as server:
        transport = open_transport(ca_bundle=str(authority.bundle))
        for _ in range(8):
            with pytest.raises(NetworkError) as caught:
                send(transport, server.endpoint, "PUT", body=BytesBody(bytes(size)))
            errors.append(caught.value)
    alerts = [one for one in errors if one.kind == "alert" and "certificate required" in str(one)]
    assert len(alerts) > 5


def test_an_endless_response_is_an_error(open_transport: Open) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {10 * MAX_RESPONSE_BYTES}\r\n\r\n".encode()
    with (
        ScriptedServer(lambda _: Reply((head, *[bytes(MIB)] * 20))) as server,
        pytest.raises(NetworkError, match="more than"),
    ):
        send(open_transport(), server.endpoint)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SLOW_RESPONSES = {
    "body": [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *[b" "] * 1000],
    "chunks": [CHUNKED, *[b"1\r\n \r\n"] * 1000],
    "trailers": [CHUNKED + b"1\r\n \r\n0\r\n", *[b"X-A: b\r\n"] * 1000],
    "head": [b"HTTP/1.1 200 OK\r\nX-A: ", *[b"a"] * 1000],
    "headers": [b"HTTP/1.1 200 OK\r\n", *[b"X-A: b\r\n"] * 199],
    "status": [b"HTTP/1.1 200 ", *[b"a"] * 1000],
    "interim": [b"HTTP/1.1 100 Continue\r\n\r\n"] * 99,
}


@pytest.mark.parametrize("slow", SLOW_RESPONSES)
@pytest.mark.parametrize("through_proxy", [False, True], ids=["direct", "proxy"])
def test_a_very_slow_response_is_an_error(
    open_transport: Open, slow: str, through_proxy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every byte arrives in time, but the response would take too long."""
    clock = SteppedClock(time.monotonic())
    monkeypatch.setattr(time, "monotonic", clock)
    with ScriptedServer(lambda _: Reply(clock.pieces_of(SLOW_RESPONSES[slow], step_s=1))) as server:
        options: dict[str, Any] = {"proxy": server.endpoint} if through_proxy else {}
        transport = open_transport(response_limit_s=50, **options)
        with pytest.raises(NetworkError, match="too slowly") as caught:
            send(transport, "http://store.example" if through_proxy else server.endpoint)
        clock.release()
    assert (caught.value.kind, caught.value.sent) == ("slow", True)


@pytest.mark.parametrize(
    "through_proxy", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["direct", "proxy"]
)
@pytest.mark.parametrize(
    ("start", "repeated"), [(CHUNKED + b"0\r\n", b"X-A: b\r\n"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")]
)
def test_an_endless_response_without_a_body_is_an_error(
    open_transport: Open, start: bytes, repeated: bytes, through_proxy: bool
) -> None:
    """Trailers and interim responses that arrive fast, without an end."""
    pieces = itertools.chain([start], itertools.repeat(repeated * 100_000))
    with ScriptedServer(lambda _: Reply(pieces)) as server:
        options: dict[str, Any] = {"proxy": server.endpoint} if through_proxy else {}
        with pytest.raises(NetworkError) as caught:
            send(open_transport(**options), "http://store.example" if through_proxy else server.endpoint)
    assert caught.value.kind in ("incomplete", "reset")


def test_a_compressed_response_is_not_decompressed(open_transport: Open) -> None:
    """obsup does not request compression, and it may be a decompression bomb."""
    with ScriptedServer(lambda _: response(200, b"\x1f\x8bwhatever", {"Content-Encoding": "gzip"})) as server:
        assert send(open_transport(), server.endpoint).body == b"\x1f\x8bwhatever"


def test_a_store_that_does_not_respond_is_a_stall(open_transport: Open) -> None:
    with (
        ScriptedServer(lambda _: Reply([b""], pause_s=0.5)) as server,
        pytest.raises(NetworkError) as caught,
    ):
        send(open_transport(stall_timeout_s=0.05), server.endpoint)
    assert (caught.value.kind, caught.value.sent) == ("stall", True)


def test_a_store_that_reads_nothing_is_a_stall(open_transport: Open) -> None:
    """No byte moves during the stall timeout."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        transport = open_transport(stall_timeout_s=0.2)
        with pytest.raises(NetworkError) as caught:
            send(transport, endpoint, "PUT", body=BytesBody(bytes(64 * MIB)))
    assert caught.value.kind == "stall"


def test_an_error_of_the_body_passes_unchanged(open_transport: Open) -> None:
    """A disk failure is not a network failure."""
    body = BytesBody(bytes(4 * MIB), fails_after=MIB, failure=RuntimeError("the disk"))
    with ScriptedServer(ok) as server, pytest.raises(RuntimeError, match="the disk"):
        send(open_transport(), server.endpoint, "PUT", body=body)


def test_a_redirect_is_not_followed(open_transport: Open) -> None:
    """The request would have the old signature."""
    with ScriptedServer(
        lambda _: response(307, headers={"Location": "http://127.0.0.1:1/elsewhere"})
    ) as server:
        got = send(open_transport(), server.endpoint)
    assert (got.status, got.headers["location"]) == (307, "http://127.0.0.1:1/elsewhere")


def test_cookies_are_not_kept(open_transport: Open) -> None:
    with ScriptedServer(lambda _: response(200, headers={"Set-Cookie": "a=b; Path=/"})) as server:
        transport = open_transport()
        for _ in range(2):
            send(transport, server.endpoint)
        assert server.last.header("Cookie") is None


def test_netrc_is_not_read(open_transport: Open, home: Path) -> None:
    """It would replace the signature by a password."""
    (home / ".netrc").write_text("machine 127.0.0.1 login somebody password hunter2\n")
    with ScriptedServer(ok) as server:
        send(open_transport(), server.endpoint)
        assert server.last.header("Authorization") is None


def test_a_closed_port_is_a_refused_connection(open_transport: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(NetworkError) as caught:
        send(open_transport(), f"http://127.0.0.1:{port}")
    assert (caught.value.kind, caught.value.sent) == ("refused", False)


def test_a_proxy_of_the_environment_is_used(open_transport: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(ok) as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:pa%20ss@127.0.0.1:{proxy.port}")
        send(open_transport(), "http://store.example")
        assert proxy.last.target == "http://store.example/bucket/key"
        given = proxy.last.header("Proxy-Authorization") or ""
        assert base64.b64decode(given.removeprefix("Basic ")) == b"user:pa ss"


def test_a_proxy_without_a_scheme_is_one_for_http(
    open_transport: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its name begins with."""
    with ScriptedServer(ok) as proxy:
        monkeypatch.setenv("http_proxy", f"socks5.localhost:{proxy.port}")
        send(open_transport(), "http://store.example")
        assert proxy.last.target == "http://store.example/bucket/key"


def test_a_proxy_of_the_environment_is_not_used_for_loopback(
    open_transport: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would connect to its own loopback; ``obsup sandbox`` must work behind a proxy."""
    with ScriptedServer(ok) as proxy, ScriptedServer(ok) as server:
        monkeypatch.setenv("http_proxy", proxy.endpoint)
        send(open_transport(), server.endpoint)
        send(open_transport(), f"http://localhost:{server.port}", addressing="virtual")
        assert (len(proxy.received), len(server.received)) == (0, 2)


def test_a_configured_proxy_is_used_for_every_host(open_transport: Open) -> None:
    with ScriptedServer(ok) as proxy:
        send(open_transport(proxy=proxy.endpoint), "http://127.0.0.1:1")
        assert proxy.last.target == "http://127.0.0.1:1/bucket/key"


@pytest.mark.parametrize("between", [b"\r\nContent-Length: ", b", "], ids=["two lines", "one line"])
@pytest.mark.parametrize("through_proxy", [False, True], ids=["direct", "proxy"])
def test_a_content_length_that_is_sent_twice(
    open_transport: Open, between: bytes, through_proxy: bool
) -> None:
    """RFC 9110, section 8.6: equal values count once; others are no response of a store."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 4%b%d\r\n\r\nbody"
    for second in (4, 5):
        with ScriptedServer(lambda _: Reply([head % (between, second)])) as server:  # noqa: B023
            options: dict[str, Any] = {"proxy": server.endpoint} if through_proxy else {}
            transport = open_transport(stall_timeout_s=600, **options)
            url = "http://store.example" if through_proxy else server.endpoint
            if second == 4:
                assert send(transport, url).body == b"body"
                assert send(transport, url).headers["content-length"] == "4"
            else:
                with pytest.raises(NetworkError):
                    send(transport, url)


def test_a_host_name_that_cannot_be_resolved_is_not_a_timeout() -> None:
    """Among the exceptions of urllib3 the one is a subclass of the other."""
    cause = urllib3.exceptions.NameResolutionError("store.example", None, socket.gaierror())  # type: ignore[arg-type]
    url = "https://store.example"
    assert network_error(cause, url).detail == "the host name store.example could not be resolved"
    cause.__cause__ = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    assert network_error(cause, url).detail.endswith("resolved (temporary failure in name resolution)")
    cause = urllib3.exceptions.ConnectTimeoutError(None, "timed out")  # type: ignore[assignment]
    detail = network_error(cause, url).detail
    assert detail == "no connection to store.example:443 within --connect-timeout"


def test_the_reason_why_a_host_cannot_be_reached_is_named() -> None:
    """It is known to the cause of urllib3's exception only."""
    error = urllib3.exceptions.NewConnectionError(None, "failed")  # type: ignore[arg-type]
    error.__cause__ = OSError(errno.EHOSTUNREACH, "No route to host")
    detail = network_error(error, "https://store.example").detail
    assert detail == "no connection to store.example:443 could be established (no route to host)"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_through_a_proxy_is_returned(
    status: int, open_transport: Open, authority: Authority
) -> None:
    """It is not followed, and no other request is made of it; in the clear and through a tunnel."""
    redirect = response(status, headers={"Location": "http://elsewhere.example/x?y"})
    for scheme in ("http", "https"):
        with ScriptedServer(lambda _: redirect, tunnel_tls=authority.context("store.example")) as proxy:
            transport = open_transport(proxy=proxy.endpoint, ca_bundle=str(authority.bundle))
            found = send(transport, f"{scheme}://store.example", "PUT", body=b"data")
            assert (found.status, found.headers["location"]) == (status, "http://elsewhere.example/x?y")
            assert [one.method for one in proxy.received if one.method != "CONNECT"] == ["PUT"]


def test_https_goes_through_a_tunnel(open_transport: Open, authority: Authority) -> None:
    """The proxy sees the host and its own password, but not the request."""
    with ScriptedServer(ok, tunnel_tls=authority.context("store.example")) as proxy:
        transport = open_transport(
            proxy=f"http://user:secret@127.0.0.1:{proxy.port}", ca_bundle=str(authority.bundle)
        )
        assert send(transport, "https://store.example", key="a/../b").status == 200
        connect, request = proxy.received
        assert (connect.method, connect.target) == ("CONNECT", "store.example:443")
        assert connect.header("Proxy-Authorization") is not None
        assert (request.target, request.header("Host")) == ("/bucket/a/../b", "store.example")
        assert request.header("Proxy-Authorization") is None


@pytest.mark.parametrize(
    ("status", "kind", "detail"),
    [
        (302, "tunnel", "refused to connect (302)"),
        (403, "tunnel", "refused to connect (403)"),
        (404, "tunnel", "refused to connect (404)"),
        (407, "proxy-login", "rejected the user or the password"),
        (408, "proxy", "could not connect to the store (408)"),
        (429, "proxy", "could not connect to the store (429)"),
        (501, "tunnel", "refused to connect (501)"),
        (502, "proxy", "could not connect to the store (502)"),
    ],
)
def test_a_proxy_that_opens_no_tunnel(open_transport: Open, status: int, kind: str, detail: str) -> None:
    """Rejections are final, temporary failures are retried, as those of a store; a login page is no store."""
    with (
        ScriptedServer(ok, tunnel=response(status, close=True)) as proxy,
        pytest.raises(NetworkError) as caught,
    ):
        send(open_transport(proxy=proxy.endpoint), "https://store.example")
    assert (caught.value.kind, caught.value.sent) == (kind, False)
    assert detail in caught.value.detail


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_through_a_proxy_that_breaks_off_after_the_request(
    scheme: str, open_transport: Open, authority: Authority
) -> None:
    """The store may have received the request, so that it must be looked up; urllib3 reports a ProxyError."""
    with ScriptedServer(
        lambda _: Reply([], close=True), tunnel_tls=authority.context("store.example")
    ) as proxy:
        transport = open_transport(proxy=proxy.endpoint, ca_bundle=str(authority.bundle))
        with pytest.raises(NetworkError) as caught:
            send(transport, f"{scheme}://store.example", "POST", body=b"data")
        assert proxy.last.body == b"data"
    assert (caught.value.kind, caught.value.sent) == ("reset", True)
    assert (f"the proxy 127.0.0.1:{proxy.port}" in caught.value.detail) is (scheme == "http")


def test_a_proxy_that_closes_the_connection_instead_of_opening_a_tunnel(open_transport: Open) -> None:
    """The store has received nothing, so that the request can be sent again without a look at the store."""
    with ScriptedServer(ok, tunnel=Reply([], close=True)) as proxy, pytest.raises(NetworkError) as caught:
        send(open_transport(proxy=proxy.endpoint), "https://store.example")
    assert (caught.value.kind, caught.value.sent) == ("proxy", False)


@pytest.mark.parametrize("pieces", [[b"HTTP/1.1 200 Connected\r\n", *[b"X-A: b\r\n"] * 1000], [b"H"] * 1000])
def test_a_very_slow_tunnel_is_an_error(open_transport: Open, pieces: list[bytes]) -> None:
    """Every byte of the proxy's response arrives in time."""
    with ScriptedServer(ok, tunnel=Reply(pieces, pause_s=0.01)) as proxy:
        transport = open_transport(stall_timeout_s=0.2, response_limit_s=0.1, proxy=proxy.endpoint)
        with pytest.raises(NetworkError):
            send(transport, "https://store.example")


def test_a_certificate_of_an_unknown_authority_is_rejected(
    open_transport: Open, authority: Authority
) -> None:
    """By default, and nothing is sent. The message names what is trusted."""
    with (
        ScriptedServer(ok, tls=authority.context("127.0.0.1")) as server,
        pytest.raises(NetworkError) as caught,
    ):
        send(open_transport(), server.endpoint)
    assert (caught.value.kind, caught.value.sent) == ("certificate", False)
    assert caught.value.detail.endswith(f"those of {describe_trust(ConnectionSettings(), os.environ)}")
    assert server.received == []


@pytest.mark.parametrize("origin", ["--ca-bundle", "SSL_CERT_FILE"])
def test_the_trusted_file_is_named_with_its_origin(
    origin: str, open_transport: Open, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that was forgotten may name it."""
    other = Authority(tmp_path)
    if origin != "--ca-bundle":
        monkeypatch.setenv(origin, str(other.bundle))
    settings = {"ca_bundle": str(other.bundle)} if origin == "--ca-bundle" else {}
    with (
        ScriptedServer(ok, tls=authority.context("127.0.0.1")) as server,
        pytest.raises(NetworkError, match=re.escape(f"those of {other.bundle} ({origin})")),
    ):
        send(open_transport(**settings), server.endpoint)


def test_a_certificate_of_another_host_is_rejected(open_transport: Open, authority: Authority) -> None:
    with (
        ScriptedServer(ok, tls=authority.context("other.example")) as server,
        pytest.raises(NetworkError) as caught,
    ):
        send(open_transport(ca_bundle=str(authority.bundle)), server.endpoint)
    assert caught.value.kind == "certificate"
    assert "trusted" not in caught.value.detail
    assert server.received == []


@pytest.mark.parametrize(("days", "why"), [(3, "certificate has expired"), (-3, "not yet valid")])
def test_a_certificate_outside_its_dates(
    days: int, why: str, open_transport: Open, authority: Authority
) -> None:
    """They are shown, and the time of this computer, unless the certificate has another fault, too."""
    tls = authority.context("127.0.0.1", age=timedelta(days=days))
    with ScriptedServer(ok, tls=tls) as server:
        error = error_of(open_transport(ca_bundle=str(authority.bundle)), server.endpoint)
        other = error_of(
            open_transport(ca_bundle=str(authority.bundle)),
            server.endpoint.replace("127.0.0.1", "a.localhost"),
        )
    assert error.kind == "dates"
    assert re.search(rf"{why}; it is valid from .* GMT to .* GMT, and the clock .* GMT$", error.detail)
    assert "valid from" not in other.detail
    assert server.received == []


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_a_port_without_tls_is_not_a_network_failure(open_transport: Open, greeting: bytes) -> None:
    """Retries would not help."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(greeting)

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(NetworkError) as caught:
            send(open_transport(), f"https://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert (caught.value.kind, caught.value.sent) == ("no-tls", False)


def test_a_port_with_tls_that_closes_the_connection_is_not_a_network_failure(
    open_transport: Open, authority: Authority
) -> None:
    """http:// in place of https://; a server that has responded once, and a server without TLS, are tried again."""
    with ScriptedServer(ok, tls=authority.context("other.example")) as server:
        endpoint = server.endpoint.replace("https:", "http:")
        with pytest.raises(NetworkError) as caught:
            send(open_transport(), endpoint)
        transport = open_transport(verify_tls=False)
        send(transport, server.endpoint)
        with pytest.raises(NetworkError) as later:
            send(transport, endpoint)
    assert (caught.value.kind, caught.value.sent, later.value.kind) == ("needs-tls", False, "reset")
    with ScriptedServer(lambda _: Reply([], close=True)) as server, pytest.raises(NetworkError) as caught:
        send(open_transport(connect_timeout_s=0.5), server.endpoint)
    assert caught.value.kind == "reset"


def speaks_first(banner: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(banner)
            connection.recv(4096)

    return serve


ssh_server = speaks_first(b"SSH-2.0-OpenSSH_9.2\r\n")


def socks_server(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        if connection.recv(1) == b"\x05":
            connection.sendall(b"\x05\xff")


@pytest.mark.parametrize(
    ("server", "used"),
    [
        (ssh_server, "SSH"),
        (socks_server, "SOCKS"),
        (speaks_first(b"220 mail.example ESMTP\r\n"), "SMTP or FTP"),
        (speaks_first(b"+OK ready\r\n"), "POP3"),
        (speaks_first(b"* OK IMAP4rev1\r\n"), "IMAP"),
        (speaks_first(b"RFB 003.008\n"), "VNC"),
    ],
)
def test_an_endpoint_that_is_another_server(
    server: Callable[[socket.socket], None], used: str, open_transport: Open
) -> None:
    """Every error names it, until a server has responded once."""
    listener = Listener(server)
    listener.start()
    transport = open_transport()
    with ScriptedServer(ok) as store:
        send(transport, store.endpoint)
    unused = open_transport()
    found = [error_of(one, f"http://{listener.address}") for one in (unused, unused, transport)]
    listener.stop()
    assert [one.kind for one in found] == ["protocol", "protocol", "reset"]
    assert found[0].detail == f"the server does not use HTTP, but {used}"


def test_an_endpoint_with_https_that_is_another_server(open_transport: Open) -> None:
    """To write http:// would not help."""
    listener = Listener(ssh_server)
    listener.start()
    error = error_of(open_transport(), f"https://{listener.address}")
    listener.stop()
    assert (error.kind, error.detail) == ("protocol", "the server does not use TLS, but SSH")


@pytest.mark.parametrize("store", ["http://store.invalid", "https://store.invalid"])
@pytest.mark.parametrize(
    ("server", "used"),
    [(ssh_server, ", but SSH"), (socks_server, ", but SOCKS"), (speaks_first(b"welcome\r\n"), "")],
)
def test_a_proxy_that_does_not_use_http(
    server: Callable[[socket.socket], None],
    used: str,
    store: str,
    open_transport: Open,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would be retried as a network failure; the message names the variable, and the protocol if it shows."""
    listener = Listener(server)
    listener.start()
    monkeypatch.setenv("ALL_PROXY", listener.address)
    with pytest.raises(NetworkError) as caught:
        send(open_transport(), store)
    listener.stop()
    assert caught.value.kind == "proxy-protocol"
    assert caught.value.detail == f"the proxy does not use HTTP{used} (ALL_PROXY names it)"


@pytest.mark.parametrize("answer", [Reply([], close=True), error(400, "PlainHTTP")])
def test_a_proxy_that_expects_tls(answer: Reply, open_transport: Open, authority: Authority) -> None:
    """Some servers answer to HTTP on such a port, others close the connection; a web server is not a fault of TLS."""
    with (
        ScriptedServer(ok, tls=authority.context("other.example")) as secure,
        ScriptedServer(lambda _: answer) as plain,
    ):
        for scheme in ("http", "https"):
            with pytest.raises(NetworkError, match="does not use HTTP, but TLS") as caught:
                send(
                    open_transport(proxy=secure.endpoint.replace("https:", "http:")),
                    f"{scheme}://store.invalid",
                )
            assert caught.value.kind == "proxy-protocol"
        if answer.close:
            with pytest.raises(NetworkError) as caught:
                send(open_transport(proxy=plain.endpoint, connect_timeout_s=0.3), "http://store.invalid")
            assert caught.value.kind == "reset"
        else:
            transport = open_transport(proxy=plain.endpoint, connect_timeout_s=0.3)
            assert send(transport, "http://store.invalid").status == 400


def test_a_proxy_that_breaks_once_after_it_has_worked(open_transport: Open, authority: Authority) -> None:
    """What it replies to the second CONNECT is no HTTP: that is a failure of the network, which is tried again."""
    with ScriptedServer(ok, tunnel_tls=authority.context("store.example")) as proxy:
        transport = open_transport(proxy=proxy.endpoint, ca_bundle=str(authority.bundle))
        send(transport, "https://store.example")
    with socket.create_server(("127.0.0.1", proxy.port)) as listener:

        def reply() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"broken\r\n\r\n")

        thread = threading.Thread(target=reply)
        thread.start()
        with pytest.raises(NetworkError) as caught:
            send(transport, "https://store.example")
        thread.join()
    assert caught.value.kind == "proxy"


@pytest.mark.parametrize("store", ["http://store.invalid", "https://store.invalid"])
def test_a_proxy_whose_first_reply_is_broken(store: str, open_transport: Open) -> None:
    """It answers to HTTP otherwise: that is a failure of the network, which is tried again."""
    answers = [b"broken\r\n\r\n"]

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(answers.pop() if answers else b"HTTP/1.0 400 No\r\n\r\n")

    listener = Listener(serve)
    listener.start()
    error = error_of(open_transport(proxy=f"http://{listener.address}"), store)
    listener.stop()
    assert (error.kind, error.sent) == ("proxy", store.startswith("http:"))


def test_a_proxy_that_uses_http_and_socks_on_one_port(open_transport: Open) -> None:
    """A response that rejects the first request is that of the store."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        is_socks = connection.recv(65536).startswith(b"\x05")
                        connection.sendall(b"\x05\x00" if is_socks else b"HTTP/1.1 400 No\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert send(open_transport(proxy=proxy), "http://store.invalid").status == 400
        listener.shutdown(socket.SHUT_RDWR)


def test_a_proxy_in_a_url_of_socks_that_uses_http() -> None:
    """It may close the connection, or wait for the rest of a request; nothing answers if it is down."""
    unanswered = NetworkError("proxy", "no connection", sent=False)
    with ScriptedServer(ok) as server:
        proxy = server.endpoint.replace("http:", "socks5h:")
        found = check_protocol_of_proxy(proxy, unanswered, 0.3)
        assert check_protocol_of_proxy(server.endpoint, unanswered, 0.3) is unanswered
    assert found.detail == "the proxy does not use SOCKS, but HTTP (--proxy names it)"
    assert check_protocol_of_proxy(proxy, unanswered, 0.3) is unanswered


def test_a_key_that_a_later_response_repeats_is_masked(open_transport: Open) -> None:
    """Also in the response to a request that does not carry it."""
    key = "c2VjcmV0IGtleSBvZiB0aGUgY3VzdG9tZXI="

    def repeat(_request: ReceivedRequest) -> Reply:
        return response(200, key, {"x-amz-request-id": key})

    with ScriptedServer(repeat) as server:
        transport, address = open_transport(), locate(server.endpoint, "bucket", "key", "path")
        headers = {"x-amz-server-side-encryption-customer-key": key}
        transport.exchange("PUT", address, (), headers=headers, body=b"", sign=None)
        for number in range(10):  # keys that are renewed
            token = {"x-amz-security-token": f"the session token {number}"}
            transport.exchange("PUT", address, (), headers=token, body=b"", sign=None)
        later = send(transport, server.endpoint)
    assert (later.body, later.headers["x-amz-request-id"]) == (b"***", "***")


def test_the_token_in_the_metadata_of_an_object_is_not_masked_later(open_transport: Open) -> None:
    """It shows whose upload made the object: HeadObject must return it."""
    token = {"x-amz-meta-obsup-token": "0123456789abcdef" * 2}
    with ScriptedServer(lambda _: response(200, "", token)) as server:
        transport, address = open_transport(), locate(server.endpoint, "bucket", "key", "path")
        transport.exchange("POST", address, (), headers=token, body=b"", sign=None)
        later = send(transport, server.endpoint)
    assert later.headers["x-amz-meta-obsup-token"] == token["x-amz-meta-obsup-token"]


def test_a_private_authority_is_trusted(open_transport: Open, authority: Authority) -> None:
    """With --ca-bundle."""
    with ScriptedServer(ok, tls=authority.context("bucket.localhost")) as server:
        transport = open_transport(ca_bundle=str(authority.bundle))
        got = send(transport, f"https://localhost:{server.port}", addressing="virtual")
    assert got.status == 200


def test_trusted_certificates_are_read_once_for_all_connections(
    open_transport: Open, authority: Authority, tmp_path: Path
) -> None:
    """Those of a system take 20 ms of CPU time. A certificate of another host is rejected on any connection."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.bundle.read_bytes())
    transport = open_transport(ca_bundle=str(bundle))
    with (
        ScriptedServer(
            lambda _: response(200, "fine", {"Connection": "close"}), tls=authority.context("127.0.0.1")
        ) as one,
        ScriptedServer(ok, tls=authority.context("other.example")) as other,
    ):
        assert send(transport, one.endpoint).status == 200
        bundle.write_text("")
        assert send(transport, one.endpoint).status == 200
        with pytest.raises(NetworkError) as caught:
            send(transport, other.endpoint)
        assert one.connections == 2
    assert caught.value.kind == "certificate"


def test_an_authority_of_the_environment_is_trusted(
    open_transport: Open, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
    with ScriptedServer(ok, tls=authority.context("127.0.0.1")) as server:
        assert send(open_transport(), server.endpoint).status == 200


def test_tls_without_verification_must_be_requested(open_transport: Open, authority: Authority) -> None:
    """With --no-verify-tls; the library does not warn on every request."""
    with ScriptedServer(ok, tls=authority.context("other.example")) as server:
        assert send(open_transport(verify_tls=False), server.endpoint).status == 200

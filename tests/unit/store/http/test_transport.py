"""The line: what leaves the socket, and what is made of what comes back."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from obsup.dialects.addressing import locate
from obsup.dialects.dialect import Addressing
from obsup.errors import NetworkError
from obsup.local.source.file import PartBody
from obsup.model import Part
from obsup.store.http.body import Body
from obsup.store.http.settings import ConnectionSettings, Response
from obsup.store.http.transport import MAX_RESPONSE_BYTES, Transport
from tests.doubles.certificates import Authority
from tests.doubles.scripted_server import ReceivedRequest, Reply, ScriptedServer, error, response
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


@pytest.mark.parametrize(("key", "target"), KEYS)
def test_key_goes_out_byte_for_byte(open_transport: Open, key: str, target: str) -> None:
    """requests and urllib3 would each fold some of these into another object."""
    with ScriptedServer(ok) as server:
        send(open_transport(), server.endpoint, key=key, query=(("uploads", None), ("prefix", "a/b c+d")))
        assert server.last.target == f"{target}?uploads&prefix=a%2Fb%20c%2Bd"


@pytest.mark.parametrize(("key", "target"), KEYS)
def test_key_goes_through_a_proxy_byte_for_byte(open_transport: Open, key: str, target: str) -> None:
    """A proxy for plain HTTP gets an absolute target, which urllib3 would normalise."""
    with ScriptedServer(ok) as proxy:
        send(open_transport(proxy=proxy.endpoint), "http://store.example:8080", key=key)
        assert proxy.last.target == f"http://store.example:8080{target}"
        assert proxy.last.header("Host") == "store.example:8080"


def test_no_header_goes_out_but_ours(open_transport: Open) -> None:
    """No Accept, no Connection, no Transfer-Encoding: what is sent is what was signed."""
    with ScriptedServer(ok) as server:
        send(open_transport(), server.endpoint)
        assert [name for name, _ in server.last.headers] == ["Host", "User-Agent", "Accept-Encoding"]


@pytest.mark.parametrize("body", [b"", BytesBody(b"")])
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_empty_body_says_its_length(open_transport: Open, method: str, body: Any) -> None:
    """A file-like body of length 0 would go out chunked, which the stores refuse."""
    with ScriptedServer(ok) as server:
        send(open_transport(), server.endpoint, method, body=body)
        assert server.last.header("Content-Length") == "0"
        assert server.last.header("Transfer-Encoding") is None


def test_part_says_the_length_of_its_window(open_transport: Open, tmp_path: Path) -> None:
    """The body has a file beneath it that is longer than the part."""
    (tmp_path / "source").write_bytes(b"0123456789")
    body = PartBody(tmp_path / "source", Part(2, 3, 4))
    with ScriptedServer(ok) as server:
        send(open_transport(), server.endpoint, "PUT", body=body)
    body.close()
    assert server.last.header("Content-Length") == "4"
    assert server.last.body == b"3456"


def test_bucket_under_localhost_is_here_and_keeps_its_name(open_transport: Open) -> None:
    """Whatever the resolver thinks of *.localhost; also on the second request of a connection."""
    with ScriptedServer(ok) as server:
        transport = open_transport()
        for _ in range(2):
            send(transport, f"http://localhost:{server.port}", addressing="virtual")
        assert [one.header("Host") for one in server.received] == [f"bucket.localhost:{server.port}"] * 2
        assert server.connections == 1


@pytest.fixture(params=["seen", "unseen"])
def large(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Body]:
    """A body that no socket takes at once: out of memory, or sent by the kernel."""
    if request.param == "seen":
        yield BytesBody(bytes(32 * MIB))
        return
    with (tmp_path / "large").open("wb") as file:
        file.truncate(32 * MIB)
    with closing(PartBody(tmp_path / "large", Part(1, 0, 32 * MIB))) as body:
        yield body


def test_refusal_in_the_middle_of_a_body_is_read(open_transport: Open, large: Body) -> None:
    """The store says 403 after the head and closes its socket with most of the body unread."""
    with ScriptedServer(lambda _: response(403, "<Error/>", early=True, close=True)) as server:
        got = send(open_transport(), server.endpoint, "PUT", body=large)
    assert (got.status, got.body) == (403, b"<Error/>")


def test_the_kernel_sends_a_file_that_no_digest_needs(
    open_transport: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over plain HTTP the bytes do not pass through Python."""
    (tmp_path / "source").write_bytes(bytes(MIB))
    body = PartBody(tmp_path / "source", Part(1, 0, MIB))
    monkeypatch.setattr(body, "readinto", lambda _block: pytest.fail("the bytes were read"))
    with closing(body), ScriptedServer(ok) as server:
        monkeypatch.setattr(body, "read", lambda _amount: b"")
        send(open_transport(), server.endpoint, "PUT", body=body)
        assert len(server.last.body) == MIB


def test_unseen_bytes_arrive_with_and_without_tls(
    open_transport: Open, tmp_path: Path, authority: Authority
) -> None:
    """Under TLS they must be seen to be encrypted."""
    content = bytes(range(256)) * 20_000
    (tmp_path / "source").write_bytes(content)
    for tls in (None, authority.context("127.0.0.1")):
        body = PartBody(tmp_path / "source", Part(1, 5, len(content) - 7))
        with ScriptedServer(ok, tls=tls) as server:
            send(open_transport(ca_bundle=str(authority.bundle)), server.endpoint, "PUT", body=body)
        assert server.last.body == content[5:-2]
        body.close()


def test_refusal_over_tls_in_the_middle_of_a_body_is_read(open_transport: Open, authority: Authority) -> None:
    """TLS hides what has come until it is asked for: it is asked for while the socket is full."""
    tls = authority.context("127.0.0.1")
    with ScriptedServer(lambda _: response(403, "<Error/>", early=True), tls=tls) as server:
        transport = open_transport(ca_bundle=str(authority.bundle), stall_timeout_s=600)
        got = send(transport, server.endpoint, "PUT", body=BytesBody(bytes(32 * MIB)))
    assert (got.status, got.body) == (403, b"<Error/>")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("closes", [True, False])
def test_refusal_over_tls_is_heard_while_the_body_still_flows(
    open_transport: Open, authority: Authority, version: ssl.TLSVersion, closes: bool
) -> None:
    """By a store that hangs up, and by one that takes the rest in: never "connection reset", never the whole body."""
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
def test_what_is_no_answer_over_tls_stops_no_body(
    open_transport: Open, authority: Authority, version: ssl.TLSVersion
) -> None:
    """Session tickets, which TLS 1.3 sends when it likes, and ``100 Continue``."""
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


def test_connection_with_half_a_request_on_it_carries_no_other(open_transport: Open, large: Body) -> None:
    """The store answers early and keeps the connection: the rest of the body would pass for the next request.

    The answer is heard while the socket is full, and not when patience with it is at an end.
    """
    replies = iter([response(503, early=True), response(200)])
    with ScriptedServer(lambda _: next(replies)) as server:
        transport = open_transport(stall_timeout_s=600)
        assert send(transport, server.endpoint, "PUT", body=large).status == 503
        assert send(transport, server.endpoint).status == 200
        assert [one.connection for one in server.received if one.method == "GET"] == [2]


def test_connection_is_used_again(open_transport: Open) -> None:
    with ScriptedServer(ok) as server:
        transport = open_transport()
        for _ in range(3):
            send(transport, server.endpoint, "PUT", body=b"x")
        assert server.connections == 1


def test_idle_connection_that_the_store_closed_is_replaced(open_transport: Open) -> None:
    """Stores close idle connections after 5 s; nothing is lost by it, and nothing is retried."""
    with ScriptedServer(lambda _: response(200, close=True)) as server:
        transport = open_transport()
        for _ in range(3):
            assert send(transport, server.endpoint, "PUT", body=b"x").status == 200
            server.wait_until_closed()
        assert server.connections == 3


def test_informational_answer_does_not_stop_the_body(open_transport: Open) -> None:
    """Some servers say 100 Continue without having been asked to."""
    whole = response(200)
    reply = Reply(whole.pieces, interim=b"HTTP/1.1 100 Continue\r\n\r\n")
    with ScriptedServer(lambda _: reply) as server:
        send(open_transport(), server.endpoint, "PUT", body=BytesBody(bytes(32 * MIB)))
        assert len(server.last.body) == 32 * MIB


def test_chunked_answer_is_read(open_transport: Open) -> None:
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
def test_broken_answer_is_a_broken_line(open_transport: Open, pieces: list[bytes]) -> None:
    """Half an answer is none: the request may have been carried out."""
    with ScriptedServer(lambda _: Reply(pieces, close=True)) as server, pytest.raises(NetworkError) as caught:
        send(open_transport(), server.endpoint, "POST", body=b"x")
    assert caught.value.kind in ("incomplete", "reset")
    assert caught.value.sent


def test_broken_request_is_a_broken_line(open_transport: Open) -> None:
    with (
        ScriptedServer(lambda _: Reply([], early=True, reset=True)) as server,
        pytest.raises(NetworkError) as caught,
    ):
        send(open_transport(), server.endpoint, "PUT", body=BytesBody(bytes(8 * MIB)))
    assert (caught.value.kind, caught.value.sent) == ("reset", True)


def test_endless_answer_is_cut(open_transport: Open) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {10 * MAX_RESPONSE_BYTES}\r\n\r\n".encode()
    with (
        ScriptedServer(lambda _: Reply((head, *[bytes(MIB)] * 20))) as server,
        pytest.raises(NetworkError, match="more than"),
    ):
        send(open_transport(), server.endpoint)


def test_answer_in_drops_is_cut(open_transport: Open) -> None:
    """Each drop comes in time; together they would never end."""
    pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *[b" "] * 1000]
    with (
        ScriptedServer(lambda _: Reply(pieces, pause_s=0.01)) as server,
        pytest.raises(NetworkError, match="too slowly"),
    ):
        send(open_transport(response_limit_s=0.1), server.endpoint)


def test_packed_answer_is_not_unpacked(open_transport: Open) -> None:
    """It was not asked for, and may be a bomb."""
    with ScriptedServer(lambda _: response(200, b"\x1f\x8bwhatever", {"Content-Encoding": "gzip"})) as server:
        assert send(open_transport(), server.endpoint).body == b"\x1f\x8bwhatever"


def test_silent_store_is_a_stall(open_transport: Open) -> None:
    with (
        ScriptedServer(lambda _: Reply([b""], pause_s=0.5)) as server,
        pytest.raises(NetworkError) as caught,
    ):
        send(open_transport(stall_timeout_s=0.05), server.endpoint)
    assert (caught.value.kind, caught.value.sent) == ("stall", True)


def test_store_that_takes_nothing_is_a_stall(open_transport: Open) -> None:
    """Not one byte moves for the whole of the stall timeout."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        transport = open_transport(stall_timeout_s=0.2)
        with pytest.raises(NetworkError) as caught:
            send(transport, endpoint, "PUT", body=BytesBody(bytes(64 * MIB)))
    assert caught.value.kind == "stall"


def test_error_of_the_body_passes_unchanged(open_transport: Open) -> None:
    """A disk that fails is not a line that fails."""
    body = BytesBody(bytes(4 * MIB), fails_after=MIB, failure=RuntimeError("the disk"))
    with ScriptedServer(ok) as server, pytest.raises(RuntimeError, match="the disk"):
        send(open_transport(), server.endpoint, "PUT", body=body)


def test_redirect_is_not_followed_here(open_transport: Open) -> None:
    """It would go out with the old signature."""
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
    """It would replace the signature by somebody's password."""
    (home / ".netrc").write_text("machine 127.0.0.1 login somebody password hunter2\n")
    with ScriptedServer(ok) as server:
        send(open_transport(), server.endpoint)
        assert server.last.header("Authorization") is None


def test_nobody_listening_is_refused(open_transport: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(NetworkError) as caught:
        send(open_transport(), f"http://127.0.0.1:{port}")
    assert (caught.value.kind, caught.value.sent) == ("refused", False)


def test_proxy_of_the_environment_is_used(open_transport: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(ok) as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:pa%20ss@127.0.0.1:{proxy.port}")
        send(open_transport(), "http://store.example")
        assert proxy.last.target == "http://store.example/bucket/key"
        given = proxy.last.header("Proxy-Authorization") or ""
        assert base64.b64decode(given.removeprefix("Basic ")) == b"user:pa ss"


def test_proxy_of_the_environment_is_not_asked_for_this_machine(
    open_transport: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would look on its own loopback; ``obsup sandbox`` must work behind a company's proxy."""
    with ScriptedServer(ok) as proxy, ScriptedServer(ok) as server:
        monkeypatch.setenv("http_proxy", proxy.endpoint)
        send(open_transport(), server.endpoint)
        send(open_transport(), f"http://localhost:{server.port}", addressing="virtual")
        assert (len(proxy.received), len(server.received)) == (0, 2)


def test_named_proxy_is_used_for_any_host(open_transport: Open) -> None:
    with ScriptedServer(ok) as proxy:
        send(open_transport(proxy=proxy.endpoint), "http://127.0.0.1:1")
        assert proxy.last.target == "http://127.0.0.1:1/bucket/key"


def test_https_goes_through_a_tunnel(open_transport: Open, authority: Authority) -> None:
    """The proxy learns the host and its own password, and nothing of the request."""
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


@pytest.mark.parametrize("status", [403, 407])
def test_proxy_that_says_no_is_not_asked_again(open_transport: Open, status: int) -> None:
    with (
        ScriptedServer(ok, tunnel=response(status, close=True)) as proxy,
        pytest.raises(NetworkError) as caught,
    ):
        send(open_transport(proxy=proxy.endpoint), "https://store.example")
    assert (caught.value.kind, caught.value.sent) == ("tunnel", False)
    assert str(status) in caught.value.detail


def test_proxy_that_fails_is_asked_again(open_transport: Open) -> None:
    with ScriptedServer(ok, tunnel=response(502, close=True)) as proxy, pytest.raises(NetworkError) as caught:
        send(open_transport(proxy=proxy.endpoint), "https://store.example")
    assert caught.value.kind == "proxy"


def test_certificate_of_an_unknown_authority_is_refused(open_transport: Open, authority: Authority) -> None:
    """By default; and nothing was sent."""
    with (
        ScriptedServer(ok, tls=authority.context("127.0.0.1")) as server,
        pytest.raises(NetworkError) as caught,
    ):
        send(open_transport(), server.endpoint)
    assert (caught.value.kind, caught.value.sent) == ("certificate", False)
    assert server.received == []


def test_certificate_of_another_host_is_refused(open_transport: Open, authority: Authority) -> None:
    with (
        ScriptedServer(ok, tls=authority.context("other.example")) as server,
        pytest.raises(NetworkError) as caught,
    ):
        send(open_transport(ca_bundle=str(authority.bundle)), server.endpoint)
    assert caught.value.kind == "certificate"
    assert server.received == []


@pytest.mark.parametrize("speaks", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_a_port_that_speaks_no_tls_is_told_from_a_line_that_broke(
    open_transport: Open, speaks: bytes
) -> None:
    """Patience does not teach it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(speaks)

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(NetworkError) as caught:
            send(open_transport(), f"https://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert (caught.value.kind, caught.value.sent) == ("no-tls", False)


def test_authority_of_ones_own_is_trusted(open_transport: Open, authority: Authority) -> None:
    """By --ca-bundle."""
    with ScriptedServer(ok, tls=authority.context("bucket.localhost")) as server:
        transport = open_transport(ca_bundle=str(authority.bundle))
        got = send(transport, f"https://localhost:{server.port}", addressing="virtual")
    assert got.status == 200


def test_authority_of_the_environment_is_trusted(
    open_transport: Open, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
    with ScriptedServer(ok, tls=authority.context("127.0.0.1")) as server:
        assert send(open_transport(), server.endpoint).status == 200


def test_unverified_tls_needs_to_be_asked_for(open_transport: Open, authority: Authority) -> None:
    """By --no-verify-tls; without a warning of the library's on every request."""
    with ScriptedServer(ok, tls=authority.context("other.example")) as server:
        assert send(open_transport(verify_tls=False), server.endpoint).status == 200

"""Connections to a host with several addresses, some of which drop packets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from msgspec.structs import replace

from obsup.dialects.addressing import locate
from obsup.errors import BadConfiguration, NetworkError
from obsup.store.http.probe import check_tls, measure_connect_s, resolve
from obsup.store.http.settings import ConnectionSettings
from obsup.store.http.transport import Transport
from tests.doubles.scripted_server import ScriptedServer, response

LONG_S = 60.0
SetAddresses = Callable[..., None]


@pytest.fixture
def set_addresses(monkeypatch: pytest.MonkeyPatch) -> SetAddresses:
    """Let the resolver return these addresses for store.test."""
    resolve = socket.getaddrinfo

    def run(*addresses: tuple[str, int]) -> None:
        def getaddrinfo(host: Any, *args: Any, **more: Any) -> Any:
            if host not in ("store.test", b"store.test"):
                return resolve(host, *args, **more)
            return [
                (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address) for address in addresses
            ]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return run


@pytest.fixture
def dropping_port() -> Iterator[int]:
    """A port where the kernel drops packets because the queue is full."""
    with socket.socket() as server, ExitStack() as waiting:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@pytest.fixture
def mute_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A resolver that waits for name servers which do not answer; addresses need none."""
    resolve, ended = socket.getaddrinfo, threading.Event()

    def getaddrinfo(host: Any, *args: Any, **more: Any) -> Any:
        if host == b"store.test" and not more.get("flags", 0) & socket.AI_NUMERICHOST:
            ended.wait(LONG_S)
        return resolve(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield
    ended.set()


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A port where nothing listens: it is bound, so that no other program gets it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def request(url: str, settings: ConnectionSettings) -> bytes:
    """Send a request to *url* and return the body of its response."""
    with closing(Transport(settings)) as transport:
        address = locate(url, "bucket", "key", "path")
        return transport.exchange("GET", address, (), headers={}, body=b"", sign=None).body


def request_through_proxy(url: str, settings: ConnectionSettings) -> bytes:
    """The same with *url* as the proxy."""
    with closing(Transport(replace(settings, proxy=url))) as transport:
        address = locate("http://other.test", "bucket", "key", "path")
        return transport.exchange("GET", address, (), headers={}, body=b"", sign=None).body


WAYS = [
    request,
    request_through_proxy,
    lambda url, settings: measure_connect_s(url, settings.connect_timeout_s),
    check_tls,
]
NAMES = ["request", "proxy", "connect", "TLS"]


@pytest.mark.parametrize("way", WAYS[:3], ids=NAMES[:3])
def test_an_address_that_drops_packets_does_not_delay_the_next(
    set_addresses: SetAddresses, dropping_port: int, refusing_port: int, way: Callable[..., object]
) -> None:
    """Nor does one that refuses."""
    with ScriptedServer(lambda _: response(200, "fine")) as server:
        port = int(server.endpoint.rpartition(":")[2])
        set_addresses(
            ("127.0.0.1", dropping_port),
            ("127.0.0.1", refusing_port),
            ("127.0.0.1", dropping_port),
            ("127.0.0.1", port),
        )
        began_s = time.monotonic()
        assert way("http://store.test:9", ConnectionSettings(connect_timeout_s=LONG_S))
    assert time.monotonic() - began_s < LONG_S / 2


@pytest.mark.parametrize("way", WAYS, ids=NAMES)
def test_all_addresses_share_the_connect_timeout(
    set_addresses: SetAddresses, dropping_port: int, way: Callable[..., object]
) -> None:
    count, timeout_s = 40, 0.5
    set_addresses(*[("127.0.0.1", dropping_port)] * count)
    began_s = time.monotonic()
    with pytest.raises(NetworkError, match=r"no connection to store\.test:9 within --connect-timeout"):
        way("http://store.test:9", ConnectionSettings(connect_timeout_s=timeout_s))
    assert time.monotonic() - began_s < count * timeout_s / 2


@pytest.mark.usefixtures("mute_resolver")
@pytest.mark.parametrize(
    "way", [*WAYS, lambda url, line: resolve(url, line.connect_timeout_s)], ids=[*NAMES, "DNS"]
)
def test_the_resolver_shares_the_connect_timeout(way: Callable[..., object]) -> None:
    """It may wait for half a minute, in which no signal would be handled."""
    began_s = time.monotonic()
    with pytest.raises(NetworkError, match=r"the host name store\.test could not be resolved"):
        way("http://store.test:9", ConnectionSettings(connect_timeout_s=0.2))
    assert time.monotonic() - began_s < LONG_S / 2


def test_the_error_of_the_last_address_is_reported(set_addresses: SetAddresses, refusing_port: int) -> None:
    set_addresses(("127.0.0.1", refusing_port), ("127.0.0.1", refusing_port))
    with pytest.raises(NetworkError, match="connection refused"):
        request("http://store.test:9", ConnectionSettings(connect_timeout_s=LONG_S))


def test_a_host_name_that_cannot_be_encoded_is_not_resolved() -> None:
    """Python raises UnicodeError for it, not an error of the resolver; a server may redirect to such a name."""
    with pytest.raises(NetworkError, match="could not be resolved"):
        request(f"http://{'a' * 64}.test:9", ConnectionSettings(connect_timeout_s=LONG_S))
    with pytest.raises(BadConfiguration, match="not the URL of a proxy"):
        request_through_proxy(f"http://{'a' * 64}.test:9", ConnectionSettings())

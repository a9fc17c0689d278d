"""Proxies that are reached over TLS (https://), for stores with and without TLS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.certificates import Authority
from tests.doubles.tls_proxy import TlsProxy
from tests.support.shell import Shell


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Signs the certificates of the proxy and of the store."""
    (tmp_path / "authority").mkdir()
    return Authority(tmp_path / "authority")


@pytest.fixture(params=["http", "https"])
def store(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Sandbox]:
    """A store without and with TLS."""
    with Sandbox(tls=authority.files("127.0.0.1") if request.param == "https" else None) as running:
        yield running


@pytest.mark.parametrize("arguments", [(), ("--parts", "3")], ids=["one request", "parts"])
def test_an_upload_through_a_proxy_with_tls(
    store: Sandbox,
    authority: Authority,
    tmp_path: Path,
    make_file: Callable[..., Path],
    arguments: tuple[str, ...],
) -> None:
    """All requests go through the proxy; to a store with TLS, in tunnels."""
    source = make_file(500_000)
    shell = Shell.against(store, tmp_path)
    with TlsProxy(*authority.files("127.0.0.1")) as proxy:
        outcome = shell.run(
            "upload",
            "bigfile",
            "bucket/key",
            *arguments,
            "--retry-for",
            "5s",
            OBSUP_PROXY=proxy.url,
            OBSUP_CA_BUNDLE=str(authority.bundle),
        )
        methods = proxy.methods
    assert outcome.code == 0, outcome.err
    assert store.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert methods
    assert ("CONNECT" in methods) == store.endpoint.startswith("https")


def test_the_certificate_of_the_proxy_is_verified(
    store: Sandbox, authority: Authority, tmp_path: Path, make_file: Callable[..., Path]
) -> None:
    """Also for a store without TLS: the password of the proxy would go to anyone. Nothing is sent."""
    make_file(1000)
    (tmp_path / "other").mkdir()
    shell = Shell.against(store, tmp_path)
    with TlsProxy(*Authority(tmp_path / "other").files("127.0.0.1")) as proxy:
        variables = {"OBSUP_PROXY": proxy.url, "OBSUP_CA_BUNDLE": str(authority.bundle)}
        outcome = shell.run("upload", "bigfile", "bucket/key", **variables)
    assert outcome.code == 78, outcome.err
    assert (proxy.methods, store.requests) == ([], [])

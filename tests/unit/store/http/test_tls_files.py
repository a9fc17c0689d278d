"""Which certificates are trusted without --ca-bundle."""

from __future__ import annotations

import ssl
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import certifi
import pytest

from obsup.errors import NetworkError
from obsup.model import Credentials
from obsup.sandbox.sandbox import Sandbox
from obsup.store.http import tls_files
from obsup.store.http.probe import check_tls
from obsup.store.http.settings import ConnectionSettings
from obsup.store.http.tls_files import CA_VARIABLES, TrustStore, find_ca_bundle, find_trust, tls_context
from obsup.units import MIB
from tests.doubles.certificates import Authority
from tests.support.stores import bytes_body, open_store, target


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system without certificates where OpenSSL looks for them."""
    (tmp_path / "certs").mkdir()
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "certs"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    monkeypatch.setattr(tls_files, "SYSTEM_FILES", (str(tmp_path / "bundle"),))
    return tmp_path


def test_an_interpreter_that_was_built_elsewhere_finds_the_file_of_the_system(system: Path) -> None:
    """If its own paths have no certificate; without any file, certifi's are trusted."""
    folder = str(system / "certs")
    assert find_trust(ConnectionSettings(), {}) == TrustStore(certifi.where(), folder)
    (system / "bundle").touch()
    assert find_trust(ConnectionSettings(), {}) == TrustStore(str(system / "bundle"), folder)
    (system / "certs" / "a1b2c3d4.0").touch()
    assert find_trust(ConnectionSettings(), {}) == TrustStore(certifi.where(), folder)


def test_the_order_of_what_names_the_certificates() -> None:
    """The option, then the variables as documented."""
    environ = {name: f"/{name}" for name in CA_VARIABLES}
    assert find_ca_bundle(ConnectionSettings(ca_bundle="/given"), environ) == ("/given", "--ca-bundle")
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        assert find_ca_bundle(ConnectionSettings(), environ) == (f"/{name}", name)
        del environ[name]
    assert find_ca_bundle(ConnectionSettings(), environ) is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("oldest", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_3])
def test_no_version_before_tls_1_2(monkeypatch: pytest.MonkeyPatch, oldest: ssl.TLSVersion) -> None:
    """Even if the Python of a system takes an older one from the configuration of OpenSSL; a newer one stays."""

    def make_context(protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = oldest
        return context

    changed = {**vars(ssl), "SSLContext": make_context}
    monkeypatch.setattr(tls_files, "ssl", SimpleNamespace(**changed))
    context = tls_context(ConnectionSettings(verify_tls=False), {})
    assert context.minimum_version == max(oldest, ssl.TLSVersion.TLSv1_2)


class SystemSocket(ssl.SSLSocket):
    """The package truststore, too, has its own class."""


class TrustedBySystem(ssl.SSLContext):
    """The context of the package truststore on a system that trusts the certificates in ``bundle``."""

    sslsocket_class = SystemSocket

    bundle: Path

    def __init__(self, _protocol: int) -> None:
        self.load_verify_locations(self.bundle)


@pytest.mark.parametrize("named", ["", "--ca-bundle", "AWS_CA_BUNDLE"])
def test_other_systems_than_linux_verify_by_their_own_trust_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """Requests, and the connection of doctor: the store of the system decides unless certificates are named."""
    for name in ("system", "other"):
        (tmp_path / name).mkdir()
    system, other = Authority(tmp_path / "system"), Authority(tmp_path / "other")
    monkeypatch.setattr(TrustedBySystem, "bundle", system.bundle, raising=False)
    monkeypatch.setitem(sys.modules, "truststore", SimpleNamespace(SSLContext=TrustedBySystem))
    monkeypatch.setattr(tls_files, "sys", SimpleNamespace(platform="darwin"))
    if named == "AWS_CA_BUNDLE":
        monkeypatch.setenv(named, str(other.bundle))
    settings = ConnectionSettings(ca_bundle=str(other.bundle) if named == "--ca-bundle" else None)
    for authority in (system, other):
        is_trusted = (authority is system) == (not named)
        expected = nullcontext() if is_trusted else pytest.raises(NetworkError, match="certificate")
        with Sandbox(tls=authority.files("127.0.0.1")) as server:
            keys = Credentials(server.access_key, server.secret_key)
            with open_store("s3-v4", server.endpoint, keys=keys, line=settings) as store, expected:
                assert store.put_object(target(server.endpoint), bytes_body(bytes(MIB)), {}).etag
            with expected:
                check_tls(server.endpoint, settings)

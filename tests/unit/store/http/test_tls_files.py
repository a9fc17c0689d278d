"""Which certificates are trusted without --ca-bundle."""

from __future__ import annotations

from pathlib import Path

import certifi
import pytest

from obsup.store.http import tls_files
from obsup.store.http.settings import ConnectionSettings
from obsup.store.http.tls_files import CA_VARIABLES, TrustStore, find_ca_bundle, find_trust


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

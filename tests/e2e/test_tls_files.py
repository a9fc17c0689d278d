"""Certificate files: a client certificate, and files that cannot be used, which are found before any request."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.certificates import Authority
from tests.doubles.scripted_server import ScriptedServer, response
from tests.support.shell import Outcome, Shell

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Signs the certificates of the server and of the client."""
    (tmp_path / "authority").mkdir()
    return Authority(tmp_path / "authority")


@pytest.fixture
def secure(authority: Authority) -> Iterator[Sandbox]:
    """A store that accepts only clients with a certificate."""
    with Sandbox(tls=(*authority.files("127.0.0.1"), authority.bundle)) as running:
        yield running


@pytest.fixture
def secure_shell(secure: Sandbox, authority: Authority, shell: Shell) -> Shell:
    """Runs commands against that store."""
    secure_shell = Shell.against(secure, shell.folder)
    return Shell(shell.folder, {**secure_shell.environment, "OBSUP_CA_BUNDLE": str(authority.bundle)})


def assert_configuration_error(outcome: Outcome, *texts: str) -> None:
    """Assert exit 78 and that the message contains the *texts*."""
    assert outcome.code == 78, outcome.err
    assert all(text in outcome.err for text in texts), outcome.err


@pytest.mark.parametrize("is_one_file", [True, False])
def test_upload_with_a_client_certificate(
    is_one_file: bool, secure: Sandbox, secure_shell: Shell, authority: Authority, make_file: MakeFile
) -> None:
    """Certificate and key in one file or in two; each command of an upload, and doctor, show it."""
    source = make_file(1_000_000)
    certificate, key = authority.files("client")
    options = ["--client-cert", str(certificate), "--client-key", str(key)]
    if is_one_file:
        certificate.write_bytes(certificate.read_bytes() + key.read_bytes())
        options = options[:2]
    outcome = secure_shell.run("upload", "bigfile", "bucket/key", "--parts", "3", *options)
    assert outcome.code == 0, outcome.err
    assert secure.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert secure_shell.run("verify", "bigfile", "bucket/key", *options).code == 0
    assert secure_shell.run("doctor", "bucket", *options).code == 0


def test_without_a_client_certificate(secure: Sandbox, secure_shell: Shell, make_file: MakeFile) -> None:
    """The server's rejection is not a bad network: it is not retried."""
    make_file(1_000_000)
    outcome = secure_shell.run("upload", "bigfile", "bucket/key", "--parts", "3")
    assert_configuration_error(outcome, "certificate required", "--client-cert")
    assert secure.requests == []


def test_a_server_with_another_version_of_tls(
    shell: Shell, authority: Authority, make_file: MakeFile
) -> None:
    """A server that accepts only TLS 1.3, and a client that is limited to 1.2 by the configuration of OpenSSL."""
    make_file(1000)
    config = shell.folder / "openssl.cnf"
    config.write_text(
        "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nMaxProtocol = TLSv1.2\n"
    )
    context = authority.context("127.0.0.1")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with ScriptedServer(lambda _request: response(500), tls=context) as server:
        outcome = shell.run(
            *("upload", "bigfile", "bucket/key", "--endpoint", server.endpoint, "--provider", "s3"),
            *("--ca-bundle", authority.bundle),
            OPENSSL_CONF=str(config),
        )
    assert_configuration_error(outcome, "protocol version")


@pytest.mark.parametrize("option", ["--ca-bundle", "--client-cert"])
@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read"), (b"", "cannot be used"), (b"not PEM\n", "cannot be used")],
    ids=["missing", "empty", "not PEM"],
)
def test_a_file_that_cannot_be_used(
    option: str, content: bytes | None, message: str, shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Option and file are named, before any request, with an http endpoint, too."""
    make_file(1000)
    if content is not None:
        (shell.folder / "file.pem").write_bytes(content)
    for command in (
        ("upload", "bigfile", "bucket/key"),
        ("uploads", "bucket"),
        ("verify", "bigfile", "bucket/key"),
    ):
        assert_configuration_error(shell.run(*command, option, "file.pem"), message, "file.pem", option)
    assert sandbox.requests == []


@pytest.mark.parametrize(
    "variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]
)
def test_a_variable_that_names_no_file(
    variable: str, shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """The message names the variable."""
    make_file(1000)
    outcome = shell.run("upload", "bigfile", "bucket/key", **{variable: "/nowhere/ca.pem"})
    assert_configuration_error(outcome, "/nowhere/ca.pem", variable)


def test_a_key_that_is_encrypted_or_of_another_certificate(
    shell: Shell, sandbox: Sandbox, authority: Authority, make_file: MakeFile
) -> None:
    """OpenSSL does not ask for the passphrase; a key alone is a wrong command line."""
    make_file(1000)
    certificate, key = authority.files("client")
    _, other = authority.files("client")
    locked = shell.folder / "locked.key"
    private_key = serialization.load_pem_private_key(key.read_bytes(), None)
    locked.write_bytes(
        private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    for wrong in (locked, other):
        outcome = shell.run(
            "upload", "bigfile", "bucket/key", "--client-cert", certificate, "--client-key", wrong
        )
        assert_configuration_error(outcome, f"{wrong} cannot be used", "--client-key", "without a passphrase")
    outcome = shell.run("upload", "bigfile", "bucket/key", "--client-cert", certificate)
    assert_configuration_error(
        outcome, f"{certificate} cannot be used", "no private key", "--client-key names the file of the key"
    )
    outcome = shell.run("upload", "bigfile", "bucket/key", "--client-cert", key, "--client-key", certificate)
    assert_configuration_error(outcome, f"{key} cannot be used", "no certificate")
    assert shell.run("upload", "bigfile", "bucket/key", "--client-key", key).code == 2

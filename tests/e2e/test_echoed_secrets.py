"""A store or proxy that repeats the request in its responses: no secret of the request is shown, logged or written."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.echoing_store import FORMS, EchoingStore
from tests.doubles.scripted_server import ScriptedServer
from tests.support.secret_search import CUSTOMER_KEY, OUTPUT_OPTIONS, PROXY_PASSWORD, UPLOAD, Machine

pytestmark = pytest.mark.slow

AUTHORIZATION = "obsup-authorization-of-a-gateway"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine with temporary credentials and a customer key."""
    with Sandbox() as unused:
        machine = Machine(tmp_path, unused)
        (tmp_path / "vault" / "key").write_bytes(CUSTOMER_KEY)
        (tmp_path / "vault" / "key").chmod(0o600)
        yield machine


def upload(machine: Machine, server: ScriptedServer, *arguments: str, **variables: str) -> int:
    """Upload the file, and search the output and all files for the secrets of the requests."""
    keys = machine.keys | {"SecretAccessKey": "not-sent", "OBSUP_ENDPOINT": server.endpoint, **variables}
    outcome = machine.run(*UPLOAD, *OUTPUT_OPTIONS, *arguments, keys=keys)
    machine.check()
    signatures = [(one.header("Authorization") or "").rpartition(":")[2] for one in server.received]
    signatures = [one.rpartition("Signature=")[2] for one in signatures]
    signed = "\n".join(data.decode(errors="replace") for data in machine.output)
    signed += "\n".join(path.read_text() for path in machine.work.glob("[!b]*"))
    assert all(one not in signed for one in signatures if one)
    assert server.received
    return outcome.code


@pytest.mark.parametrize(
    ("provider", "form"), [("s3", "plain"), ("oss", "plain"), *(("obs", form) for form in FORMS)]
)
def test_a_successful_upload(machine: Machine, provider: str, form: str) -> None:
    """Request ids, version id, location and all other texts are in the output, the log and the receipt."""
    with ScriptedServer(EchoingStore(form)) as server:
        key: tuple[str, ...] = (
            () if provider == "oss" else ("--sse-c-key-file", str(machine.folder / "vault" / "key"))
        )
        key += ("--part-size", "5M") if provider == "s3" else ()
        code = upload(
            machine, server, "--provider", provider, "--region", "r-1", "--addressing", "path", *key
        )
    assert code in (0, 65), machine.output  # 65: the size in the response to HEAD is that of no object
    assert len(server.received) > (0 if provider == "s3" else 3)
    assert form == "base64" or "***" in (machine.work / "log").read_text()


@pytest.mark.parametrize(
    ("status", "form"), [(404, "plain"), (500, "plain"), (301, "plain"), *((403, form) for form in FORMS)]
)
def test_a_rejected_upload(machine: Machine, status: int, form: str) -> None:
    """Error messages are shown, without the secrets."""
    with ScriptedServer(EchoingStore(form, status=status)) as server:
        assert upload(machine, server, "--retry-for", "1s") in (69, 75, 77, 78)
    assert form == "base64" or "***" in b"".join(machine.output).decode()


def test_presigned_urls(machine: Machine) -> None:
    """The signature is in the URL."""
    with ScriptedServer(EchoingStore("plain")) as server:
        upload(machine, server, "--executor", "processes", "--presign", "-j", "2")
    signatures = [one.target.partition("ignature=")[2].partition("&")[0] for one in server.received]
    output = b"".join(machine.output).decode() + (machine.work / "log").read_text()
    assert any(signatures)
    assert all(one not in output for one in signatures if one)


def test_the_password_of_a_proxy(machine: Machine) -> None:
    """The proxy repeats it as it was sent, and decoded."""
    with ScriptedServer(EchoingStore("plain", status=403)) as server:
        proxy = server.endpoint.replace("//", f"//me:{PROXY_PASSWORD}@")
        for name in ("HTTP_PROXY", "OBSUP_PROXY"):
            variables = {name: proxy, "OBSUP_ENDPOINT": "http://store.invalid"}
            assert upload(machine, server, "--retry-for", "0s", **variables) in (69, 77)
    basic = base64.b64encode(f"me:{PROXY_PASSWORD}".encode()).decode()
    assert any(basic in (one.header("Proxy-Authorization") or "") for one in server.received)
    assert basic not in b"".join(machine.output).decode() + (machine.work / "log").read_text()


def test_a_header_of_the_user(machine: Machine) -> None:
    """The value of a header whose name suggests a secret."""
    with ScriptedServer(EchoingStore("plain")) as server:
        header = {"OBSUP_HEADER": f"x-obs-meta-api-key: {AUTHORIZATION}"}
        upload(machine, server, **header)
    assert any(one.header("x-obs-meta-api-key") == AUTHORIZATION for one in server.received)
    assert AUTHORIZATION not in b"".join(machine.output).decode() + (machine.work / "log").read_text()

"""The metadata services, with a local test server."""

from __future__ import annotations

import json
import threading
import time
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from obsup.errors import BadConfiguration, Denied
from obsup.local.config.credentials import CredentialSettings, open_credentials
from obsup.local.config.instance_metadata import MAX_RESPONSE_BYTES, fetch_instance_credentials

pytestmark = pytest.mark.enable_socket

SECRET = "S3cr3tThatMustStayHidden"
KEYS: dict[str, dict[str, object]] = {
    "obs": {
        "credential": {
            "access": "AK",
            "secret": SECRET,
            "securitytoken": "T",
            "expires_at": "1970-01-02T00:00:00.000000Z",
        }
    },
    "aws": {
        "Code": "Success",
        "AccessKeyId": "AK",
        "SecretAccessKey": SECRET,
        "Token": "T",
        "Expiration": "1970-01-02T00:00:00Z",
    },
    "oss": {
        "Code": "Success",
        "AccessKeyId": "AK",
        "AccessKeySecret": SECRET,
        "SecurityToken": "T",
        "Expiration": "1970-01-02T00:00:00Z",
    },
}
ROLES = {
    "aws": "/latest/meta-data/iam/security-credentials/",
    "oss": "/latest/meta-data/ram/security-credentials/",
}
PATHS = {
    "obs": "/openstack/latest/securitykey",
    "aws": ROLES["aws"] + "up+load@1%3F",
    "oss": ROLES["oss"] + "up+load@1%3F",
}
TOKENS = {
    "obs": ("/meta-data/latest/api/token", "X-securitykey-Token"),
    "aws": ("/latest/api/token", "X-aws-ec2-metadata-token"),
    "oss": ("/latest/api/token", "X-aliyun-ecs-metadata-token"),
}


class MetadataServer(ThreadingHTTPServer):
    """A metadata service with a response per (method, path). It requires its session token and records the requests."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.name = name
        self.token_path, self.token_header = TOKENS[name]
        self.responses: dict[tuple[str, str], tuple[int, str]] = {
            ("PUT", self.token_path): (200, "session-token\n"),
            ("GET", PATHS[name]): (200, json.dumps(KEYS[name])),
        }
        if name in ROLES:
            self.responses["GET", ROLES[name]] = (200, "up+load@1?\n")
        self.requested: list[str] = []
        self.requires_token = True

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: MetadataServer

    def do_PUT(self) -> None:
        life = self.headers.get(f"{self.server.token_header}-ttl-seconds")
        self.respond(400 if life != "21600" else None)

    def do_GET(self) -> None:
        is_known = self.headers.get(self.server.token_header) == "session-token"
        self.respond(401 if self.server.requires_token and not is_known else None)

    def respond(self, refused: int | None) -> None:
        self.server.requested.append(f"{self.command} {self.path}")
        status, body = self.server.responses.get((self.command, self.path), (404, ""))
        self.send_response(refused or status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: object) -> None:
        pass


def serve(name: str) -> Iterator[MetadataServer]:
    with MetadataServer(name) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["obs", "obs X-Metadata-Token", "aws", "oss"])
def service(request: pytest.FixtureRequest) -> Iterator[MetadataServer]:
    name, _, other_header = request.param.partition(" ")
    for server in serve(name):
        server.token_header = other_header or server.token_header
        yield server


@pytest.fixture
def aws() -> Iterator[MetadataServer]:
    yield from serve("aws")


def failure(server: MetadataServer) -> Denied:
    """Request credentials from *server*, which must fail, and check that the error contains no secret."""
    with pytest.raises(Denied) as caught:
        fetch_instance_credentials(server.name, base=server.base)
    error = caught.value
    assert SECRET not in "".join(traceback.format_exception(error)) + repr(error)
    assert server.base in error.what or server.base in error.why
    assert str(error.next_step)
    return error


def test_credentials_are_requested_with_a_session_token(service: MetadataServer) -> None:
    found = fetch_instance_credentials(service.name, base=service.base)
    assert (found.access_key, found.secret_key, found.token, found.expires) == ("AK", SECRET, "T", 86400.0)
    assert found.origin == f"metadata service {service.base}"
    roles = [f"GET {ROLES[service.name]}"] if service.name in ROLES else []
    assert service.requested == [f"PUT {service.token_path}", *roles, f"GET {PATHS[service.name]}"]


@pytest.mark.parametrize("status", [403, 404, 405])
def test_session_token_is_optional(service: MetadataServer, status: int) -> None:
    service.responses["PUT", service.token_path] = (status, "no")
    service.requires_token = False
    assert fetch_instance_credentials(service.name, base=service.base).access_key == "AK"


def test_required_session_token_that_is_refused_is_a_failure(service: MetadataServer) -> None:
    service.responses["PUT", service.token_path] = (403, "")
    assert "returned 401" in failure(service).why


def test_token_request_that_fails_is_a_failure(service: MetadataServer) -> None:
    service.responses["PUT", service.token_path] = (500, "")
    assert "returned 500" in failure(service).why


def test_session_token_that_is_invalid_in_a_header_is_refused(service: MetadataServer) -> None:
    service.responses["PUT", service.token_path] = (200, f"{SECRET}\r\nX: y")
    assert "session token" in failure(service).why


@pytest.mark.parametrize("body", ["", "not JSON " + SECRET, "[]", "{}", '{"credential": 3}'])
def test_response_without_credentials_is_refused(service: MetadataServer, body: str) -> None:
    service.responses["GET", PATHS[service.name]] = (200, body)
    failure(service)


@pytest.mark.parametrize("missing", ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"])
def test_incomplete_response_is_refused(aws: MetadataServer, missing: str) -> None:
    keys = {key: value for key, value in KEYS["aws"].items() if key != missing}
    aws.responses["GET", PATHS["aws"]] = (200, json.dumps(keys))
    failure(aws)


def test_response_that_reports_a_failure_is_refused(aws: MetadataServer) -> None:
    aws.responses["GET", PATHS["aws"]] = (
        200,
        json.dumps({**KEYS["aws"], "Code": "AssumeRoleUnauthorizedAccess"}),
    )
    assert "contains no credentials" in failure(aws).why


def test_host_without_a_role_is_reported(aws: MetadataServer) -> None:
    aws.responses["GET", ROLES["aws"]] = (200, "\n")
    assert failure(aws).why == "This host has no role"


def test_endless_response_is_refused(service: MetadataServer) -> None:
    service.responses["GET", PATHS[service.name]] = (200, " " * (MAX_RESPONSE_BYTES + 1))
    assert "longer than 65536 bytes" in failure(service).why


def test_redirect_is_not_followed(service: MetadataServer) -> None:
    service.responses["GET", PATHS[service.name]] = (302, "")
    assert "returned 302" in failure(service).why


def test_refused_connection_is_denied_with_a_next_step() -> None:
    with MetadataServer("aws") as server:
        base = server.base
    with pytest.raises(Denied, match="Connection refused") as caught:
        fetch_instance_credentials("aws", base=base)
    assert caught.value.exit_code == 77
    assert "role" in str(caught.value.next_step)


def test_service_that_does_not_respond_is_denied_soon(aws: MetadataServer) -> None:
    aws.shutdown()
    started = time.monotonic()
    with pytest.raises(Denied, match="It does not respond: timed out"):
        fetch_instance_credentials("aws", base=aws.base, timeout_s=0.2)
    assert time.monotonic() - started < 5


def test_credentials_of_a_profile_are_renewed_ten_minutes_early(aws: MetadataServer, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[profiles.host]\nmetadata_service = "aws"\n', encoding="utf-8")
    settings = CredentialSettings("s3", "host", str(config))
    environ = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": aws.base}
    now = 0.0
    source = open_credentials(settings, environ=environ, home=tmp_path, clock=lambda: now)
    first = source.current()
    now = 86400.0 - 601
    assert source.current() is first
    now = 86400.0 - 600
    assert source.current() is not first


def test_proxies_are_not_used(service: MetadataServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch_instance_credentials(service.name, base=service.base).access_key == "AK"


def test_environment_variable_sets_the_url(service: MetadataServer) -> None:
    variable = "AWS_EC2_METADATA_SERVICE_ENDPOINT" if service.name == "aws" else "OBSUP_METADATA_ENDPOINT"
    assert fetch_instance_credentials(service.name, environ={variable: f"{service.base}/"}).access_key == "AK"


@pytest.mark.parametrize(
    "base",
    [
        "https://h",
        "169.254.169.254",
        "http://",
        "http://h:x",
        "http://u:hidden@h",
        "http://[::1",
        "http://h:99999",
    ],
)
def test_invalid_url_is_bad_configuration(base: str) -> None:
    with pytest.raises(BadConfiguration, match="not a valid URL") as caught:
        fetch_instance_credentials("aws", base=base)
    assert caught.value.exit_code == 78
    assert "hidden" not in repr(caught.value)

"""The metadata services, against a stand-in on this machine."""

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
from obsup.local.config.instance_metadata import ANSWER_LIMIT, ask_metadata

pytestmark = pytest.mark.enable_socket

SECRET = "S3cr3tThatNobodyMaySee"
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


class StandIn(ThreadingHTTPServer):
    """A metadata service: answers by (method, path), insists on its session token, notes what was asked."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.name = name
        self.token_path, self.token_header = TOKENS[name]
        self.answers: dict[tuple[str, str], tuple[int, str]] = {
            ("PUT", self.token_path): (200, "session-token\n"),
            ("GET", PATHS[name]): (200, json.dumps(KEYS[name])),
        }
        if name in ROLES:
            self.answers["GET", ROLES[name]] = (200, "up+load@1?\n")
        self.asked: list[str] = []
        self.wants_token = True

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: StandIn

    def do_PUT(self) -> None:
        life = self.headers.get(f"{self.server.token_header}-ttl-seconds")
        self.answer(400 if life != "21600" else None)

    def do_GET(self) -> None:
        is_known = self.headers.get(self.server.token_header) == "session-token"
        self.answer(401 if self.server.wants_token and not is_known else None)

    def answer(self, refused: int | None) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        status, body = self.server.answers.get((self.command, self.path), (404, ""))
        self.send_response(refused or status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: object) -> None:
        pass


def serve(name: str) -> Iterator[StandIn]:
    with StandIn(name) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(params=["obs", "aws", "oss"])
def service(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    yield from serve(request.param)


@pytest.fixture
def aws() -> Iterator[StandIn]:
    yield from serve("aws")


def failure(server: StandIn) -> Denied:
    """Ask *server*, which must fail, and prove that no secret leaves with the error."""
    with pytest.raises(Denied) as caught:
        ask_metadata(server.name, base=server.base)
    error = caught.value
    assert SECRET not in "".join(traceback.format_exception(error)) + repr(error)
    assert server.base in error.what or server.base in error.why
    assert str(error.next_step)
    return error


def test_credentials_come_with_a_session_token(service: StandIn) -> None:
    found = ask_metadata(service.name, base=service.base)
    assert (found.access_key, found.secret_key, found.token, found.expires) == ("AK", SECRET, "T", 86400.0)
    assert found.origin == f"metadata service {service.base}"
    roles = [f"GET {ROLES[service.name]}"] if service.name in ROLES else []
    assert service.asked == [f"PUT {service.token_path}", *roles, f"GET {PATHS[service.name]}"]


@pytest.mark.parametrize("status", [403, 404, 405])
def test_service_without_session_tokens_is_asked_without(service: StandIn, status: int) -> None:
    service.answers["PUT", service.token_path] = (status, "no")
    service.wants_token = False
    assert ask_metadata(service.name, base=service.base).access_key == "AK"


def test_service_that_refuses_and_insists_is_a_failure(service: StandIn) -> None:
    service.answers["PUT", service.token_path] = (403, "")
    assert "answered with 401" in failure(service).why


def test_token_request_that_fails_is_a_failure(service: StandIn) -> None:
    service.answers["PUT", service.token_path] = (500, "")
    assert "answered with 500" in failure(service).why


def test_session_token_that_fits_no_header_is_refused(service: StandIn) -> None:
    service.answers["PUT", service.token_path] = (200, f"{SECRET}\r\nX: y")
    assert "session token" in failure(service).why


@pytest.mark.parametrize("body", ["", "no JSON " + SECRET, "[]", "{}", '{"credential": 3}'])
def test_answer_without_credentials_is_refused(service: StandIn, body: str) -> None:
    service.answers["GET", PATHS[service.name]] = (200, body)
    failure(service)


@pytest.mark.parametrize("missing", ["AccessKeyId", "SecretAccessKey", "Token", "Expiration"])
def test_answer_with_a_hole_is_refused(aws: StandIn, missing: str) -> None:
    keys = {key: value for key, value in KEYS["aws"].items() if key != missing}
    aws.answers["GET", PATHS["aws"]] = (200, json.dumps(keys))
    failure(aws)


def test_answer_that_reports_failure_is_refused(aws: StandIn) -> None:
    aws.answers["GET", PATHS["aws"]] = (
        200,
        json.dumps({**KEYS["aws"], "Code": "AssumeRoleUnauthorizedAccess"}),
    )
    assert "not with credentials" in failure(aws).why


def test_host_without_a_role_says_so(aws: StandIn) -> None:
    aws.answers["GET", ROLES["aws"]] = (200, "\n")
    assert failure(aws).why == "This host has no role."


def test_endless_answer_is_refused(service: StandIn) -> None:
    service.answers["GET", PATHS[service.name]] = (200, " " * (ANSWER_LIMIT + 1))
    assert "longer than 65536 bytes" in failure(service).why


def test_redirect_is_not_followed(service: StandIn) -> None:
    service.answers["GET", PATHS[service.name]] = (302, "")
    assert "answered with 302" in failure(service).why


def test_nobody_there_is_denied_with_what_to_do() -> None:
    with StandIn("aws") as server:
        base = server.base
    with pytest.raises(Denied, match="Connection refused") as caught:
        ask_metadata("aws", base=base)
    assert caught.value.exit_code == 77
    assert "role" in str(caught.value.next_step)


def test_silence_is_denied_soon(aws: StandIn) -> None:
    aws.shutdown()
    started = time.monotonic()
    with pytest.raises(Denied, match="It does not answer: timed out"):
        ask_metadata("aws", base=aws.base, timeout_s=0.2)
    assert time.monotonic() - started < 5


def test_profile_that_asks_is_served_and_renewed_ten_minutes_early(aws: StandIn, tmp_path: Path) -> None:
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


def test_no_proxy_comes_between(service: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ask_metadata(service.name, base=service.base).access_key == "AK"


def test_environment_variable_names_the_service(service: StandIn) -> None:
    variable = "AWS_EC2_METADATA_SERVICE_ENDPOINT" if service.name == "aws" else "OBSUP_METADATA_ENDPOINT"
    assert ask_metadata(service.name, environ={variable: f"{service.base}/"}).access_key == "AK"


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
def test_what_is_no_address_is_bad_configuration(base: str) -> None:
    with pytest.raises(BadConfiguration, match="invalid address") as caught:
        ask_metadata("aws", base=base)
    assert caught.value.exit_code == 78
    assert "hidden" not in repr(caught.value)

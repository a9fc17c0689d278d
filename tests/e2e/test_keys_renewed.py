"""Security tokens that expire during an upload: obsup reads new ones from every source and continues."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from obsup.api import upload_file
from obsup.engine.job.target_settings import ConnectOptions
from obsup.errors import Denied
from obsup.events import Event, PartStored
from obsup.sandbox.sandbox import Sandbox
from tests.unit.local.config.test_instance_metadata import PATHS, MetadataServer

MakeFile = Callable[..., Path]
Rotate = Callable[[str], None]
PART = 102_400


class Keys:
    """Writes the keys of the sandbox, with a token, to each source of credentials."""

    def __init__(self, store: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.home = home
        self.monkeypatch = monkeypatch
        self.pair = (store.access_key, store.secret_key)

    def config(self, text: str) -> None:
        path = self.home / ".config/obsup/config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(f"[profiles.p]\n{text}")

    def in_profile(self, token: str) -> None:
        self.config(
            f'access_key_id = "{self.pair[0]}"\nsecret_access_key = "{self.pair[1]}"\nsecurity_token = "{token}"\n'
        )

    def in_process(self, token: str) -> None:
        response = {
            "Version": 1,
            "AccessKeyId": self.pair[0],
            "SecretAccessKey": self.pair[1],
            "SessionToken": token,
        }
        (self.home / "response.json").write_text(json.dumps(response))
        self.config(f'credential_process = "cat {self.home}/response.json"\n')

    def in_aws_file(self, token: str) -> None:
        self.config("")
        path = self.home / ".aws/credentials"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f"[default]\naws_access_key_id = {self.pair[0]}\naws_secret_access_key = {self.pair[1]}\n"
            f"aws_session_token = {token}\n"
        )

    def in_ossutil_file(self, token: str) -> None:
        self.config("")
        (self.home / ".ossutilconfig").write_text(
            f"[default]\naccessKeyID = {self.pair[0]}\naccessKeySecret = {self.pair[1]}\nstsToken = {token}\n"
        )

    def at_service(self, token: str, service: MetadataServer) -> None:
        aws = service.name == "aws"
        variable = "AWS_EC2_METADATA_SERVICE_ENDPOINT" if aws else "OBSUP_METADATA_ENDPOINT"
        self.monkeypatch.setenv(variable, service.base)
        self.config(f'metadata_service = "{service.name}"\n')
        access, secret = self.pair
        expires = "2999-01-01T00:00:00Z"
        responses_by_service: dict[str, dict[str, object]] = {
            "obs": {
                "credential": {
                    "access": access,
                    "secret": secret,
                    "securitytoken": token,
                    "expires_at": expires,
                }
            },
            "aws": {"Code": "Success", "AccessKeyId": access, "SecretAccessKey": secret, "Token": token},
            "oss": {
                "Code": "Success",
                "AccessKeyId": access,
                "AccessKeySecret": secret,
                "SecurityToken": token,
            },
        }
        response = responses_by_service[service.name] | (
            {} if service.name == "obs" else {"Expiration": expires}
        )
        service.responses["GET", PATHS[service.name]] = (200, json.dumps(response))


SOURCES = {
    "profile": "obs",
    "credential_process": "obs",
    "~/.aws/credentials": "s3",
    "~/.ossutilconfig": "oss",
    "metadata obs": "obs",
    "metadata aws": "s3",
    "metadata oss": "oss",
}


@pytest.fixture
def rotate(source: str, store: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rotate]:
    """Return a function that replaces the token in *source*."""
    keys = Keys(store, home, monkeypatch)
    kind, _, name = source.partition(" ")
    if kind == "metadata":
        with MetadataServer(name) as service:
            thread = threading.Thread(target=service.serve_forever)
            thread.start()
            yield lambda token: keys.at_service(token, service)
            service.shutdown()
            thread.join()
        return
    yield {
        "profile": keys.in_profile,
        "credential_process": keys.in_process,
        "~/.aws/credentials": keys.in_aws_file,
        "~/.ossutilconfig": keys.in_ossutil_file,
    }[kind]


@pytest.fixture
def store() -> Iterator[Sandbox]:
    """A sandbox with every vendor's dialect."""
    with Sandbox() as running:
        yield running


@pytest.mark.parametrize("source", SOURCES)
def test_expired_token_is_read_again_from_its_source(
    source: str, store: Sandbox, rotate: Rotate, make_file: MakeFile
) -> None:
    """The store rejects the old token once; no stored part is sent again."""
    provider = SOURCES[source]
    size = 5 * 2**20 if provider == "s3" else PART
    file = make_file(3 * size)

    def observe(event: Event) -> None:
        if isinstance(event, PartStored) and event.number == 1:
            rotate("token-2")

    rotate("token-1")
    store.add_fault("expire-token,op=part,part=2")
    upload_file(
        file,
        "bucket/key",
        connecting=ConnectOptions(
            endpoint=store.endpoint, provider=provider, profile="p", region="eu-1", backoff_s=0.001
        ),
        part_size=size,
        jobs=1,
        executor="inline",
        observer=observe,
    )
    assert store.object_path("bucket", "key").read_bytes() == file.read_bytes()
    parts = [(r.part_number, r.status) for r in store.requests if r.operation == "part"]
    assert [number for number, _ in parts] == [1, 2, 2, 3]
    assert [status for _, status in parts if status != 200] == [parts[1][1]]


@pytest.mark.parametrize("source", ["~/.aws/credentials"])
def test_token_that_stays_expired_keeps_the_upload(
    source: str, store: Sandbox, rotate: Rotate, make_file: MakeFile
) -> None:
    """Exit 77, and the upload is kept; with new keys in the file, the same call resumes it."""
    assert source in SOURCES
    file = make_file(3 * 5 * 2**20)

    def upload() -> int:
        return upload_file(
            file,
            "bucket/key",
            connecting=ConnectOptions(
                endpoint=store.endpoint, provider="s3", profile="p", region="eu-1", backoff_s=0.001
            ),
            part_size=5 * 2**20,
            jobs=1,
            executor="inline",
        ).sent_parts

    rotate("token-1")
    store.add_fault("expire-token,op=part,part=3")
    with pytest.raises(Denied) as caught:
        upload()
    assert (caught.value.exit_code, len(store.uploads())) == (77, 1)
    rotate("token-2")
    assert upload() == 1

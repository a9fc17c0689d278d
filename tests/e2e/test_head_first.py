"""Commands whose first request is HEAD, whose refusal has no body: clock, credentials and region are corrected, too."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Shell

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]
COMMANDS = (
    ("verify", "bigfile", "bucket/key"),
    ("upload", "bigfile", "bucket/key", "--skip-identical"),
    ("upload", "bigfile", "bucket/other", "--no-overwrite"),
)
EVERY = pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
S3 = ("--provider", "s3", "--region", "eu-central-1")


@pytest.fixture
def ahead(tmp_path: Path) -> Iterator[Sandbox]:
    """A store whose clock is an hour ahead."""
    with Sandbox(clock=lambda: time.time() + 3600) as running:
        yield running


@EVERY
def test_a_clock_that_is_wrong(
    command: tuple[str, ...], ahead: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """The offset is learned from a second request, which has a body."""
    make_file(1000)
    shell = Shell.against(ahead, shell.folder)
    assert shell.run("upload", "bigfile", "bucket/key", *S3).code == 0
    outcome = shell.run(*command, *S3)
    assert outcome.code == 0, outcome.err


@EVERY
def test_a_token_that_has_expired(
    command: tuple[str, ...], sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """The helper is asked for new credentials once."""
    make_file(1000)
    assert shell.run("upload", "bigfile", "bucket/key", *S3).code == 0
    helper = shell.folder / "helper"
    keys = {"Version": 1, "AccessKeyId": sandbox.access_key, "SecretAccessKey": sandbox.secret_key}
    token = '"SessionToken": "token-\'$(wc -l < calls)\'"'
    helper.write_text(f"#!/bin/sh\necho >> calls\necho '{json.dumps(keys)[:-1]}, {token}}}'\n")
    helper.chmod(0o755)
    (shell.folder / "obsup.toml").write_text(f'[profiles.x]\ncredential_process = "{helper}"\n')
    environment = {n: v for n, v in shell.environment.items() if not n.endswith(("KeyID", "AccessKey"))}
    sandbox.add_fault("expire-token")
    outcome = Shell(shell.folder, environment).run(*command, *S3, "--config", "obsup.toml", "--profile", "x")
    assert outcome.code == 0, outcome.err
    assert len((shell.folder / "calls").read_text()) == 2


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        (COMMANDS[0], 77, "403"),
        (
            COMMANDS[1],
            0,
            "HeadObject is not permitted: existing objects cannot be compared, so their files are sent again",
        ),
    ],
    ids=["verify", "upload"],
)
def test_a_store_that_permits_only_get(
    command: tuple[str, ...], code: int, text: str, sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """The refusal of HEAD remains, no object is downloaded, and upload --skip-identical sends the file again."""
    source = make_file(1000)
    assert shell.run("upload", "bigfile", "bucket/key", *S3).code == 0
    sandbox.add_fault("error=403:AccessDenied,op=head,times=always")
    outcome = shell.run(*command, *S3)
    assert outcome.code == code, outcome.err
    assert text in outcome.err
    gets = [record for record in sandbox.requests if record.method == "GET"]
    assert all(dict(record.headers).get("Range") == "bytes=0-0" for record in gets)
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()

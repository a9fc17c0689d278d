"""Commands that start with HEAD, whose refusals have no body, recover as all others do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.scripted_server import ReceivedRequest, Reply, ScriptedServer, error, response
from tests.support.shell import Shell
from tests.support.stores import open_store, target

MakeFile = Callable[..., Path]
COMMANDS = (("verify",), ("upload", "--skip-identical"))


def upload(shell: Shell, provider: str) -> None:
    """Store the file, with the clock and the keys of the store."""
    outcome = shell.run("upload", "bigfile", "bucket/key", "--provider", provider)
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("provider", ["obs", "s3", "oss"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_a_wrong_clock(command: tuple[str, ...], provider: str, tmp_path: Path, make_file: MakeFile) -> None:
    """The store's time is adopted although HEAD is the first request."""
    make_file(1000)
    ahead_s = [0.0]
    with Sandbox(clock=lambda: time.time() + ahead_s[0]) as store:
        against = Shell.against(store, tmp_path)
        shell = replace(against, environment={**against.environment, "OBSUP_REGION": "eu-test-1"})
        upload(shell, provider)
        ahead_s[0] = 3600.0
        sent = len(store.requests)
        outcome = shell.run(*command, "bigfile", "bucket/key", "--provider", provider)
        assert outcome.code == 0, outcome.err
        assert store.requests[sent].method == "HEAD"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_an_expired_token(command: tuple[str, ...], tmp_path: Path, make_file: MakeFile) -> None:
    """The credential process runs again if HEAD is refused with 400 and no reason."""
    make_file(1000)
    with Sandbox(require_token="new") as store:
        pair = {"Version": 1, "AccessKeyId": store.access_key, "SecretAccessKey": store.secret_key}
        for number, token in enumerate(["new", "old", "new"]):
            (tmp_path / f"keys{number}").write_text(json.dumps({**pair, "SessionToken": token}))
        script = "n=$(cat count 2>/dev/null || echo 0); echo $((n+1)) > count; cat keys$n\n"
        (tmp_path / "keys.sh").write_text(script)
        config = tmp_path / "config.toml"
        config.touch(mode=0o600)
        config.write_text('[profiles.p]\ncredential_process = "sh keys.sh"\n')
        environment = {"OBSUP_CONFIG": str(config), "OBSUP_PROFILE": "p", "OBSUP_ENDPOINT": store.endpoint}
        shell = Shell(tmp_path, environment)
        upload(shell, "s3")
        outcome = shell.run(*command, "bigfile", "bucket/key", "--provider", "s3")
        assert outcome.code == 0, outcome.err
        assert (tmp_path / "count").read_text() == "3\n"


def test_the_region_is_in_the_body_of_get() -> None:
    """MinIO refuses HEAD with 400 and names the region only in the body that GET returns."""

    def script(request: ReceivedRequest) -> Reply:
        if "/us-west-9/" in str(request.header("authorization")):
            return response(200, headers={"ETag": '"e"'})
        if request.method == "HEAD":
            return response(400)
        return error(400, "AuthorizationHeaderMalformed", Region="us-west-9")

    with ScriptedServer(script) as server, open_store("s3-v4", server.endpoint) as store:
        info = store.head_object(target(server.endpoint, provider="s3"))
    assert info is not None
    assert [one.method for one in server.received] == ["HEAD", "GET", "HEAD"]


def test_the_content_is_not_read_to_explain_a_refusal() -> None:
    """A store that rejects HEAD, but not GET, returns one byte; the refusal of HEAD is the result."""
    replies = {"HEAD": response(403), "GET": response(206, b"x")}
    with (
        ScriptedServer(lambda request: replies[request.method]) as server,
        open_store("s3-v4", server.endpoint) as store,
        pytest.raises(Exception, match="403"),
    ):
        store.head_object(target(server.endpoint, provider="s3"))
    assert server.last.header("range") == "bytes=0-0"

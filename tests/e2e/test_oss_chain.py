"""Credentials by the chain of Alibaba Cloud's library: RAM roles of a host, OIDC, profiles of its tool."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.alibaba_services import METADATA, ROLES, AlibabaServices
from tests.doubles.certificates import Authority
from tests.support.shell import Outcome, Shell

pytestmark = pytest.mark.chains

ROLE = "acs:ram::123456789012:role/backup"


@pytest.fixture
def services(sandbox: Sandbox, tmp_path: Path) -> Iterator[AlibabaServices]:
    """They hand out the keys of the sandbox."""
    authority = Authority(tmp_path)
    with AlibabaServices(
        sandbox.access_key, sandbox.secret_key, authority.context("sts.aliyuncs.com")
    ) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


class User:
    """A user without keys, with the library, and a file to upload; all that the library asks goes to *services*."""

    def __init__(self, sandbox: Sandbox, services: AlibabaServices, folder: Path) -> None:
        self.services = services
        trust = folder / "trust"
        trust.mkdir()
        # The library trusts only the certificates of certifi.
        where = f"import certifi\ncertifi.where = lambda: {str(folder / 'authority.pem')!r}\n"
        (trust / "sitecustomize.py").write_text(where)
        environment = {
            "OBSUP_ENDPOINT": sandbox.endpoint,
            "OBSUP_REGION": "cn-hangzhou",
            "PYTHONPATH": f"{trust}:{os.environ['OBSUP_TEST_CHAINS']}",
            "HTTP_PROXY": services.url,
            "HTTPS_PROXY": services.url,
        }
        self.shell = Shell(folder, environment)
        (folder / "bigfile").write_bytes(os.urandom(3_000_000))

    def upload(self, *options: str, **variables: str) -> Outcome:
        """Upload the file in three parts."""
        return self.shell.run("upload", "bigfile", "oss://bucket/key", "--parts", "3", *options, **variables)


@pytest.fixture
def user(sandbox: Sandbox, services: AlibabaServices, tmp_path: Path) -> User:
    """The user of each test."""
    return User(sandbox, services, tmp_path)


def assert_stored(outcome: Outcome, sandbox: Sandbox, user: User) -> None:
    """The object is there, and no output has a token."""
    assert outcome.code == 0, outcome.err
    assert sandbox.object_path("bucket", "key").read_bytes() == (user.shell.folder / "bigfile").read_bytes()
    assert "token-" not in outcome.out + outcome.err
    assert outcome.err == ""


def test_the_role_of_the_host(user: User, sandbox: Sandbox) -> None:
    """Nothing is configured. Keys that expire soon are renewed before, in every worker."""
    user.services.life_s = 200
    assert_stored(user.upload("--executor", "processes", "-j", "2"), sandbox, user)
    assert {host for host, _ in user.services.calls} == {
        METADATA.partition("://")[2] + path for path in ("/latest/api/token", ROLES, f"{ROLES}backup")
    }
    outcome = user.shell.run("doctor", "oss://bucket")
    assert "Alibaba Cloud's credential chain (ecs_ram_role), valid for another 3 min" in outcome.out


def test_an_oidc_token_that_rotates(user: User, sandbox: Sandbox, tmp_path: Path) -> None:
    """When the store rejects the session token, the token file is read again."""
    file = tmp_path / "identity"
    file.write_text("identity-1")
    sandbox.add_fault("expire-token,op=part,part=2")
    variables = {
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(file),
        "ALIBABA_CLOUD_ROLE_ARN": ROLE,
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::123456789012:oidc-provider/k8s",
    }

    def rotate() -> None:
        ends = time.monotonic() + 60
        while not user.services.calls and time.monotonic() < ends:
            time.sleep(0.01)
        file.write_text("identity-2")
        user.services.token = "token-2"

    thread = threading.Thread(target=rotate)
    thread.start()
    outcome = user.upload("-j", "1", "--limit-rate", "2M", **variables)
    thread.join()
    assert_stored(outcome, sandbox, user)
    assert [values["OIDCToken"] for _, values in user.services.calls] == ["identity-1", "identity-2"]
    assert {host for host, _ in user.services.calls} == {"sts.aliyuncs.com/"}


@pytest.mark.parametrize("mode", ["RamRoleArn", "EcsRamRole"])
def test_a_profile_of_the_vendors_tool(user: User, sandbox: Sandbox, home: Path, mode: str) -> None:
    """obsup knows when the keys of the role in it expire."""
    profile = {
        "name": "nightly",
        "mode": mode,
        "access_key_id": "BASEKEY",
        "access_key_secret": "BASESECRET",
        "ram_role_arn": ROLE,
        "ram_session_name": "x",
        "ram_role_name": "backup",
        "expired_seconds": 3600,
    }
    (home / ".aliyun").mkdir()
    (home / ".aliyun" / "config.json").write_text(json.dumps({"current": "nightly", "profiles": [profile]}))
    config = home / "config.toml"
    config.write_text('[profiles.p]\ncredentials = "oss"\n')
    named = ("--config", str(config), "--profile", "p")
    assert_stored(user.upload(*named), sandbox, user)
    outcome = user.shell.run("doctor", "oss://bucket", *named)
    assert "(cli_profile/" in outcome.out
    assert "valid for another" in outcome.out


def test_a_source_that_fails_is_not_replaced_by_another(user: User, sandbox: Sandbox, tmp_path: Path) -> None:
    """Exit 77 with the reason; the role of the host is not used instead."""
    user.services.is_denied = True
    (tmp_path / "identity").write_text("identity-1")
    outcome = user.upload(
        ALIBABA_CLOUD_OIDC_TOKEN_FILE=str(tmp_path / "identity"),
        ALIBABA_CLOUD_ROLE_ARN=ROLE,
        ALIBABA_CLOUD_OIDC_PROVIDER_ARN="acs:ram::1:oidc-provider/k8s",
    )
    assert outcome.code == 77
    assert "may not assume" in outcome.err
    assert "identity-1" not in outcome.err
    assert {host for host, _ in user.services.calls} == {"sts.aliyuncs.com/"}
    assert not sandbox.requests

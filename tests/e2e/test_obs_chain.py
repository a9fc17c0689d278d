"""Credentials by the chain of Huawei Cloud's library: OIDC, pod identity, its profile, the agency of the host."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.huawei_services import KEY_PATH, OIDC_PATH, HuaweiServices
from tests.support.shell import Outcome, Shell

pytestmark = pytest.mark.chains


@pytest.fixture
def services(sandbox: Sandbox) -> Iterator[HuaweiServices]:
    """They hand out the keys of the sandbox."""
    with HuaweiServices(sandbox.access_key, sandbox.secret_key) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


class User:
    """A user without keys, with the library, and a file to upload; the metadata service is behind a proxy."""

    def __init__(self, sandbox: Sandbox, services: HuaweiServices, folder: Path) -> None:
        self.services = services
        environment = {
            "OBSUP_ENDPOINT": sandbox.endpoint,
            "PYTHONPATH": os.environ["OBSUP_TEST_CHAINS"],
            "HTTP_PROXY": services.url,
            "NO_PROXY": "127.0.0.1",
            "HUAWEICLOUD_SDK_STS_ENDPOINT": services.url,
            "TZ": "Asia/Shanghai",
        }
        self.shell = Shell(folder, environment)
        (folder / "bigfile").write_bytes(os.urandom(3_000_000))
        (folder / "identity").write_text("identity-1")
        self.oidc = {
            "HUAWEICLOUD_OIDC_PROVIDER_URN": "iam::1:oidc-provider:cce",
            "HUAWEICLOUD_OIDC_AGENCY_URN": "iam::1:agency:backup",
            "HUAWEICLOUD_OIDC_TOKEN_FILE": str(folder / "identity"),
        }

    def upload(self, *options: str, **variables: str) -> Outcome:
        """Upload the file in three parts."""
        return self.shell.run("upload", "bigfile", "obs://bucket/key", "--parts", "3", *options, **variables)


@pytest.fixture
def user(sandbox: Sandbox, services: HuaweiServices, tmp_path: Path) -> User:
    """The user of each test."""
    return User(sandbox, services, tmp_path)


def assert_stored(outcome: Outcome, sandbox: Sandbox, user: User) -> None:
    """The object is there, and nothing else is printed."""
    assert (outcome.code, outcome.err) == (0, "")
    assert sandbox.object_path("bucket", "key").read_bytes() == (user.shell.folder / "bigfile").read_bytes()


def test_the_agency_of_the_host(user: User, sandbox: Sandbox) -> None:
    """Nothing is configured. The time of expiry is right in every time zone."""
    user.services.life_s = 200
    assert_stored(user.upload("--executor", "processes", "-j", "2"), sandbox, user)
    assert {path for path, _ in user.services.calls} == {"/meta-data/latest/api/token", KEY_PATH}
    outcome = user.shell.run("doctor", "obs://bucket")
    assert "Huawei Cloud's credential chain (MetadataGlobal), valid for another 3 min" in outcome.out


def test_an_oidc_token_that_rotates(user: User, sandbox: Sandbox) -> None:
    """When the store rejects the security token, the token file is read again."""
    sandbox.add_fault("expire-token,op=part,part=2")

    def rotate() -> None:
        ends = time.monotonic() + 60
        while not user.services.calls and time.monotonic() < ends:
            time.sleep(0.01)
        (user.shell.folder / "identity").write_text("identity-2")
        user.services.token = "token-2"

    thread = threading.Thread(target=rotate)
    thread.start()
    outcome = user.upload("-j", "1", "--limit-rate", "2M", **user.oidc)
    thread.join()
    assert_stored(outcome, sandbox, user)
    assert {path for path, _ in user.services.calls} == {OIDC_PATH}
    assert [body["id_token"] for _, body in user.services.calls] == ["identity-1", "identity-2"]


def test_the_identity_of_a_pod_and_a_profile(user: User, sandbox: Sandbox, home: Path) -> None:
    """The pod's token file is its authorization; the profile of the SDK has keys, and is nearer."""
    pod = {
        "HC_CONTAINER_CREDENTIALS_FULL_URI": f"{user.services.url}/pod",
        "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(user.shell.folder / "identity"),
    }
    assert_stored(user.upload(**pod), sandbox, user)
    assert user.services.calls == [("/pod", "identity-1")]
    (home / ".huaweicloud").mkdir(exist_ok=True)  # the library has made it
    keys = f"[global]\nak = {sandbox.access_key}\nsk = {sandbox.secret_key}\ndomain_id = x\n"
    (home / ".huaweicloud" / "credentials").write_text(keys)
    (home / "config.toml").write_text('[profiles.p]\ncredentials = "obs"\n')
    assert_stored(user.upload("--config", str(home / "config.toml"), "--profile", "p"), sandbox, user)
    assert len(user.services.calls) == 1


def test_a_source_that_fails_is_not_replaced_by_another(user: User, sandbox: Sandbox) -> None:
    """Exit 77 with the reason; the agency of the host is not used instead."""
    user.services.is_denied = True
    outcome = user.upload(**user.oidc)
    assert outcome.code == 77
    assert "may not assume" in outcome.err
    assert "identity-1" not in outcome.err
    assert {path for path, _ in user.services.calls} == {OIDC_PATH}
    assert not sandbox.requests

"""Credentials by the chain of AWS's library: roles, web identity, SSO, containers, instances; and without it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.aws_services import ROLE_PATH, AwsServices
from tests.support.dask_cluster import dask_cluster, keys_of
from tests.support.shell import Outcome, Shell

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ROLE = "arn:aws:iam::123456789012:role/backup"
CONFIG = f"""[profile base]
region = us-east-1
[profile nightly]
role_arn = {ROLE}
source_profile = base
region = us-east-1
[profile own]
role_arn = {ROLE}
source_profile = own
region = us-east-1
[profile chained]
role_arn = {ROLE}-2
source_profile = nightly
region = us-east-1
[profile single]
sso_start_url = https://example.awsapps.com/start
sso_region = us-east-1
sso_account_id = 123456789012
sso_role_name = backup
"""
KEYS = "".join(
    f"[{name}]\naws_access_key_id = BASEKEY\naws_secret_access_key = BASESECRET\n" for name in ("base", "own")
)


@pytest.fixture
def services(sandbox: Sandbox) -> Iterator[AwsServices]:
    """They hand out the keys of the sandbox."""
    with AwsServices(sandbox.access_key, sandbox.secret_key) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


class User:
    """A user without keys of obsup, with the files of AWS's tools, and a file to upload."""

    def __init__(self, sandbox: Sandbox, services: AwsServices, home: Path, folder: Path) -> None:
        self.home = home
        environment = {
            "OBSUP_ENDPOINT": sandbox.endpoint,
            "OBSUP_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_STS": services.url,
            "AWS_ENDPOINT_URL_SSO": services.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.shell = Shell(folder, environment)
        (home / ".aws").mkdir()
        (home / ".aws" / "config").write_text(CONFIG)
        (home / ".aws" / "credentials").write_text(KEYS)
        (folder / "bigfile").write_bytes(os.urandom(16_000_000))

    def upload(self, *options: str, **variables: str) -> Outcome:
        """Upload the file in two parts of 8 MiB."""
        words = ("upload", "bigfile", "s3://bucket/key", "--part-size", "8M", *options)
        return self.shell.run(*words, **variables)


@pytest.fixture
def user(sandbox: Sandbox, services: AwsServices, home: Path, tmp_path: Path) -> User:
    """The user of each test."""
    return User(sandbox, services, home, tmp_path)


def assert_stored(outcome: Outcome, sandbox: Sandbox, folder: Path) -> None:
    """The object is there, and no output has a token."""
    assert outcome.code == 0, outcome.err
    assert sandbox.object_path("bucket", "key").read_bytes() == (folder / "bigfile").read_bytes()
    assert "token-" not in outcome.out + outcome.err


@pytest.mark.parametrize("profile", ["nightly", "own"])
def test_a_role_of_the_profile(
    profile: str, user: User, services: AwsServices, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Assumed with the keys of source_profile; not those keys sign the upload, and config show does not name them."""
    assert_stored(user.upload(AWS_PROFILE=profile), sandbox, tmp_path)
    ((action, values),) = services.calls
    assert (action, values["RoleArn"], values["signer"]) == ("AssumeRole", ROLE, "BASEKEY")
    shown = user.shell.run("config", "show", AWS_PROFILE=profile, OBSUP_PROVIDER="s3").out
    assert "credentials\t…\tAWS's credential chain, which is run when needed\n" in shown


def test_a_chain_of_roles(user: User, services: AwsServices, sandbox: Sandbox, tmp_path: Path) -> None:
    """The second role is assumed with the credentials of the first."""
    assert_stored(user.upload(AWS_PROFILE="chained"), sandbox, tmp_path)
    assert [(values["RoleArn"], values["signer"]) for _, values in services.calls] == [
        (ROLE, "BASEKEY"),
        (f"{ROLE}-2", sandbox.access_key),
    ]


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_profile_of_obsup_names_the_profile_of_aws(
    executor: str, user: User, services: AwsServices, sandbox: Sandbox, home: Path, tmp_path: Path
) -> None:
    """Every worker finds its own credentials."""
    config = home / "config.toml"
    config.write_text('[profiles.p]\naws_profile = "nightly"\n')
    outcome = user.upload("--config", str(config), "--profile", "p", "--executor", executor, "-j", "2")
    assert_stored(outcome, sandbox, tmp_path)
    assert {action for action, _ in services.calls} == {"AssumeRole"}
    config.write_text('[profiles.p]\ncredentials = "aws"\naws_profile = "missing"\n')
    outcome = user.upload("--config", str(config), "--profile", "p")
    assert outcome.code == 77
    assert "missing" in outcome.err


def test_a_web_identity_whose_token_rotates(
    user: User, services: AwsServices, sandbox: Sandbox, home: Path, tmp_path: Path
) -> None:
    """When the store rejects the session token, the token file is read again."""
    file = home / "identity"
    file.write_text("identity-1")
    sandbox.add_fault("expire-token,op=part,part=2")
    variables = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(file), "AWS_ROLE_ARN": ROLE, "AWS_REGION": "us-east-1"}

    def rotate() -> None:
        while not services.calls:
            threading.Event().wait(0.01)
        file.write_text("identity-2")

    thread = threading.Thread(target=rotate)
    thread.start()
    outcome = user.upload("-j", "1", "--limit-rate", "8M", **variables)
    thread.join()
    assert_stored(outcome, sandbox, tmp_path)
    tokens = [values["WebIdentityToken"] for action, values in services.calls]
    assert tokens == ["identity-1", "identity-2"]


@pytest.mark.parametrize("executor", ["threads", "processes", "dask"])
def test_a_session_that_expires_in_a_worker(
    executor: str, user: User, services: AwsServices, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The worker assumes the role again, and sends its part with the new token."""
    (tmp_path / "bigfile").write_bytes(os.urandom(30_000_000))
    sandbox.add_fault("expire-token,op=part,part=4")
    words = ("--part-size", "5M", "-j", "2")
    variables = {"AWS_PROFILE": "nightly"}
    if executor == "dask":
        with dask_cluster(tmp_path / "cluster", {**keys_of(user.shell), **variables}) as cluster:
            outcome = user.upload(*words, "--executor", f"dask:{cluster.address}", **variables)
            assert "token-" not in cluster.log
    else:
        outcome = user.upload(*words, "--executor", executor, **variables)
    assert_stored(outcome, sandbox, tmp_path)
    assert {action for action, _ in services.calls} == {"AssumeRole"}
    sent = [(one.part_number, one.status) for one in sandbox.requests if one.operation == "part"]
    assert {(4, 400), (4, 200)} < set(sent)


def test_a_single_sign_on(
    user: User, services: AwsServices, sandbox: Sandbox, home: Path, tmp_path: Path
) -> None:
    """With the token of a login; after it has expired, exit 77 says so."""
    start = "https://example.awsapps.com/start"
    cache = home / ".aws" / "sso" / "cache" / f"{hashlib.sha1(start.encode()).hexdigest()}.json"
    cache.parent.mkdir(parents=True)
    for hours in (1, -1):
        expires = datetime.now(UTC) + timedelta(hours=hours)
        login = {
            "startUrl": start,
            "region": "us-east-1",
            "accessToken": "login",
            "expiresAt": f"{expires:%Y-%m-%dT%H:%M:%SZ}",
        }
        cache.write_text(json.dumps(login))
        outcome = user.upload(AWS_PROFILE="single")
        if hours > 0:
            assert_stored(outcome, sandbox, tmp_path)
    assert outcome.code == 77
    assert "log in again" in outcome.err


@pytest.mark.parametrize("where", ["container", "instance"])
def test_a_container_and_an_instance(
    where: str, user: User, services: AwsServices, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Nothing is configured: the host provides the keys."""
    if where == "container":
        variables = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{services.url}/keys"}
    else:
        variables = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": services.url, "AWS_EC2_METADATA_DISABLED": "false"}
    assert_stored(user.upload(**variables), sandbox, tmp_path)
    paths = [path for path, _ in services.calls]
    assert paths == (
        ["/keys"] if where == "container" else ["/latest/api/token", ROLE_PATH, f"{ROLE_PATH}backup"]
    )


def test_an_instance_that_is_slow_or_far_away(
    user: User, services: AwsServices, sandbox: Sandbox, tmp_path: Path
) -> None:
    """With session tokens required and half a second per answer; and with a hop limit that loses the token."""
    variables = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": services.url, "AWS_EC2_METADATA_DISABLED": "false"}
    services.requires_token, services.delay_s = True, 0.5
    assert_stored(user.upload(**variables), sandbox, tmp_path)
    services.requires_token, services.delay_s, services.loses_tokens = False, 0.0, True
    assert_stored(user.upload(**variables), sandbox, tmp_path)
    services.requires_token = True
    outcome = user.upload(**variables)
    assert outcome.code == 77
    assert "no credentials" in outcome.err


def test_keys_that_expire_soon_are_renewed_before(
    user: User, services: AwsServices, sandbox: Sandbox, tmp_path: Path
) -> None:
    """During the upload, and not for every request: at most every 30 seconds."""
    services.life_s = 200
    assert_stored(user.upload("--executor", "processes", "-j", "2", AWS_PROFILE="nightly"), sandbox, tmp_path)
    assert 2 <= len(services.calls) <= 3
    outcome = user.shell.run("doctor", "s3://bucket", AWS_PROFILE="nightly")
    assert "valid for another 3 min" in outcome.out


def test_a_role_that_is_denied(user: User, services: AwsServices, sandbox: Sandbox) -> None:
    """Exit 77 with the reason of STS, and no request to the store."""
    services.is_denied = True
    outcome = user.upload(AWS_PROFILE="nightly")
    assert outcome.code == 77
    assert "may not assume" in outcome.err
    assert not sandbox.requests


def test_without_the_library_the_extra_is_named(user: User, sandbox: Sandbox, tmp_path: Path) -> None:
    """obsup with every package of this environment but AWS's: exit 77 says what asks for the library."""
    site = tmp_path / "site"
    site.mkdir()
    for folder in sys.path:
        if folder.endswith("site-packages"):
            for package in Path(folder).iterdir():
                link = site / package.name
                if not package.name.startswith(("boto", "aiobotocore")) and not link.is_symlink():
                    link.symlink_to(package)
    paths = [str(ROOT), str(site)]
    program = f"import sys; sys.path[:0] = {paths!r}; from obsup.__main__ import main; main()"
    for variables, asked in (
        ({"AWS_PROFILE": "nightly"}, "role_arn in [profile nightly] of"),
        # Its own keys are those that may assume the role.
        ({"AWS_PROFILE": "own"}, "role_arn in [profile own] of"),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "x"}, "AWS_WEB_IDENTITY_TOKEN_FILE"),
    ):
        done = subprocess.run(
            [sys.executable, "-S", "-c", program, "upload", "bigfile", "s3://bucket/key"],
            cwd=tmp_path,
            env={**os.environ, **user.shell.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 77, done.stderr
        assert asked in done.stderr
        assert "pip install 'obsup[aws]'" in done.stderr
    assert not sandbox.requests


def test_the_version_of_the_library_is_tested() -> None:
    """obsup reads one private name of it."""
    assert version("botocore").startswith("1.")

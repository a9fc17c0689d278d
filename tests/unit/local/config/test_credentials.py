"""The sources of credentials, their order, and how the threads of a run share credentials."""

from __future__ import annotations

import pickle
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from obsup.errors import BadConfiguration, Denied, run_again
from obsup.local.config.credentials import (
    MIN_RENEWAL_INTERVAL_S,
    CredentialSettings,
    CredentialSource,
    FoundCredentials,
    find_credentials,
    open_credentials,
)
from obsup.model import Credentials

SECRET = "S3cr3tThatMustStayHidden"
VARIABLES = [
    # (providers that read them, access key, secret, token)
    ("obs s3 oss", "AccessKeyID", "SecretAccessKey", "SecurityToken"),
    ("obs s3 oss", "OBSUP_ACCESS_KEY_ID", "OBSUP_SECRET_ACCESS_KEY", "OBSUP_SECURITY_TOKEN"),
    ("obs", "OBS_ACCESS_KEY_ID", "OBS_SECRET_ACCESS_KEY", "OBS_SECURITY_TOKEN"),
    ("s3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    ("s3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN"),
    ("oss", "OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"),
    (
        "oss",
        "ALIBABA_CLOUD_ACCESS_KEY_ID",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
        "ALIBABA_CLOUD_SECURITY_TOKEN",
    ),
]
AWS_FILE = "[default]\naws_access_key_id = from-file\naws_secret_access_key = SK\n"
OSS_FILE = "[default]\naccessKeyID = from-file\naccessKeySecret = SK\n"
PRINTED = """'{"Version": 1, "AccessKeyId": "printed", "SecretAccessKey": "S"}'"""
CONFIG = f"""
[profiles.keys]
access_key_id = "from-profile"
secret_access_key = "{SECRET}"
[profiles.half]
access_key_id = "from-profile"
[profiles.process]
credential_process = '''printf %s {PRINTED}'''
[profiles.host]
metadata_service = "aws"
[profiles.bare]
region = "eu-de"
"""
CLOSED_PORT = "http://127.0.0.1:1"


class Home:
    """A home directory with every source of credentials, and a matching environment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environ = {
            "HOME": str(path),
            "PATH": "/usr/bin:/bin",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": CLOSED_PORT,
        }
        self.config = path / ".config/obsup/config.toml"
        self.config.parent.mkdir(parents=True)
        self.config.touch(mode=0o600)
        self.config.write_text(CONFIG, encoding="utf-8")

    def add_vendor_files(self) -> None:
        (self.path / ".aws").mkdir()
        (self.path / ".aws/credentials").write_text(AWS_FILE, encoding="utf-8")
        (self.path / ".ossutilconfig").write_text(OSS_FILE, encoding="utf-8")

    def find(self, provider: str = "s3", profile: str | None = None, **environ: str) -> Credentials:
        settings = CredentialSettings(provider, profile)
        return find_credentials(settings, environ={**self.environ, **environ}, home=self.path).credentials


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize(("providers", "access", "secret", "token"), VARIABLES)
@pytest.mark.parametrize("provider", ["obs", "s3", "oss"])
def test_variables_apply_to_their_provider_only(
    home: Home, provider: str, providers: str, access: str, secret: str, token: str
) -> None:
    environ = {access: " AK:x\n", secret: f"{SECRET}\n", token: " T "}
    if provider in providers.split():
        expected = Credentials("AK:x", SECRET, "T", origin=f"environment variable {access}")
        assert home.find(provider, **environ) == expected
    else:
        with pytest.raises(Denied):
            home.find(provider, **environ)


@pytest.mark.parametrize("provider", ["obs", "s3", "oss"])
def test_variables_apply_in_the_documented_order(home: Home, provider: str) -> None:
    mine = [row for row in VARIABLES if provider in row[0].split()]
    names = list(dict.fromkeys(access for _, access, _, _ in mine))
    environ = {access: f"from {access}".replace(" ", "-") for access in names}
    environ |= {secret: "SK" for _, _, secret, _ in mine}
    for name in names:
        assert home.find(provider, "keys", **environ).access_key == f"from-{name}"
        del environ[name]
        environ = {k: v for k, v in environ.items() if k not in {row[2] for row in mine if row[1] == name}}
    assert home.find(provider, "keys", **environ).access_key == "from-profile"


@pytest.mark.parametrize(
    ("profile", "environ", "access_key", "origin"),
    [
        ("keys", {"AWS_ACCESS_KEY_ID": "E", "AWS_SECRET_ACCESS_KEY": "S"}, "E", "environment variable AWS"),
        ("keys", {}, "from-profile", "profile keys"),
        ("process", {}, "printed", "credential_process of profile process"),
        ("bare", {}, "from-file", "[default] of "),
        ("host", {}, "from-file", "[default] of "),
        (None, {}, "from-file", "[default] of "),
    ],
)
def test_sources_apply_in_the_documented_order(
    home: Home, profile: str | None, environ: dict[str, str], access_key: str, origin: str
) -> None:
    home.add_vendor_files()
    found = home.find("s3", profile, **environ)
    assert found.access_key == access_key
    assert found.origin.startswith(origin)


def test_ossutil_file_applies_to_oss_only(home: Home) -> None:
    home.add_vendor_files()
    assert home.find("oss").access_key == "from-file"
    with pytest.raises(Denied):
        home.find("obs")


def test_metadata_service_is_used_only_if_the_profile_names_it(home: Home) -> None:
    with pytest.raises(Denied, match=r"metadata service at http://127\.0\.0\.1:1"):
        home.find("s3", "host")
    with pytest.raises(Denied, match="no credentials for s3"):
        home.find("s3", "bare")


@pytest.mark.parametrize(("providers", "access", "secret", "token"), VARIABLES)
def test_incomplete_pair_is_denied_and_names_the_missing_variable(
    home: Home, providers: str, access: str, secret: str, token: str
) -> None:
    home.add_vendor_files()
    with pytest.raises(Denied, match=f"{access} is set, {secret} is not") as caught:
        home.find(providers.split()[0], **{access: "AK", token: "T"})
    assert caught.value.exit_code == 77
    with pytest.raises(Denied, match=f"{secret} is set, {access} is not") as caught:
        home.find(providers.split()[0], **{secret: SECRET, access: " "})
    assert SECRET not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)


def test_incomplete_pair_in_a_profile_is_denied(home: Home) -> None:
    with pytest.raises(Denied, match=r"secret_access_key is not \(profile half\)"):
        home.find("s3", "half")


@pytest.mark.parametrize(
    ("provider", "searched"),
    [
        ("obs", ["AccessKeyID", "OBSUP_ACCESS_KEY_ID", "OBS_ACCESS_KEY_ID", "set OBS_ACCESS_KEY_ID"]),
        ("s3", ["AWS_ACCESS_KEY_ID", "[default] of ", "/.aws/credentials", "/.aws/config"]),
        ("oss", ["ALIBABA_CLOUD_ACCESS_KEY_ID", "/.ossutilconfig", "set OSS_ACCESS_KEY_ID"]),
    ],
)
def test_missing_credentials_list_the_searched_sources(
    home: Home, provider: str, searched: list[str]
) -> None:
    with pytest.raises(Denied) as caught:
        home.find(provider, "bare")
    text = f"{caught.value} {caught.value.next_step!s}"
    assert [word for word in searched if word not in text] == []
    assert f"profile bare of {home.config}" in text


def test_unknown_profile_is_bad_configuration(home: Home) -> None:
    with pytest.raises(BadConfiguration, match="profile 'absent' not found"):
        home.find("obs", "absent")


def test_config_path_selects_the_file(home: Home, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.touch(mode=0o600)
    other.write_text('[profiles.keys]\naccess_key_id="other"\nsecret_access_key="S"\n', encoding="utf-8")
    settings = CredentialSettings("obs", "keys", str(other))
    found = find_credentials(settings, environ=home.environ, home=home.path)
    assert found.credentials.access_key == "other"


def test_settings_can_be_pickled() -> None:
    settings = CredentialSettings("obs", "nightly", "/etc/obsup.toml")
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_changed_config_is_read_again_on_refresh(home: Home) -> None:
    settings = CredentialSettings("obs", "keys")
    source = open_credentials(settings, environ=home.environ, home=home.path, clock=time.time)
    old = source.current()
    home.config.write_text(CONFIG.replace("from-profile", "rotated"), encoding="utf-8")
    assert source.current() is old
    assert source.refresh(rejected=old).access_key == "rotated"
    assert source.current().access_key == "rotated"


class Issuer:
    """Finds credentials number 1, 2, 3, …, each valid for *life_s*; fails if ``fails`` is set."""

    def __init__(self, life_s: float | None = None, delay_s: float = 0.0) -> None:
        self.now = 0.0
        self.life_s = life_s
        self.delay_s = delay_s
        self.count = 0
        self.fails = False

    def clock(self) -> float:
        return self.now

    def find(self) -> FoundCredentials:
        self.count += 1
        time.sleep(self.delay_s)
        if self.fails:
            raise Denied("the vault is sealed", "", run_again("open it"))
        expires = None if self.life_s is None else self.now + self.life_s
        return FoundCredentials(Credentials(f"AK{self.count}", SECRET, expires=expires), 300.0)

    def open(self) -> CredentialSource:
        return CredentialSource(self.find, self.clock)


def test_credentials_without_expiry_are_found_once() -> None:
    issuer = Issuer()
    source = issuer.open()
    assert issuer.count == 0
    first = source.current()
    issuer.now = 1e9
    assert source.current() is first
    assert issuer.count == 1


@pytest.mark.parametrize(("now", "count"), [(3299.0, 1), (3300.0, 2), (4000.0, 2)])
def test_credentials_are_renewed_five_minutes_before_they_expire(now: float, count: int) -> None:
    issuer = Issuer(life_s=3600)
    source = issuer.open()
    source.current()
    issuer.now = now
    assert source.current().access_key == f"AK{count}"


def test_short_lived_credentials_are_not_renewed_for_each_part() -> None:
    issuer = Issuer(life_s=60)
    source = issuer.open()
    for _ in range(100):
        source.current()
    assert issuer.count == 1
    issuer.now = MIN_RENEWAL_INTERVAL_S
    assert source.current().access_key == "AK2"


def test_failed_renewal_keeps_credentials_that_have_not_expired() -> None:
    issuer = Issuer(life_s=3600)
    source = issuer.open()
    first = source.current()
    issuer.fails = True
    issuer.now = 3400.0
    assert source.current() is first
    assert source.current() is first
    assert issuer.count == 2
    issuer.now = 3600.0
    with pytest.raises(Denied, match="sealed"):
        source.current()
    issuer.fails = False
    assert source.current().access_key == f"AK{issuer.count}"


def test_refresh_finds_new_credentials() -> None:
    source = Issuer().open()
    assert [source.current().access_key, source.refresh().access_key] == ["AK1", "AK2"]


def test_refresh_of_replaced_credentials_returns_the_new_ones() -> None:
    issuer = Issuer()
    source = issuer.open()
    rejected = source.current()
    fresh = source.refresh(rejected)
    assert source.refresh(rejected) is fresh
    assert issuer.count == 2


def test_failed_refresh_keeps_the_cached_credentials() -> None:
    issuer = Issuer()
    source = issuer.open()
    cached = source.current()
    issuer.fails = True
    with pytest.raises(Denied, match="sealed"):
        source.refresh(cached)
    assert source.current() is cached


def at_once(call: Callable[[], object], count: int = 32) -> list[object]:
    """Call from *count* threads at the same moment; return results and Denied errors."""
    barrier = threading.Barrier(count)

    def work(_: int) -> object:
        barrier.wait()
        try:
            return call()
        except Denied as exc:
            return exc

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


@pytest.mark.parametrize("names_rejected", [True, False])
def test_concurrent_refresh_finds_credentials_once(names_rejected: bool) -> None:
    issuer = Issuer(delay_s=0.2)
    source = issuer.open()
    rejected = source.current()
    results = at_once(lambda: source.refresh(rejected) if names_rejected else source.refresh())
    assert {result.access_key for result in results if isinstance(result, Credentials)} == {"AK2"}
    assert issuer.count == 2


def test_equal_keys_that_were_read_again_are_new_for_all_threads() -> None:
    """A profile with permanent keys yields equal credentials; 32 threads must not read it one after another."""
    issuer = Issuer(delay_s=0.2)
    same = CredentialSource(
        lambda: FoundCredentials(replace(issuer.find().credentials, access_key="AK")), issuer.clock
    )
    rejected = same.current()
    at_once(lambda: same.refresh(rejected))
    assert issuer.count == 2


def test_concurrent_first_use_finds_credentials_once() -> None:
    issuer = Issuer(delay_s=0.2)
    source = issuer.open()
    assert len({id(result) for result in at_once(source.current)}) == 1
    assert issuer.count == 1


def test_threads_share_one_failure() -> None:
    issuer = Issuer(delay_s=0.2)
    source = issuer.open()
    rejected = source.current()
    issuer.fails = True
    results = at_once(lambda: source.refresh(rejected))
    assert all(isinstance(result, Denied) and result.next_step == run_again("open it") for result in results)
    assert issuer.count == 2


def test_no_secret_in_any_repr() -> None:
    source = Issuer().open()
    cached = source.current()
    assert SECRET not in repr(source) + repr(cached) + str(cached) + repr(FoundCredentials(cached)) + repr(
        vars(source)
    )


def test_what_only_a_library_reads_is_named_with_its_extra(home: Home) -> None:
    """It is not installed here: a variable, a file of the vendor's tool, and a profile that asks for it."""
    with pytest.raises(Denied, match="not HUAWEICLOUD_OIDC_AGENCY_URN, which needs pip install 'obsup"):
        home.find("obs", HUAWEICLOUD_OIDC_AGENCY_URN="x")
    with pytest.raises(Denied, match="not ALIBABA_CLOUD_OIDC_TOKEN_FILE, which needs pip install 'obsup"):
        home.find("oss", ALIBABA_CLOUD_OIDC_TOKEN_FILE="x")
    (home.path / ".aliyun").mkdir()
    (home.path / ".aliyun/config.json").touch()
    with pytest.raises(Denied, match=r"not /.*/\.aliyun/config\.json, which needs pip install 'obsup"):
        home.find("oss")
    home.config.write_text('[profiles.a]\ncredentials = "oss"\n')
    with pytest.raises(Denied, match="the library of Alibaba Cloud's credential chain is not installed"):
        home.find("oss", "a")
    home.config.write_text('[profiles.a]\ncredentials = "oss"\naws_profile = "b"\n')
    with pytest.raises(BadConfiguration, match="both credentials and aws_profile"):
        home.find("oss", "a")

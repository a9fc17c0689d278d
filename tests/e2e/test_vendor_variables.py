"""Endpoint, region and addressing of the vendors' tools, in variables and files: used last, by their own targets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import certifi
import pytest
from msgspec.structs import replace

from obsup.engine.job.target_settings import ConnectOptions, resolve_target
from obsup.errors import BadConfiguration
from obsup.local.config.vendor_settings import find_vendor_settings
from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Shell

ENDPOINT = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9000"}
ENDPOINT_S3 = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9001"}
REGION = {"AWS_REGION": "eu-central-1"}
DEFAULT_REGION = {"AWS_DEFAULT_REGION": "eu-north-1"}


@pytest.mark.parametrize(
    ("environ", "target", "connecting", "expected"),
    [
        (ENDPOINT, "bucket/key", {}, ("s3", "http://127.0.0.1:9000", "us-east-1")),
        (ENDPOINT | ENDPOINT_S3, "s3://bucket/key", {}, ("s3", "http://127.0.0.1:9001", "us-east-1")),
        (ENDPOINT | REGION, "bucket/key", {}, ("s3", "http://127.0.0.1:9000", "eu-central-1")),
        (
            REGION | DEFAULT_REGION,
            "s3://bucket/key",
            {},
            ("s3", "https://s3.eu-central-1.amazonaws.com", "eu-central-1"),
        ),
        (DEFAULT_REGION, "s3://bucket/key", {}, ("s3", "https://s3.eu-north-1.amazonaws.com", "eu-north-1")),
        (ENDPOINT, "bucket/key", {"endpoint": "http://127.0.0.1:1"}, ("obs", "http://127.0.0.1:1", "")),
        (REGION, "bucket/key", {"endpoint": "http://127.0.0.1:1"}, ("obs", "http://127.0.0.1:1", "")),
        (
            REGION,
            "bucket/key",
            {"endpoint": "https://s3.eu-west-1.amazonaws.com"},
            ("s3", "https://s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ),
        (
            REGION | {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
            "s3://bucket/key",
            {},
            ("s3", "https://s3.dualstack.eu-central-1.amazonaws.com", "eu-central-1"),
        ),
        (
            REGION | ENDPOINT | {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
            "bucket/key",
            {"provider": "aws"},
            ("s3", "https://s3.dualstack.eu-central-1.amazonaws.com", "eu-central-1"),
        ),
        (
            {"OSS_ENDPOINT": "oss-cn-hangzhou.aliyuncs.com", "OSS_REGION": "cn-beijing"},
            "bucket/key",
            {},
            ("oss", "https://oss-cn-hangzhou.aliyuncs.com", "cn-hangzhou"),
        ),
        (
            {"OSS_REGION": "cn-beijing"},
            "oss://bucket/key",
            {},
            ("oss", "https://oss-cn-beijing.aliyuncs.com", "cn-beijing"),
        ),
        (
            {"OBS_ENDPOINT": "https://obs.example", "OBS_REGION": "eu-de"} | ENDPOINT,
            "bucket/key",
            {},
            ("obs", "https://obs.example", "eu-de"),
        ),
        (REGION | ENDPOINT, "s3://bucket/key", {"region": "given"}, ("s3", "http://127.0.0.1:9000", "given")),
    ],
    ids=str,
)
def test_the_order_of_endpoints_and_regions(
    environ: dict[str, str], target: str, connecting: dict[str, str], expected: tuple[str, str, str]
) -> None:
    """Settings of obsup, then the host of the endpoint, then the variables, then the default of the vendor."""
    options = ConnectOptions(**connecting, vendor_settings=find_vendor_settings(environ, None))  # type: ignore[arg-type]
    _, settings = resolve_target(target, options)
    assert (settings.provider, settings.endpoint, settings.region) == expected


@pytest.mark.parametrize(
    ("target", "connecting", "expected"),
    [
        ("oss://bucket/key", {}, ("https://oss-cn-beijing.aliyuncs.com", "cn-beijing")),
        ("bucket/key", {"provider": "alibaba"}, ("https://oss-cn-beijing.aliyuncs.com", "cn-beijing")),
        ("oss://bucket/key", {"endpoint": "https://files.example"}, ("https://files.example", "cn-beijing")),
        (
            "s3://bucket/key",
            {"endpoint": "https://files.example", "region": "oss-cn-beijing"},
            ("https://files.example", "oss-cn-beijing"),
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("is_given", [True, False], ids=["option", "variable"])
def test_a_region_of_oss_has_two_names(
    target: str, connecting: dict[str, str], expected: tuple[str, str], is_given: bool
) -> None:
    """OSS itself signs the one without oss-, its hosts with the protocol of S3 the other one."""
    environ = {} if is_given else {"OSS_REGION": "oss-cn-beijing"}
    given = {"region": "oss-cn-beijing"} if is_given else {}
    options = ConnectOptions(**connecting | given, vendor_settings=find_vendor_settings(environ, None))  # type: ignore[arg-type]
    _, settings = resolve_target(target, options)
    assert (settings.endpoint, settings.region) == expected


CONFIG = """[default]
region = eu-north-1
endpoint_url = http://127.0.0.1:9002

[profile backup]
region = eu-south-1
services = near
s3 =
    addressing_style = path
    use_dualstack_endpoint = true

[services near]
s3 =
    endpoint_url = https://near.example
"""


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ("http://127.0.0.1:9002", "eu-north-1", "path")),
        ({"AWS_PROFILE": "backup"}, ("https://near.example", "eu-south-1", "path")),
        (ENDPOINT_S3 | REGION, ("http://127.0.0.1:9001", "eu-central-1", "path")),
        (
            {"AWS_PROFILE": "backup", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
            ("https://s3.dualstack.eu-south-1.amazonaws.com", "eu-south-1", "path"),
        ),
        (
            {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
            ("https://s3.eu-north-1.amazonaws.com", "eu-north-1", "virtual"),
        ),
    ],
    ids=str,
)
def test_the_configuration_file_of_aws(
    environ: dict[str, str], expected: tuple[str, str, str], tmp_path: Path
) -> None:
    """Endpoint, region and the settings below ``s3``, after the variables."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    options = ConnectOptions(vendor_settings=find_vendor_settings(environ, tmp_path))
    _, settings = resolve_target("s3://bucket/key", options)
    assert (settings.endpoint, settings.region, settings.addressing) == expected
    _, settings = resolve_target("bucket/key", replace(options, provider="aws"))
    style = "path" if "AWS_PROFILE" in environ else "virtual"  # by addressing_style
    host = "s3.dualstack" if "AWS_PROFILE" in environ else "s3"
    assert (settings.endpoint, settings.addressing) == (f"https://{host}.{expected[1]}.amazonaws.com", style)


def test_the_configuration_file_of_ossutil(tmp_path: Path) -> None:
    """Its endpoint and its region."""
    file = tmp_path / ".ossutilconfig"
    file.write_text("[Credentials]\nendpoint = oss-eu-west-1.aliyuncs.com\nregion = eu-west-1\n")
    options = ConnectOptions(vendor_settings=find_vendor_settings({}, tmp_path))
    _, settings = resolve_target("bucket/key", options)
    assert (settings.provider, settings.endpoint) == ("oss", "https://oss-eu-west-1.aliyuncs.com")


def test_targets_of_other_vendors_ignore_them() -> None:
    """The scheme or the option names another provider."""
    options = ConnectOptions(vendor_settings=find_vendor_settings(ENDPOINT, None))
    with pytest.raises(BadConfiguration, match="no endpoint given"):
        resolve_target("obs://bucket/key", options)


def test_an_upload_and_config_show_use_the_same(
    shell: Shell, sandbox: Sandbox, make_file: Callable[..., Path]
) -> None:
    """The object arrives, signed as S3 requires; config show names the variables."""
    make_file(1000)
    variables = {"AWS_ENDPOINT_URL": sandbox.endpoint, "AWS_REGION": "eu-central-1", "OBSUP_ENDPOINT": ""}
    variables |= {"SSL_CERT_FILE": certifi.where(), "REQUESTS_CA_BUNDLE": certifi.where()}
    outcome = shell.run("upload", "bigfile", "bucket/key", "--json", **variables)
    assert (outcome.code, outcome.json["provider"]) == (0, "s3"), outcome.err
    shown = {
        one.split("\t")[0]: one.split("\t")[1:]
        for one in shell.run("config", "show", **variables).out.splitlines()
    }
    assert shown["endpoint"] == [
        sandbox.endpoint,
        "environment variable AWS_ENDPOINT_URL (targets of s3 only)",
    ]
    assert shown["region"] == ["eu-central-1", "environment variable AWS_REGION (targets of s3 only)"]
    assert shown["ca_bundle"] == [certifi.where(), "environment variable REQUESTS_CA_BUNDLE"]


def test_config_show_names_what_a_service_determines(shell: Shell) -> None:
    """The endpoint and the region of AWS's tools are not those of another service."""
    variables = {**ENDPOINT, **REGION, "OBSUP_ENDPOINT": "", "AWS_USE_DUALSTACK_ENDPOINT": "true"}
    aws, r2 = (
        shell.run("config", "show", OBSUP_PROVIDER=name, OBSUP_ACCOUNT="0123", **variables).out
        for name in ("aws", "r2")
    )
    assert "\nendpoint\thttps://0123.r2.cloudflarestorage.com\tservice r2\n" in r2
    assert "\nregion\tauto\tservice r2\n" in r2
    dualstack = "environment variable AWS_USE_DUALSTACK_ENDPOINT"
    assert f"\nendpoint\thttps://s3.dualstack.eu-central-1.amazonaws.com\t{dualstack}\n" in aws
    assert "\nregion\teu-central-1\tenvironment variable AWS_REGION\n" in aws


def test_config_show_prints_the_endpoint_and_the_region_that_an_upload_uses(shell: Shell) -> None:
    """The host of the endpoint decides before the variable, and a vendor's public endpoint has the region in it."""
    for given, expected in (
        ({"OBSUP_ENDPOINT": "https://s3.eu-west-1.amazonaws.com"}, "eu-west-1\tdetermined by the endpoint"),
        (
            {"OBSUP_PROVIDER": "wasabi", "OBSUP_REGION": "eu-central-2"},
            "eu-central-2\tenvironment variable OBSUP_REGION",
        ),
        ({"OBSUP_PROVIDER": "s3"}, "us-west-2\tenvironment variable AWS_REGION (targets of s3 only)"),
    ):
        variables = {"OBSUP_ENDPOINT": "", "OBSUP_REGION": "", "AWS_REGION": "us-west-2", **given}
        shown = shell.run("config", "show", **variables).out
        options = ConnectOptions(
            endpoint=variables["OBSUP_ENDPOINT"] or None,
            provider=variables.get("OBSUP_PROVIDER", "auto"),
            region=variables["OBSUP_REGION"] or None,
            vendor_settings=find_vendor_settings(variables, None),
        )
        _, settings = resolve_target("bucket/key", options)
        assert f"\nendpoint\t{settings.endpoint}\t" in shown
        assert f"\nregion\t{expected}\n" in shown
        assert settings.region == expected.partition("\t")[0]


def test_the_profile_of_obsup_selects_that_of_aws(
    shell: Shell, sandbox: Sandbox, home: Path, make_file: Callable[..., Path]
) -> None:
    """Its region, and its endpoint, are used, and config show names the file."""
    make_file(1000)
    (home / ".aws").mkdir()
    (home / ".aws" / "config").write_text(CONFIG.replace("https://near.example", sandbox.endpoint))
    (home / "config.toml").write_text('[profiles.p]\naws_profile = "backup"\n')
    named = {"OBSUP_CONFIG": str(home / "config.toml"), "OBSUP_PROFILE": "p", "OBSUP_ENDPOINT": ""}
    outcome = shell.run("upload", "bigfile", "bucket/key", "--json", **named)
    assert (outcome.code, outcome.json["provider"]) == (0, "s3"), outcome.err
    shown = shell.run("config", "show", **named).out
    for key, value in (("s3.endpoint_url", sandbox.endpoint), ("region", "eu-south-1")):
        assert f"{value}\t{key} in [profile backup] of {home}/.aws/config (targets of s3 only)" in shown
    assert "s3.addressing_style in [profile backup]" in shown

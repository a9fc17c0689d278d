"""Environment variables of the vendors' tools that name an endpoint or a region: used last, by their own targets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.dialects.registry import vendor_variables
from obsup.engine.job.target_settings import ConnectOptions, resolve_target
from obsup.errors import BadConfiguration
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
        (REGION | ENDPOINT, "s3://bucket/key", {"region": "given"}, ("s3", "http://127.0.0.1:9000", "given")),
    ],
    ids=str,
)
def test_the_order_of_endpoints_and_regions(
    environ: dict[str, str], target: str, connecting: dict[str, str], expected: tuple[str, str, str]
) -> None:
    """Settings of obsup, then the host of the endpoint, then the variables, then the default of the vendor."""
    options = ConnectOptions(**connecting, vendor_variables=vendor_variables(environ))  # type: ignore[arg-type]
    _, settings = resolve_target(target, options)
    assert (settings.provider, settings.endpoint, settings.region) == expected


def test_targets_of_other_vendors_ignore_them() -> None:
    """The scheme or the option names another provider."""
    with pytest.raises(BadConfiguration, match="no endpoint given"):
        resolve_target("obs://bucket/key", ConnectOptions(vendor_variables=vendor_variables(ENDPOINT)))


def test_an_upload_and_config_show_use_the_same(
    shell: Shell, sandbox: Sandbox, make_file: Callable[..., Path]
) -> None:
    """The object arrives, signed as S3 requires; config show names the variables."""
    make_file(1000)
    variables = {"AWS_ENDPOINT_URL": sandbox.endpoint, "AWS_REGION": "eu-central-1", "OBSUP_ENDPOINT": ""}
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

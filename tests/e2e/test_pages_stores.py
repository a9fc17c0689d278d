"""obsup-stores(7): the three commands of each section, and what each service needs, refuses and limits."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from obsup.dialects.endpoints import recognise, service_of
from obsup.dialects.registry import STORES
from obsup.dialects.vendor import VendorSetting
from obsup.engine.job.target_settings import ConnectOptions, resolve_target
from obsup.engine.plan.file_plan import make_plan
from obsup.engine.plan.stream_plan import make_stream_sizes
from obsup.engine.proof.part_proof import choose_digests
from obsup.errors import BadConfiguration, Refusal, StoreError, WrongUsage
from obsup.sandbox.sandbox import Sandbox
from obsup.store.answers.failure_rule import Action
from obsup.store.answers.failure_table import classify
from obsup.units import GIB, parse_size
from tests.support.readme import STORES_PAGE, block, blocks
from tests.support.shell import Shell
from tests.tools.store_sections import EXAMPLES

ACCOUNT = "0123456789abcdef" * 2

# Endpoint, region and addressing of the example, and how the sandbox imitates the limits of the service.
SERVICES: Mapping[str, tuple[str, str, str, Mapping[str, Any]]] = {
    "aws": ("https://s3.eu-central-1.amazonaws.com", "eu-central-1", "virtual", {}),
    "huawei": ("https://obs.ap-southeast-1.myhuaweicloud.com", "ap-southeast-1", "virtual", {}),
    "otc": ("https://obs.eu-de.otc.t-systems.com", "eu-de", "virtual", {}),
    "alibaba": ("https://oss-eu-central-1.aliyuncs.com", "eu-central-1", "virtual", {}),
    "r2": (f"https://{ACCOUNT}.r2.cloudflarestorage.com", "auto", "virtual", {"faults": ["equal-parts"]}),
    "b2": (
        "https://s3.us-west-004.backblazeb2.com",
        "us-west-004",
        "virtual",
        {"faults": ["reject-checksums=400"]},
    ),
    "wasabi": (
        "https://s3.eu-central-1.wasabisys.com",
        "eu-central-1",
        "path",
        {"faults": ["error=403:RequestRateLimitExceeded,op=part"]},
    ),
    "minio": ("https://minio.example.org:9000", "us-east-1", "path", {"faults": ["exact-uploads"]}),
    "ceph": ("https://rgw.example.org", "us-east-1", "path", {}),
    "scaleway": ("https://s3.fr-par.scw.cloud", "fr-par", "virtual", {"limits": {"parts": 1000}}),
    "ovh": ("https://s3.gra.io.cloud.ovh.net", "gra", "virtual", {"faults": ["reject-checksums=400"]}),
    "ovh-us": (
        "https://s3.us-east-va.io.cloud.ovh.us",
        "us-east-va",
        "virtual",
        {"faults": ["reject-checksums=400"]},
    ),
    "digitalocean": ("https://fra1.digitaloceanspaces.com", "fra1", "virtual", {}),
    "storj": ("https://gateway.storjshare.io", "global", "virtual", {}),
    "idrive": ("https://q5r1.fra.idrivee2-32.com", "us-east-1", "path", {}),
    "cos": ("https://cos.eu-frankfurt.myqcloud.com", "eu-frankfurt", "virtual", {"faults": ["own-etag=1M"]}),
    "gcs": (
        "https://storage.googleapis.com",
        "auto",
        "virtual",
        {"faults": ["own-etag=1M", "reject-checksums=400"]},
    ),
}


def options_of(name: str) -> ConnectOptions:
    """Return what the first command of the section of *name* says about the store."""
    words = shlex.split(block(STORES_PAGE, f"store: {name}").splitlines()[0])[3:]
    given: dict[str, Any] = dict(
        zip([word.removeprefix("--") for word in words[::2]], words[1::2], strict=True)
    )
    return ConnectOptions(**given)


def test_every_service_has_its_section() -> None:
    """On the page, in the table above, and with the same name in all places."""
    marks = [one.mark.removeprefix("store: ") for one in blocks(STORES_PAGE) if one.mark]
    assert marks == list(STORES) == list(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_determines_endpoint_region_and_limits(name: str) -> None:
    """By its name, and again by the host of the endpoint that the name leads to."""
    endpoint, region, addressing, _ = SERVICES[name]
    _, by_name = resolve_target("bucket-1250000000/key", options_of(name))
    assert (by_name.endpoint, by_name.region, by_name.addressing) == (endpoint, region, addressing)
    assert by_name.provider == STORES[name].provider
    assert by_name.dialect.limits.max_parts == (1000 if name == "scaleway" else 10_000)
    assert by_name.dialect.limits.equal_parts == (name == "r2")
    assert by_name.dialect.etag_is_composite == (name not in ("alibaba", "gcs", "cos"))
    if name in ("minio", "ceph"):  # servers with any name
        return
    assert recognise(endpoint).provider == STORES[name].provider
    _, by_host = resolve_target("bucket-1250000000/key", ConnectOptions(endpoint=endpoint))
    assert by_host == replace(by_name, store="")
    assert (by_host.region, by_host.addressing, by_host.dialect) == (region, addressing, by_name.dialect)
    family = STORES[name].family
    assert service_of(endpoint) == (STORES[name] if family is not None else None)


def test_checksums_that_a_service_rejects_are_not_asked_for() -> None:
    """Unless the user asks; of a service about which nothing is known, the answer decides."""
    asked = {}
    for name in SERVICES:
        _, settings = resolve_target("bucket/key", options_of(name))
        if settings.provider == "s3":
            asked[name] = choose_digests("auto", settings.dialect, encrypted=False).checksum
            assert choose_digests("crc32c", settings.dialect, encrypted=False).checksum == "crc32c"
    assert {name for name, algorithm in asked.items() if algorithm is None} == {"b2", "ovh", "ovh-us", "gcs"}
    assert {algorithm for algorithm in asked.values() if algorithm} == {"crc64nvme"}


LARGEST = {"r2": "5T", "b2": "10TB", "wasabi": "5TB", "scaleway": "5TB", "digitalocean": "5TB", "gcs": "5T"}


@pytest.mark.parametrize("name", LARGEST)
def test_a_file_or_stream_that_the_service_cannot_hold(name: str) -> None:
    """Its plan is refused: nothing is sent."""
    _, settings = resolve_target("bucket/key", options_of(name))
    limits, size = settings.dialect.limits, parse_size(LARGEST[name])
    for plan in (make_plan, lambda size, limits: make_stream_sizes(limits, expected=size)):
        with pytest.raises(WrongUsage):
            plan(size + 1, limits)
    largest = min(limits.max_object, size)
    assert largest > size - 6 * GIB
    assert make_plan(largest, limits).part_size <= limits.max_part


@pytest.mark.parametrize("name", STORES)
def test_the_answers_to_too_many_requests_are_waited_for(name: str) -> None:
    """Whatever their status is."""
    for status, code in EXAMPLES[name].throttling:
        refused = Refusal(operation="UploadPart", resource="bucket/key", status=status, code=code)
        assert classify(StoreError(refused)).action is Action.SLOW_DOWN, code


AWS_REGION = VendorSetting("s3", "region", "eu-west-1", "environment variable AWS_REGION")


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        (ConnectOptions(provider="r2"), "no account given for Cloudflare R2"),
        (ConnectOptions(provider="b2"), "no region given for Backblaze B2"),
        (ConnectOptions(provider="idrive"), "no endpoint given"),
        (
            ConnectOptions(
                provider="b2", vendor_settings=(VendorSetting("s3", "region", "eu-west-1", "AWS_REGION"),)
            ),
            "no region given",
        ),
    ],
)
def test_what_a_service_lacks_is_named(options: ConnectOptions, missing: str) -> None:
    """The region of another cloud's variable is not that of this service."""
    with pytest.raises(BadConfiguration, match=missing):
        resolve_target("bucket/key", options)


def test_a_service_with_the_scheme_of_another_protocol() -> None:
    """Its own scheme is accepted."""
    options = ConnectOptions(provider="r2", account=ACCOUNT)
    with pytest.raises(WrongUsage, match="begins with oss://, but Cloudflare R2 uses the protocol s3"):
        resolve_target("oss://bucket/key", options)
    _, settings = resolve_target("s3://bucket/key", options)
    assert settings.store == "r2"


def test_a_given_endpoint_keeps_the_rules_of_the_service() -> None:
    """A domain of one's own in front of it."""
    _, settings = resolve_target(
        "bucket/key", ConnectOptions(provider="scaleway", endpoint="https://s3.example", region="x")
    )
    assert settings.dialect.limits.max_parts == 1000


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox with the limits of the service."""
    _, _, _, rules = SERVICES[request.param]
    with Sandbox(limits=dict(rules.get("limits", {})), aws_vendor="s3") as running:
        for fault in rules.get("faults", ()):
            running.add_fault(fault)
        yield running


@pytest.mark.slow
@pytest.mark.parametrize(("name", "store"), [(name, name) for name in SERVICES], indirect=["store"])
def test_the_three_commands(name: str, store: Sandbox, home: Path, tmp_path: Path) -> None:
    """Run as printed; only endpoint and keys are those of the sandbox."""
    shell = Shell.against(store, tmp_path)
    (tmp_path / "bigfile").write_bytes(b"x" * 12_000_000)
    outcome = shell.run_script(block(STORES_PAGE, f"store: {name}"))
    assert outcome.code == 0, outcome.err
    assert str(home / ".config" / "obsup" / "config.toml") in outcome.out
    assert (
        f"{STORES[name].title}; its rules are from its documentation, not tried with an account"
        in outcome.out
    )
    bucket = "backups-1250000000" if name == "cos" else "backups"
    assert store.object_path(bucket, "2026/bigfile").stat().st_size == 12_000_000
    assert not any(one.code == "InvalidArgument" for one in store.requests)
    dialects = {one.dialect for one in store.requests if one.dialect}
    assert dialects == {{"s3": "aws4", "obs": "obs", "oss": "oss4"}[STORES[name].provider]}


@pytest.mark.parametrize("region", ["\r\n", "eu west", "eu/west", "é"])
def test_an_invalid_region_is_refused(region: str) -> None:
    """It is part of a header."""
    with pytest.raises(WrongUsage, match="invalid region"):
        resolve_target(
            "bucket/key", ConnectOptions(provider="minio", endpoint="http://store.example", region=region)
        )


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in ("minio", "ceph")])
def test_the_endpoint_of_a_bucket_as_a_console_shows_it(name: str) -> None:
    """The bucket in front of the host is not put there twice; another one is refused."""
    endpoint, bucket = SERVICES[name][0], "backups-1250000000"
    scheme, _, host = endpoint.partition("://")
    of_bucket = ConnectOptions(endpoint=f"{scheme}://{bucket}.{host}")
    assert resolve_target(f"{bucket}/key", of_bucket)[1].endpoint == endpoint
    with pytest.raises(WrongUsage, match=f"is that of the bucket {bucket}") as caught:
        resolve_target("other/key", of_bucket)
    assert f"--endpoint {endpoint}" in str(caught.value.next_step)
    own = replace(of_bucket, addressing="cname")
    assert resolve_target(f"{bucket}/key", own)[1].endpoint == of_bucket.endpoint
    with pytest.raises(WrongUsage, match="invalid endpoint") as caught:
        resolve_target(f"{bucket}/key", ConnectOptions(endpoint=f"{endpoint}/{bucket}"))
    assert str(caught.value.next_step) == f"use {endpoint}"


@pytest.mark.parametrize(
    ("target", "options", "addressing"),
    [
        ("s3://bucket/key", {}, "path"),
        ("s3://bucket/key", {"addressing": "virtual"}, "virtual"),
        ("obs://bucket/key", {}, "virtual"),
        ("oss://bucket/key", {"region": "x"}, "virtual"),
        ("bucket/key", {"provider": "scaleway", "region": "x"}, "virtual"),
    ],
)
def test_a_store_that_is_not_known_has_the_bucket_in_the_path(
    target: str, options: dict[str, Any], addressing: str
) -> None:
    """As with AWS's own tools: few servers have a host, and a certificate, for each bucket."""
    _, settings = resolve_target(target, ConnectOptions(endpoint="https://minio.example.org", **options))
    assert settings.addressing == addressing

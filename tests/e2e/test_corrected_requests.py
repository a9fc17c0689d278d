"""Stores whose rejection shows what is wrong with addressing or region: the request is sent again, corrected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.in_process import Inside

MakeFile = Callable[..., Path]


def rejected(sandbox: Sandbox) -> int:
    """Return how many requests were rejected."""
    return sum(one.status >= 400 and one.operation != "head" for one in sandbox.requests)


@pytest.mark.parametrize(
    ("provider", "options"), [("oss", ()), ("s3", ("--executor", "processes", "--presign", "-j", "1"))]
)
def test_a_store_that_requires_the_bucket_in_the_host_name(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, provider: str, options: tuple[str, ...]
) -> None:
    """One request is rejected; all later ones have the bucket in the host, presigned ones too."""
    source = make_file(12_000_000)
    sandbox.add_fault("virtual-only")
    place = ("--endpoint", sandbox.endpoint.replace("127.0.0.1", "localhost"), "--region", "eu-de")
    outcome = inside.run("upload", "bigfile", f"{provider}://bucket/key", "--parts", "2", *place, *options)
    assert outcome.code == 0, outcome.err
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    hosts = [dict(one.headers)["Host"].partition(":")[0] for one in sandbox.requests]
    assert set(hosts) == {"localhost", "bucket.localhost"}
    assert rejected(sandbox) == 1


def test_an_address_cannot_have_a_bucket_in_front(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """The error says what to give."""
    make_file(1000)
    sandbox.add_fault("virtual-only")
    outcome = inside.run("upload", "bigfile", "oss://bucket/key", "--region", "x")
    assert outcome.code == 78
    assert "--addressing virtual" in outcome.err


def test_a_store_with_another_region(inside: Inside, sandbox: Sandbox, make_file: MakeFile) -> None:
    """The rejection names the region of the bucket."""
    make_file(12_000_000)
    sandbox.add_fault("only-region=fr-par")
    outcome = inside.run("upload", "bigfile", "s3://bucket/key", "--region", "nl-ams", "--parts", "2")
    assert outcome.code == 0, outcome.err
    assert rejected(sandbox) == 1


@pytest.mark.parametrize(
    ("fault", "target", "given", "accepted"),
    [
        ("only-region=fr-par", "s3://bucket", "region nl-ams", "region fr-par"),
        ("virtual-only", "oss://bucket", "addressing path", "addressing virtual"),
    ],
)
def test_doctor_recommends_what_the_store_accepted(
    inside: Inside, sandbox: Sandbox, fault: str, target: str, given: str, accepted: str
) -> None:
    """Not the settings that it rejected."""
    sandbox.add_fault(fault)
    place = ("--endpoint", sandbox.endpoint.replace("127.0.0.1", "localhost"), "--region", "nl-ams")
    outcome = inside.run("doctor", target, *place, "--json")
    assert outcome.code == 0, outcome.err
    name, value = accepted.split()
    assert outcome.json["settings"][name] == value
    told = {check["name"]: check["told"] for check in outcome.json["checks"]}
    assert told["corrected"] == f"{accepted} instead of {given.split()[1]}"

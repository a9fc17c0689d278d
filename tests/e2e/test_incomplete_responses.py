"""Proxies and stores whose responses lack what verifies an upload, or confirm something else than was requested."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from obsup.model import ObjectOptions
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.mutating_relay import Answer, MutatingRelay, Wire, framed, with_other_headers
from tests.support.upload_rig import PART, Rig

CRC64 = "x-oss-hash-crc64ecma"

Change = Callable[[Answer], "Wire | None"]


@pytest.fixture
def relay(sandbox: Sandbox) -> Iterator[MutatingRelay]:
    """A relay to the sandbox, which changes no response yet."""
    with MutatingRelay(sandbox.port) as running:
        yield running


@pytest.fixture
def rig(sandbox: Sandbox, relay: MutatingRelay, tmp_path: Path) -> Rig:
    """A source of three parts, which is uploaded through the relay."""
    source = tmp_path / "bigfile"
    source.write_bytes(os.urandom(2 * PART + 50_000))
    return Rig(sandbox, source, provider="oss", endpoint=relay.endpoint)


def without(*names: str) -> Change:
    """Return the change of a proxy that removes headers from all responses."""
    return lambda answer: with_other_headers(answer, drop=names)


def test_the_md5_verifies_parts_if_the_store_returns_no_crc64(rig: Rig, relay: MutatingRelay) -> None:
    """The ETag of each part is its MD5: a changed bit is noticed, and the part is sent again."""
    relay.change = without(CRC64)
    rig.sandbox.add_fault("flip-bit,op=part,part=2")
    result = rig.run()
    assert rig.is_stored()
    assert rig.requests("part") == [1, 2, 2, 3]
    assert [one.md5 for one in result.receipts] == list(rig.part_md5s().values())
    rig.sandbox.add_fault("flip-bit,op=part,part=2,times=always")
    assert rig.code() == 65


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"use_token": False}, {"verify_source": True}, {"jobs": 3}])
@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_a_changed_bit_is_noticed_without_a_crc64(
    rig: Rig, relay: MutatingRelay, options: dict[str, Any], executor: str
) -> None:
    """With several executors, and also if the whole file was hashed before."""
    relay.change = without(CRC64)
    rig.sandbox.add_fault("flip-bit,op=part,part=2,times=always")
    assert rig.code(executor=executor, **options) == 65
    assert not rig.sandbox.object_path("bucket", rig.key).exists()


@pytest.mark.slow
@pytest.mark.parametrize("provider", ["obs", "s3"])
def test_crc64_is_requested_of_a_store_that_does_not_return_it(rig: Rig, provider: str) -> None:
    """``--digest crc64``: the MD5 verifies the parts."""
    rig.provider, rig.part_size = provider, 5 * 1024 * 1024
    rig.source.write_bytes(os.urandom(2 * rig.part_size + 5))
    rig.sandbox.add_fault("flip-bit,op=part,part=2,times=always")
    assert rig.code(digest="crc64") == 65
    rig.sandbox.clear_faults()
    rig.sandbox.add_fault("ignore-checksums")
    assert rig.run(digest="crc64").verified in ("etag", "upload-id", "token")
    assert rig.is_stored()


def replaced_by_another(rig: Rig, operation: str) -> Change:
    """Return a change: another client replaces the object after *operation*, whose response has no ETag."""
    other = rig.source.with_name("other")
    other.write_bytes(os.urandom(rig.source.stat().st_size))
    theirs = Rig(rig.sandbox, other, provider=rig.provider, part_size=None)

    def change(answer: Answer) -> Wire | None:
        if answer.operation != operation:
            return None
        theirs.run()
        body = re.sub(rb"<ETag>.*?</ETag>", b"<ETag></ETag>", answer.body)
        return with_other_headers(replace(answer, body=body), drop=("etag",))

    return change


@pytest.mark.parametrize("use_token", [True, False])
@pytest.mark.parametrize("provider", ["obs", pytest.param("s3", marks=pytest.mark.slow)])
def test_an_object_of_another_client_with_the_same_size(
    relay: MutatingRelay, tmp_path: Path, provider: str, use_token: bool
) -> None:
    """It is made by PutObject after Complete, whose response has no ETag and no checksum: exit 65.

    No ETag of the bucket is an MD5.
    """
    source = tmp_path / "bigfile"
    part_size = PART if provider == "obs" else 5 * 1024 * 1024
    source.write_bytes(os.urandom(part_size + 5))
    with Sandbox(encrypts=True, faults=["ignore-checksums"]) as store:
        relay.port = store.port
        rig = Rig(store, source, provider=provider, endpoint=relay.endpoint, part_size=part_size)
        relay.change = replaced_by_another(rig, "complete")
        assert rig.code(use_token=use_token) == 65
        assert not rig.is_stored()
        relay.change = lambda _: None
        assert rig.code(use_token=use_token) == 0


def test_a_success_redirect_without_an_etag(rig: Rig, relay: MutatingRelay) -> None:
    """Another client replaces the object after the redirect: HeadObject must show the MD5 that was sent."""
    rig.provider, options = "obs", ObjectOptions(success_redirect="https://done.example/")
    rig.source.write_bytes(os.urandom(1000))
    relay.change = lambda answer: without("etag")(answer) if answer.operation == "put" else None
    assert rig.run(options=options, part_size=None).verified == "etag"
    rig.source.write_bytes(os.urandom(1000))
    relay.change = replaced_by_another(rig, "put")
    assert rig.code(options=options, part_size=None) == 65


@pytest.mark.slow
def test_a_trial_of_etags_does_not_abort_an_upload_that_was_open_before(
    relay: MutatingRelay, tmp_path: Path
) -> None:
    """A gateway repeats the response to the first Initiate for that of the trial, which the store needs."""
    source, first = tmp_path / "bigfile", list[bytes]()
    source.write_bytes(os.urandom(2 * PART))

    def repeat(answer: Answer) -> Wire | None:
        if answer.operation != "initiate":
            return None
        first.append(answer.body)
        return Wire(framed(replace(answer, body=first[0])))

    with Sandbox(encrypts=True) as store:
        relay.port, relay.change = store.port, repeat
        store.add_fault("hide-encryption")
        rig = Rig(store, source, provider="obs", endpoint=relay.endpoint)
        assert rig.code() == 65
        assert len(first) > 1
        assert [one for one in rig.open_ids() if one.encode() in first[0]] != []

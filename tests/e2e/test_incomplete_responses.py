"""Proxies and stores whose responses lack what verifies an upload, or confirm something else than was requested."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.mutating_relay import Answer, MutatingRelay, Wire, with_other_headers
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
    assert rig.run(digest="crc64").verified in ("etag", "upload-id", "token")
    assert rig.is_stored()

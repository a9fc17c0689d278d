"""Buckets that encrypt by default: no ETag is an MD5, and obsup does not know it in advance."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from obsup.local.state.folders import state_folder
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.faulty_store import Crash
from tests.support.in_process import Inside
from tests.support.upload_rig import PART, Rig, die, when_completed

FIVE_MIB = 5 * 1024 * 1024  # the minimum part size of S3
VERIFICATIONS = {"obs": "upload-id", "s3": "token", "oss": "crc64"}


@pytest.fixture
def store() -> Iterator[Sandbox]:
    """A store whose buckets encrypt with KMS by default."""
    with Sandbox(encrypts=True) as running:
        yield running


@pytest.fixture(params=VERIFICATIONS)
def rig(request: pytest.FixtureRequest, store: Sandbox, tmp_path: Path) -> Rig:
    """A source of three parts, for each vendor."""
    source = tmp_path / "bigfile"
    part_size = FIVE_MIB if request.param == "s3" else PART
    source.write_bytes(bytes(2 * part_size + 50_000))
    return Rig(store, source, provider=request.param, part_size=part_size)


def test_the_object_is_verified_by_a_meaningful_value(rig: Rig) -> None:
    """The ETag verifies nothing, but each part is sent only once."""
    result = rig.run()
    assert result.verified == VERIFICATIONS[rig.provider]
    assert rig.requests("part") == [1, 2, 3]
    assert rig.is_stored()


def test_a_lost_response_to_complete_is_resolved(rig: Rig) -> None:
    """The upload id, token or CRC-64 shows that this upload made the object."""
    rig.sandbox.add_fault("drop-answer,op=complete")
    result = rig.run()
    assert result.verified == VERIFICATIONS[rig.provider]
    assert rig.requests("complete") == [None]
    assert rig.is_stored()


def test_an_object_of_another_upload_is_not_taken_for_ours(rig: Rig) -> None:
    """An older object has the same bytes, and the Complete request was lost."""
    rig.run()
    before = rig.sandbox.object_metadata("bucket", rig.key).upload_id
    rig.sandbox.add_fault("drop-request=0,op=complete")
    result = rig.run()
    assert result.verified == VERIFICATIONS[rig.provider]
    assert rig.sandbox.object_metadata("bucket", rig.key).upload_id != before


def test_an_upload_id_or_token_does_not_verify_a_touched_source(rig: Rig) -> None:
    """Killed before the response to Complete, while the store still lists the upload: only a digest verifies it."""
    rig.sandbox.add_fault("keep-upload,op=complete")
    with pytest.raises(Crash):
        rig.run(observer=when_completed(die))
    os.utime(rig.source)
    assert rig.run().verified == VERIFICATIONS[rig.provider]
    assert rig.requests("part") == []
    assert rig.requests("complete") == ([] if rig.provider == "oss" else [None])


def test_stored_parts_are_not_sent_again(rig: Rig) -> None:
    """The checkpoint has the ETag of each part, however the store computes it."""
    rig.break_off("op=part,part=3")
    assert rig.run().sent_parts == 1
    assert rig.is_stored()


def test_the_upload_continues_without_its_checkpoint(rig: Rig) -> None:
    """This machine has a record of the upload; parts that cannot be verified are sent again with its upload id."""
    rig.break_off("op=part,part=3")
    rig.checkpoint.unlink()
    rig.run()
    assert rig.requests("initiate") == []
    assert rig.open_ids() == []
    assert rig.is_stored()


def test_an_upload_without_any_local_record_is_not_touched(rig: Rig) -> None:
    """It may be foreign, and its object options are unknown, even if a CRC-64 (OSS) shows that its parts match."""
    rig.break_off("op=part,part=3")
    rig.checkpoint.unlink()
    shutil.rmtree(state_folder())
    rig.run()
    assert len(rig.open_ids()) == 1
    assert rig.is_stored()


def test_json_has_the_kind_of_verification(
    store: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with init, part and complete; without a token only the size is verified."""
    inside = Inside(store, tmp_path, monkeypatch)
    (tmp_path / "bigfile").write_bytes(bytes(2 * FIVE_MIB))
    arguments = ("bigfile", "s3://bucket/key", "--region", "here")
    assert inside.run("upload", *arguments, "--parts", "2", "--json").json["verified"] == "token"
    assert inside.run("upload", *arguments, "--parts", "2", "--json", "--no-token").json["verified"] == "size"
    assert inside.run("init", *arguments, "--parts", "2").code == 0
    for number in ("1", "2"):
        assert inside.run("part", *arguments, "--part-number", number).code == 0
    assert inside.run("complete", *arguments, "--json").json["verified"] == "token"
    (tmp_path / "bigfile").write_bytes(b"one PutObject")
    assert inside.run("upload", *arguments, "--json").json["verified"] == "size"

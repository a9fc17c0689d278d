"""Buckets that encrypt by default: no ETag is an MD5, and nobody said so beforehand."""

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

FIVE_MIB = 5 * 1024 * 1024  # the smallest part that S3 takes
MARKS = {"obs": "upload-id", "s3": "token", "oss": "crc64"}


@pytest.fixture
def store() -> Iterator[Sandbox]:
    """A store whose buckets encrypt with KMS by default."""
    with Sandbox(encrypts=True) as running:
        yield running


@pytest.fixture(params=MARKS)
def rig(request: pytest.FixtureRequest, store: Sandbox, tmp_path: Path) -> Rig:
    """A source of three parts, for each vendor."""
    source = tmp_path / "bigfile"
    part_size = FIVE_MIB if request.param == "s3" else PART
    source.write_bytes(bytes(2 * part_size + 50_000))
    return Rig(store, source, provider=request.param, part_size=part_size)


def test_the_object_is_verified_by_a_meaningful_value(rig: Rig) -> None:
    """The ETag is none of ours and proves nothing; each part is sent once all the same."""
    result = rig.run()
    assert result.verified == MARKS[rig.provider]
    assert rig.requests("part") == [1, 2, 3]
    assert rig.is_stored()


def test_a_lost_response_to_complete_is_resolved(rig: Rig) -> None:
    """By upload id, token or CRC-64: the object is known to be this upload's."""
    rig.sandbox.add_fault("drop-answer,op=complete")
    result = rig.run()
    assert result.verified == MARKS[rig.provider]
    assert rig.requests("complete") == [None]
    assert rig.is_stored()


def test_somebody_elses_object_is_not_taken_for_ours(rig: Rig) -> None:
    """It has our very bytes and came before; our Complete was lost on its way."""
    rig.run()
    before = rig.sandbox.object_metadata("bucket", rig.key).upload_id
    rig.sandbox.add_fault("drop-request=0,op=complete")
    result = rig.run()
    assert result.verified == MARKS[rig.provider]
    assert rig.sandbox.object_metadata("bucket", rig.key).upload_id != before


def test_a_mark_does_not_vouch_for_a_source_that_was_touched(rig: Rig) -> None:
    """Killed before it heard that the object is made, in a store that lists the upload still: only a digest tells."""
    rig.sandbox.add_fault("keep-upload,op=complete")
    with pytest.raises(Crash):
        rig.run(hear=when_completed(die))
    os.utime(rig.source)
    assert rig.run().verified == MARKS[rig.provider]
    assert rig.requests("part") == []
    assert rig.requests("complete") == ([] if rig.provider == "oss" else [None])


def test_what_is_stored_is_not_sent_again(rig: Rig) -> None:
    """The checkpoint knows each part's ETag, whatever that is made of."""
    rig.break_off("op=part,part=3")
    assert rig.run().sent_parts == 1
    assert rig.is_stored()


def test_the_upload_continues_without_its_checkpoint(rig: Rig) -> None:
    """This machine remembers that it began it; parts that nothing vouches for are sent again under its upload id."""
    rig.break_off("op=part,part=3")
    rig.checkpoint.unlink()
    rig.run()
    assert rig.requests("initiate") == []
    assert rig.open_ids() == []
    assert rig.is_stored()


def test_without_its_checkpoint_and_its_memory_it_is_left_alone(rig: Rig) -> None:
    """It may be anybody's: only the CRC-64 of OSS shows its parts to be this file's."""
    rig.break_off("op=part,part=3")
    rig.checkpoint.unlink()
    shutil.rmtree(state_folder())
    rig.run()
    assert len(rig.open_ids()) == (0 if rig.provider == "oss" else 1)
    assert rig.is_stored()


def test_json_has_the_kind_of_verification(
    store: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also through init, part and complete; and without a token nothing is left but the size."""
    inside = Inside(store, tmp_path, monkeypatch)
    (tmp_path / "bigfile").write_bytes(bytes(2 * FIVE_MIB))
    words = ("bigfile", "s3://bucket/key", "--region", "here")
    assert inside.run("upload", *words, "--parts", "2", "--json").json["verified"] == "token"
    assert inside.run("upload", *words, "--parts", "2", "--json", "--no-token").json["verified"] == "size"
    assert inside.run("init", *words, "--parts", "2").code == 0
    for number in ("1", "2"):
        assert inside.run("part", *words, "--part-number", number).code == 0
    assert inside.run("complete", *words, "--json").json["verified"] == "token"
    (tmp_path / "bigfile").write_bytes(b"one PutObject")
    assert inside.run("upload", *words, "--json").json["verified"] == "size"

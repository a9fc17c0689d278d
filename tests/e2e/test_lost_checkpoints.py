"""Checkpoints that are damaged, foreign, newer, lost or unwritable: the started upload is resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from obsup import events
from obsup.errors import CheckpointUnwritable, NotFinished, WrongUsage
from obsup.local.state import checkpoint as checkpoints
from obsup.model import ObjectOptions
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.faulty_store import Crash
from tests.support.upload_rig import IMPATIENT, PART, Rig

PARTS = 6


@pytest.fixture
def rig(sandbox: Sandbox, make_file: Callable[..., Path]) -> Rig:
    """A source of six parts."""
    return Rig(sandbox, make_file((PARTS - 1) * PART + 50_000))


@pytest.fixture
def started(rig: Rig) -> Rig:
    """The same, with parts 1 to 3 stored and recorded."""
    start(rig)
    return rig


def start(rig: Rig) -> None:
    """Store and record parts 1 to 3."""
    rig.break_off("op=part,part=4")
    assert rig.right_parts() == {1, 2, 3}


def check_resumes(rig: Rig) -> None:
    """Run, and assert that the started upload is completed and no part is sent twice."""
    rig.run()
    assert rig.requests("initiate") == []
    assert rig.requests("part") == [4, 5, 6]
    assert rig.is_stored()
    assert rig.open_ids() == []


def newer(data: bytes) -> bytes:
    """Return the checkpoint with a newer format number."""
    return json.dumps({**json.loads(data), "format": checkpoints.FORMAT + 1}).encode()


@pytest.mark.parametrize(
    ("damage", "reason", "is_kept"),
    [
        (lambda data: data[: len(data) // 2], "it is incomplete", False),
        (lambda _data: b"", "it is empty", False),
        (lambda data: bytes(len(data)), "it is empty", False),
        (lambda data: data.replace(b"102400", b"102401", 1), "edited or damaged", False),
        (lambda _data: b'{"bucketName":"bucket","uploadParts":[]}', "not a checkpoint of obsup", True),
        (newer, "newer obsup", True),
    ],
    ids=["torn", "empty", "zeros", "edited", "foreign", "newer"],
)
def test_an_unusable_checkpoint_is_reported_once(
    started: Rig, damage: Callable[[bytes], bytes], reason: str, is_kept: bool
) -> None:
    """A foreign file is set aside."""
    bad = damage(started.checkpoint.read_bytes())
    started.checkpoint.write_bytes(bad)
    check_resumes(started)
    assert started.notes().count(reason) == 1
    set_aside = list(started.source.parent.glob("*" + checkpoints.SET_ASIDE_SUFFIX))
    assert [path.read_bytes() for path in set_aside] == ([bad] if is_kept else [])


def test_a_deleted_checkpoint_is_rebuilt(started: Rig) -> None:
    """From the parts that the store lists, compared with the source."""
    started.checkpoint.unlink()
    check_resumes(started)
    assert "3 of its 3 parts match this file" in started.notes()


def test_without_any_local_state_a_new_upload_is_started(started: Rig, home: Path) -> None:
    """The checkpoint and the record of started uploads are lost, so the object options of the upload are unknown."""
    [old] = started.open_ids()
    started.checkpoint.unlink()
    for path in (home / ".local" / "state" / "obsup" / "uploads").iterdir():
        path.unlink()
    started.run()
    assert started.is_stored()
    assert f"the open upload {old} of bucket/key" in started.notes()
    assert started.open_ids() == [old]


def test_a_deleted_checkpoint_of_another_part_size(started: Rig) -> None:
    """Without --part-size, the stored parts determine the part size."""
    started.checkpoint.unlink()
    started.run(part_size=None)
    # A file of this size would fit one request, had nothing been started.
    assert started.is_stored()


def test_the_token_survives_a_lost_checkpoint(sandbox: Sandbox, make_file: Callable[..., Path]) -> None:
    """It is in the record of started uploads, so that a lost response to Complete can be resolved."""
    rig = Rig(sandbox, make_file(3 * PART), provider="oss")
    rig.break_off("op=part,part=3")
    rig.checkpoint.unlink()
    sandbox.add_fault("drop-answer,op=complete")
    assert rig.run().verified == "crc64"
    assert rig.is_stored()


def test_an_upload_without_parts_that_this_machine_started_is_resumed(rig: Rig) -> None:
    """Even if its checkpoint is lost."""
    rig.break_off("op=part")
    rig.checkpoint.unlink()
    rig.run()
    assert rig.requests("initiate") == []
    assert rig.open_ids() == []


def test_a_foreign_upload_of_the_same_key_is_not_touched(rig: Rig, make_file: Callable[..., Path]) -> None:
    """Its parts are those of another file."""
    other = replace(rig, source=make_file(4 * PART, name="other", seed=2), observed=[])
    start(other)
    foreign = other.open_ids()
    rig.run()
    assert rig.is_stored()
    assert rig.open_ids() == foreign
    other.run()
    assert other.is_stored()
    assert rig.open_ids() == []


def test_an_upload_whose_parts_cannot_be_listed_is_skipped(rig: Rig, make_file: Callable[..., Path]) -> None:
    """Without the permission to list parts, a new upload can still be started."""
    start(replace(rig, source=make_file(4 * PART, name="other", seed=2), observed=[]))
    rig.sandbox.add_fault("error=403:AccessDenied,op=parts,times=always")
    rig.run()
    assert rig.is_stored()


def test_a_checkpoint_of_another_target_is_an_error(started: Rig) -> None:
    """It contains the progress of another upload, so it is not changed."""
    path = started.source.with_name("mine")
    started.checkpoint.rename(path)
    before = path.read_bytes()
    with pytest.raises(WrongUsage, match="belongs to bucket/key"):
        replace(started, key="another").run(checkpoint=path)
    assert path.read_bytes() == before


def test_the_source_as_checkpoint_is_an_error(rig: Rig) -> None:
    """--checkpoint SOURCE would overwrite it."""
    before = rig.source.read_bytes()
    link = rig.source.with_name("link")
    link.symlink_to(rig.source)
    for path in (rig.source, link):
        with pytest.raises(WrongUsage, match="is SOURCE itself"):
            rig.run(checkpoint=path)
    assert rig.source.read_bytes() == before


@pytest.mark.parametrize("content", [b"\0\0\0\x18ftypmp42 a film", b'{"parts": 5}', b"[]"], ids=str)
def test_a_user_file_named_as_checkpoint_is_an_error(rig: Rig, content: bytes) -> None:
    """It is not renamed, and nothing is sent."""
    path = rig.source.with_name("mine")
    path.write_bytes(content)
    with pytest.raises(checkpoints.NotCheckpoint, match="mine is not a checkpoint"):
        rig.run(checkpoint=path)
    assert checkpoints.NotCheckpoint.exit_code == 2
    assert (path.read_bytes(), rig.requests("initiate")) == (content, [])
    assert sorted(one.name for one in rig.source.parent.iterdir()) == sorted(["mine", rig.source.name])


def test_a_damaged_checkpoint_whose_begin_is_lost_is_set_aside(started: Rig) -> None:
    """A field shows that it is one of obsup, so the upload resumes, also if it is named with --checkpoint."""
    path = started.source.with_name("mine")
    bad = bytes(100) + started.checkpoint.read_bytes()[100:]
    started.checkpoint.unlink()
    path.write_bytes(bad)
    started.run(checkpoint=path)
    assert started.requests("part") == [4, 5, 6]
    assert path.with_name("mine.not-obsup").read_bytes() == bad


# Unwritable paths.


def test_a_checkpoint_that_can_be_written_nowhere_is_a_note(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The upload continues. If it fails, a later run starts over, because nothing records the object options."""
    rig.checkpoint.mkdir()
    blocked = tmp_path / "no-folder"
    blocked.touch()
    monkeypatch.setenv("OBSUP_STATE_DIR", str(blocked))
    start(rig)
    assert rig.notes().count("continuing without") == 1
    assert rig.notes().count("a later run cannot resume it") == 1
    [old] = rig.open_ids()
    rig.run()
    assert rig.is_stored()
    assert rig.open_ids() == [old]


def test_a_named_checkpoint_must_be_writable(rig: Rig) -> None:
    """Exit 73 before the initiation."""
    path = rig.source.with_name("folder")
    path.mkdir()
    with pytest.raises(CheckpointUnwritable) as caught:
        rig.run(checkpoint=path)
    assert caught.value.exit_code == 73
    assert rig.requests("initiate") == []
    assert rig.requests("part") == []


def test_a_checkpoint_that_cannot_be_removed_is_not_an_error(rig: Rig) -> None:
    """The object is in place and verified."""

    def block(event: events.Event) -> None:
        if isinstance(event, events.PartStored) and event.number == 6:
            rig.checkpoint.unlink()
            rig.checkpoint.mkdir()

    rig.run(observer=block)
    assert rig.is_stored()
    assert "cannot be" in rig.notes()


# The initiation.


def test_a_crash_before_the_response_to_initiate_leaves_no_orphan(rig: Rig) -> None:
    """The checkpoint is written before the request, so the new open upload is known to be ours."""
    rig.sandbox.add_fault("drop-answer,op=initiate")

    def crash(event: events.Event) -> None:
        if isinstance(event, events.Retried):
            raise Crash

    with pytest.raises(Crash):
        rig.run(observer=crash)
    (orphan,) = rig.open_ids()
    rig.run()
    assert rig.requests("initiate") == []
    assert {r.upload_id for r in rig.sandbox.requests if r.operation == "part"} == {orphan}
    assert rig.open_ids() == []
    assert rig.is_stored()


def test_an_interrupted_initiation_can_be_resumed_with_another_part_size(rig: Rig) -> None:
    """No part was sent."""
    rig.break_off("op=initiate")
    rig.run(part_size=2 * PART)
    assert rig.is_stored()


def test_restart_names_an_upload_whose_initiation_was_interrupted(rig: Rig) -> None:
    """It may be that of another client, so it is not aborted."""
    rig.sandbox.add_fault("drop-answer,op=initiate")

    def crash(event: events.Event) -> None:
        if isinstance(event, events.Retried):
            raise Crash

    with pytest.raises(Crash):
        rig.run(observer=crash)
    [left] = rig.open_ids()
    rig.run(restart=True)
    assert rig.open_ids() == [left]
    assert f"the open upload {left} of bucket/key" in rig.notes()
    assert rig.is_stored()


@pytest.mark.parametrize("restart", [False, True])
def test_an_empty_foreign_upload_is_not_adopted(rig: Rig, restart: bool) -> None:
    """Not even after a lost response: it was open before."""
    rig.sandbox.add_fault("error=403:AccessDenied,op=part,times=always")
    foreign = replace(rig, source=rig.source.with_name("foreign"), observed=[])
    foreign.source.write_bytes(b"foreign" * PART)
    assert foreign.code() == 77
    (foreign_id,) = rig.open_ids()
    rig.sandbox.clear_faults()
    rig.sandbox.add_fault("drop-answer,op=initiate")
    rig.run(restart=restart)
    assert rig.open_ids() == [foreign_id]
    assert rig.is_stored()


def test_an_upload_that_no_longer_exists_is_started_over(started: Rig) -> None:
    """It expired or was aborted: a note, and the file is sent."""
    started.sandbox.add_fault("forget-upload,op=parts")
    started.run()
    assert "no longer exists in the store" in started.notes()
    assert len(started.requests("part")) == PARTS
    assert started.is_stored()


def test_no_such_upload_for_a_listed_upload_is_a_temporary_failure(started: Rig) -> None:
    """Starting over would leave the listed upload open."""
    started.sandbox.add_fault("error=404:NoSuchUpload,op=parts")
    with pytest.raises(NotFinished, match="reports that it does not exist"):
        started.run()
    check_resumes(started)


def test_no_checkpoint_resumes_by_asking_the_store(rig: Rig) -> None:
    """--no-checkpoint."""
    rig.sandbox.add_fault("error=403:AccessDenied,op=part,part=4,times=always")
    assert rig.code(keep_checkpoint=False) == 77
    assert not rig.checkpoint.exists()
    rig.sandbox.clear_faults()
    rig.run(keep_checkpoint=False)
    assert rig.requests("part") == [4, 5, 6]
    assert rig.open_ids() == []


def test_other_object_options_are_an_error(started: Rig) -> None:
    """They are fixed at the initiation."""
    with pytest.raises(WrongUsage, match="other object options"):
        started.run(options=ObjectOptions(metadata={"a": "b"}))
    with pytest.raises(WrongUsage, match="has parts of 100K"):
        started.run(part_size=2 * PART)
    check_resumes(started)


def test_many_consecutive_failures_lose_no_part(rig: Rig) -> None:
    """Each run stores one more part of the same upload."""
    for number in range(2, PARTS + 1):
        rig.sandbox.clear_faults()
        rig.sandbox.add_fault(f"error=500:InternalError,op=part,part={number}-{PARTS},times=always")
        assert rig.code(IMPATIENT) == 75
        assert rig.right_parts() == set(range(1, number))
    rig.sandbox.clear_faults()
    rig.run()
    assert rig.requests("part") == [PARTS]
    assert [r.operation for r in rig.sandbox.requests].count("initiate") == 1

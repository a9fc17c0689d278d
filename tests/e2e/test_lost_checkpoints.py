"""Checkpoints that are torn, empty, foreign, newer, gone or unwritable: the upload that was begun is gone on with."""

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
def begun(rig: Rig) -> Rig:
    """The same, with parts 1 to 3 stored and recorded."""
    begin(rig)
    return rig


def begin(rig: Rig) -> None:
    """Store and record parts 1 to 3."""
    rig.break_off("op=part,part=4")
    assert rig.right_parts() == {1, 2, 3}


def goes_on(rig: Rig) -> None:
    """Run, and assert that the upload which was begun is finished, and nothing is sent twice."""
    rig.run()
    assert rig.requests("initiate") == []
    assert rig.requests("part") == [4, 5, 6]
    assert rig.is_stored()
    assert rig.open_ids() == []


def newer(data: bytes) -> bytes:
    """Return the checkpoint as a later version would write it."""
    return json.dumps({**json.loads(data), "format": checkpoints.FORMAT + 1}).encode()


@pytest.mark.parametrize(
    ("damage", "says", "is_kept"),
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
def test_a_checkpoint_of_no_use(
    begun: Rig, damage: Callable[[bytes], bytes], says: str, is_kept: bool
) -> None:
    """Said in one line; what is not ours is kept aside."""
    bad = damage(begun.checkpoint.read_bytes())
    begun.checkpoint.write_bytes(bad)
    goes_on(begun)
    assert begun.notes().count(says) == 1
    aside = list(begun.source.parent.glob("*" + checkpoints.SET_ASIDE_SUFFIX))
    assert [path.read_bytes() for path in aside] == ([bad] if is_kept else [])


def test_a_deleted_checkpoint(begun: Rig) -> None:
    """The store is asked, and the parts are compared."""
    begun.checkpoint.unlink()
    goes_on(begun)
    assert "3 of its 3 parts match this file" in begun.notes()


def test_a_deleted_checkpoint_and_a_lost_state_directory(begun: Rig, home: Path) -> None:
    """Nothing at all is known here any more."""
    begun.checkpoint.unlink()
    for path in (home / ".local" / "state" / "obsup" / "uploads").iterdir():
        path.unlink()
    goes_on(begun)


def test_a_deleted_checkpoint_of_parts_that_were_cut_otherwise(begun: Rig) -> None:
    """Without --part-size the stored parts tell how the file was cut."""
    begun.checkpoint.unlink()
    begun.run(part_size=None)
    # A file of this size would fit one request, had nothing been begun.
    assert begun.is_stored()


def test_the_token_comes_back_with_a_lost_checkpoint(
    sandbox: Sandbox, make_file: Callable[..., Path]
) -> None:
    """This machine remembers it, so that a lost answer to Complete can be settled."""
    rig = Rig(sandbox, make_file(3 * PART), provider="oss")
    rig.break_off("op=part,part=3")
    rig.checkpoint.unlink()
    sandbox.add_fault("drop-answer,op=complete")
    assert rig.run().verified == "crc64"
    assert rig.is_stored()


def test_an_upload_without_parts_that_this_machine_began_is_gone_on_with(rig: Rig) -> None:
    """Though its checkpoint was lost: nobody else will."""
    rig.break_off("op=part")
    rig.checkpoint.unlink()
    rig.run()
    assert rig.requests("initiate") == []
    assert rig.open_ids() == []


def test_somebody_elses_upload_of_the_same_key_is_left_alone(
    rig: Rig, make_file: Callable[..., Path]
) -> None:
    """Its parts are not this file's."""
    other = replace(rig, source=make_file(4 * PART, name="other", seed=2), heard=[])
    begin(other)
    theirs = other.open_ids()
    rig.run()
    assert rig.is_stored()
    assert rig.open_ids() == theirs
    other.run()
    assert other.is_stored()
    assert rig.open_ids() == []


def test_an_upload_that_may_not_be_looked_into_is_passed_over(
    rig: Rig, make_file: Callable[..., Path]
) -> None:
    """Who may not list parts can still begin an upload, whatever is open for the key."""
    begin(replace(rig, source=make_file(4 * PART, name="other", seed=2), heard=[]))
    rig.sandbox.add_fault("error=403:AccessDenied,op=parts,times=always")
    rig.run()
    assert rig.is_stored()


def test_a_checkpoint_of_another_target_is_refused(begun: Rig) -> None:
    """It is somebody's progress: stop and say so."""
    path = begun.source.with_name("mine")
    begun.checkpoint.rename(path)
    before = path.read_bytes()
    with pytest.raises(WrongUsage, match="belongs to bucket/key"):
        replace(begun, key="another").run(checkpoint=path)
    assert path.read_bytes() == before


def test_the_source_is_no_checkpoint(rig: Rig) -> None:
    """--checkpoint SOURCE would overwrite it."""
    before = rig.source.read_bytes()
    link = rig.source.with_name("link")
    link.symlink_to(rig.source)
    for path in (rig.source, link):
        with pytest.raises(WrongUsage, match="is SOURCE itself"):
            rig.run(checkpoint=path)
    assert rig.source.read_bytes() == before


def test_a_file_of_the_users_named_as_checkpoint_is_kept(rig: Rig) -> None:
    """Under another name."""
    path = rig.source.with_name("film.mp4")
    path.write_bytes(b"\0\0\0\x18ftypmp42 a film")
    rig.run(checkpoint=path)
    assert path.with_name("film.mp4.not-obsup").read_bytes().endswith(b"a film")


# A place that cannot be written.


def test_unwritable_everywhere_is_a_warning(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The upload goes on, and a later run resumes by asking the store."""
    rig.checkpoint.mkdir()
    blocked = tmp_path / "no-folder"
    blocked.touch()
    monkeypatch.setenv("OBSUP_STATE_DIR", str(blocked))
    begin(rig)
    assert rig.notes().count("continuing without") == 1
    goes_on(rig)


def test_a_checkpoint_that_was_asked_for_must_be_writable(rig: Rig) -> None:
    """73, before anything is initiated."""
    path = rig.source.with_name("folder")
    path.mkdir()
    with pytest.raises(CheckpointUnwritable) as caught:
        rig.run(checkpoint=path)
    assert caught.value.exit_code == 73
    assert rig.requests("initiate") == []
    assert rig.requests("part") == []


def test_a_checkpoint_that_cannot_be_removed_is_no_failure(rig: Rig) -> None:
    """The object is in place and proved."""

    def block(event: events.Event) -> None:
        if isinstance(event, events.PartStored) and event.number == 6:
            rig.checkpoint.unlink()
            rig.checkpoint.mkdir()

    rig.run(hear=block)
    assert rig.is_stored()
    assert "cannot be" in rig.notes()


# Beginning.


def test_a_crash_between_initiate_and_its_answer_leaves_no_orphan(rig: Rig) -> None:
    """What is meant is written down before: the upload that is open since is ours."""
    rig.sandbox.add_fault("drop-answer,op=initiate")

    def crash(event: events.Event) -> None:
        if isinstance(event, events.Retried):
            raise Crash

    with pytest.raises(Crash):
        rig.run(hear=crash)
    (orphan,) = rig.open_ids()
    rig.run()
    assert rig.requests("initiate") == []
    assert {r.upload_id for r in rig.sandbox.requests if r.operation == "part"} == {orphan}
    assert rig.open_ids() == []
    assert rig.is_stored()


def test_an_initiation_that_was_cut_off_may_be_gone_on_with_in_other_parts(rig: Rig) -> None:
    """Nothing of it was sent."""
    rig.break_off("op=initiate")
    rig.run(part_size=2 * PART)
    assert rig.is_stored()


def test_restart_aborts_an_upload_whose_initiation_was_cut_off(rig: Rig) -> None:
    """It would stay behind for ever."""
    rig.sandbox.add_fault("drop-answer,op=initiate")

    def crash(event: events.Event) -> None:
        if isinstance(event, events.Retried):
            raise Crash

    with pytest.raises(Crash):
        rig.run(hear=crash)
    rig.run(restart=True)
    assert rig.open_ids() == []
    assert len(rig.requests("abort")) == 1
    assert rig.is_stored()


@pytest.mark.parametrize("restart", [False, True])
def test_an_empty_upload_of_somebody_else_is_not_taken_for_ours(rig: Rig, restart: bool) -> None:
    """Not even after a lost answer: it was open before."""
    rig.sandbox.add_fault("error=403:AccessDenied,op=part,times=always")
    theirs = replace(rig, source=rig.source.with_name("theirs"), heard=[])
    theirs.source.write_bytes(b"theirs" * PART)
    assert theirs.code() == 77
    (foreign,) = rig.open_ids()
    rig.sandbox.clear_faults()
    rig.sandbox.add_fault("drop-answer,op=initiate")
    rig.run(restart=restart)
    assert rig.open_ids() == [foreign]
    assert rig.is_stored()


def test_an_upload_that_is_gone_is_begun_again(begun: Rig) -> None:
    """It expired, or somebody aborted it: said, and the file is sent."""
    begun.sandbox.add_fault("forget-upload,op=parts")
    begun.run()
    assert "no longer exists in the store" in begun.notes()
    assert len(begun.requests("part")) == PARTS
    assert begun.is_stored()


def test_a_store_that_contradicts_itself_is_not_believed(begun: Rig) -> None:
    """NoSuchUpload of an upload that it lists: another one begun would leave this one behind."""
    begun.sandbox.add_fault("error=404:NoSuchUpload,op=parts")
    with pytest.raises(NotFinished, match="returns that it does not exist"):
        begun.run()
    goes_on(begun)


def test_no_state_at_all_resumes_by_asking_the_store(rig: Rig) -> None:
    """--no-checkpoint."""
    rig.sandbox.add_fault("error=403:AccessDenied,op=part,part=4,times=always")
    assert rig.code(keep_checkpoint=False) == 77
    assert not rig.checkpoint.exists()
    rig.sandbox.clear_faults()
    rig.run(keep_checkpoint=False)
    assert rig.requests("part") == [4, 5, 6]
    assert rig.open_ids() == []


def test_other_object_options_are_refused(begun: Rig) -> None:
    """They are fixed when an upload is initiated."""
    with pytest.raises(WrongUsage, match="other object options"):
        begun.run(options=ObjectOptions(metadata={"a": "b"}))
    with pytest.raises(WrongUsage, match="has parts of 100K"):
        begun.run(part_size=2 * PART)
    goes_on(begun)


def test_many_failures_in_a_row_lose_nothing(rig: Rig) -> None:
    """Each run stores one part more, under one upload id."""
    for number in range(2, PARTS + 1):
        rig.sandbox.clear_faults()
        rig.sandbox.add_fault(f"error=500:InternalError,op=part,part={number}-{PARTS},times=always")
        assert rig.code(IMPATIENT) == 75
        assert rig.right_parts() == set(range(1, number))
    rig.sandbox.clear_faults()
    rig.run()
    assert rig.requests("part") == [PARTS]
    assert [r.operation for r in rig.sandbox.requests].count("initiate") == 1

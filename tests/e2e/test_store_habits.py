"""Stores that compute ETags over their own parts, and stores that list no parts of a missing upload (SeaweedFS)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.errors import DataMismatch
from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import LARGE_SIZE, count_operations, make_files
from tests.support.in_process import Inside
from tests.support.shell import Shell
from tests.support.upload_rig import PART, Rig

MakeFile = Callable[..., Path]


@pytest.fixture
def rig(sandbox: Sandbox, make_file: MakeFile) -> Rig:
    """A source of three parts."""
    return Rig(sandbox, make_file(3 * PART - 1000))


@pytest.mark.parametrize("use_token", [True, False])
def test_an_etag_over_parts_of_the_store(rig: Rig, use_token: bool) -> None:
    """Every part was verified, the size is right, and Complete and HEAD show the same ETag: that is enough."""
    rig.sandbox.add_fault("own-etag=60000")
    assert rig.run(use_token=use_token).verified == "parts"
    assert rig.is_stored()
    assert rig.notes().count("its own parts") == 1


def test_such_an_etag_does_not_excuse_another_object(rig: Rig) -> None:
    """Complete and HEAD show different ETags: another client replaced the object in between."""
    rig.sandbox.add_fault("own-etag=60000")
    path = rig.sandbox.object_path("bucket", rig.key)
    replaced: list[object] = []

    def replace_once(event: object) -> None:
        if getattr(event, "operation", "") == "CompleteMultipartUpload" and not replaced:
            replaced.append(event)
            path.write_bytes(path.read_bytes()[::-1])

    with pytest.raises(DataMismatch):
        rig.run(observer=replace_once)


def test_the_etag_of_the_right_number_of_parts_must_be_right(rig: Rig) -> None:
    """The number of parts is ours, so the ETag is comparable."""
    rig.sandbox.add_fault("own-etag=150000")
    rig.sandbox.add_fault("flip-bit,op=part,part=2")
    assert rig.run().verified == "etag"


def test_the_note_comes_once_for_many_files(shell: Shell, sandbox: Sandbox) -> None:
    """It is about the store, not about a file."""
    sandbox.add_fault("own-etag=4M")
    make_files(shell, "tree/a", "tree/b", size=LARGE_SIZE)
    outcome = shell.run("upload", "-r", "tree/", "bucket/p/")
    assert outcome.code == 0
    assert outcome.err.count("its own parts") == 1


def test_verify_cannot_compare_such_an_etag(inside: Inside, sandbox: Sandbox, make_file: MakeFile) -> None:
    """It never reports a difference that it cannot see; a different size is one."""
    sandbox.add_fault("own-etag=4M")
    source = make_file(LARGE_SIZE, "source")
    assert inside.run("upload", "source", "bucket/key", "--receipt", "receipt").code == 0
    for arguments in ((), ("--part-size", "9M")):
        outcome = inside.run("verify", "source", "bucket/key", *arguments)
        assert outcome.code == 1
        assert "cannot compare" in outcome.err
        assert "--receipt" in outcome.err
    assert inside.run("verify", "source", "bucket/key", "--receipt", "receipt").code == 0
    source.write_bytes(source.read_bytes() + b"x")
    assert inside.run("verify", "source", "bucket/key").code == 65


def abort_all(sandbox: Sandbox, inside: Inside) -> None:
    """Abort all open uploads behind the back of their checkpoints."""
    for upload in sandbox.uploads():
        assert inside.run("abort", f"bucket/{upload.key}", "--upload-id", upload.upload_id).code == 0


@pytest.mark.parametrize("stored", [0, 2])
def test_an_upload_that_is_gone_is_started_over(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, stored: int
) -> None:
    """The list of its parts is empty, but not an error: with and without parts in the checkpoint."""
    make_file(3 * PART, "source")
    command = ("upload", "source", "bucket/key", "--parts", "3", "-j", "1")
    sandbox.add_fault(f"error=403:AccessDenied,op=part,part={stored + 1},times=always")
    assert inside.run(*command).code == 77
    sandbox.clear_faults()
    sandbox.add_fault("empty-list")
    abort_all(sandbox, inside)
    outcome = inside.run(*command)
    assert outcome.code == 0
    assert "starting over" in outcome.err
    assert sandbox.uploads() == []


def test_an_empty_upload_that_is_open_is_continued(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """The store lists the upload."""
    make_file(3 * PART, "source")
    sandbox.add_fault("empty-list")
    assert inside.run("init", "source", "bucket/key", "--parts", "3").code == 0
    assert inside.run("upload", "source", "bucket/key", "--parts", "3").code == 0
    assert count_operations(sandbox)["initiate"] == 1


def test_a_stream_that_is_gone_is_started_over(inside: Inside, sandbox: Sandbox, make_file: MakeFile) -> None:
    """The same for the checkpoint of a stream."""
    make_file(3 * PART, "source")
    command = (
        "upload",
        "--from-command",
        "bucket/key",
        "--part-size",
        "100K",
        "-j",
        "1",
        "--",
        "cat",
        "source",
    )
    sandbox.add_fault("error=403:AccessDenied,op=part,part=3,times=always")
    assert inside.run(*command).code == 77
    sandbox.clear_faults()
    sandbox.add_fault("empty-list")
    abort_all(sandbox, inside)
    assert inside.run(*command).code == 0
    assert sandbox.object_path("bucket", "key").stat().st_size == 3 * PART


def test_a_batch_starts_such_a_file_over(shell: Shell, sandbox: Sandbox) -> None:
    """One file whose upload is gone does not fail every later run."""
    make_files(shell, "tree/large", size=LARGE_SIZE)
    command = ("upload", "-r", "tree/", "bucket/p/", "-j", "1")
    sandbox.add_fault("error=403:AccessDenied,op=part,part=2,times=always")
    assert shell.run(*command).code == 77
    sandbox.clear_faults()
    sandbox.add_fault("empty-list")
    upload_id = sandbox.uploads()[0].upload_id
    assert shell.run("abort", "bucket/p/large", "--upload-id", upload_id).code == 0
    assert shell.run(*command).code == 0


def test_a_lost_response_to_complete(rig: Rig) -> None:
    """The upload is gone and its object is in place; nothing claims that the store still lists the upload."""
    rig.sandbox.add_fault("empty-list")
    rig.sandbox.add_fault("drop-answer,op=complete")
    rig.run()
    assert rig.is_stored()
    assert "still lists" not in rig.notes()
    assert rig.requests("complete") == [None]


def test_a_repeated_complete(inside: Inside, sandbox: Sandbox, make_file: MakeFile) -> None:
    """The object is already there."""
    make_file(1000, "source")
    sandbox.add_fault("empty-list")
    upload_id = inside.run("init", "bucket/key").out.strip()
    part = ("part", "source", "bucket/key", "--upload-id", upload_id, "--part-number", "1", "--parts", "1")
    assert inside.run(*part).code == 0
    for _run in range(2):
        assert inside.run("complete", "source", "bucket/key", "--upload-id", upload_id).code == 0

"""An object that somebody else made, with the content of the source and other options, is not the one asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.errors import DataMismatch, ObjectExists
from obsup.model import ObjectOptions
from obsup.sandbox.sandbox import Sandbox
from tests.support.in_process import Inside
from tests.support.shell import Shell
from tests.support.upload_rig import Rig, when_completed, when_requested

MakeFile = Callable[..., Path]
SIZE = 250_000
FIRST, SECOND = ObjectOptions(metadata={"v": "1"}), ObjectOptions(metadata={"v": "2"})


@pytest.fixture
def source(make_file: MakeFile) -> Path:
    """A file for three parts."""
    return make_file(SIZE)


@pytest.fixture
def elsewhere(shell: Shell, tmp_path: Path) -> Callable[..., None]:
    """Runs a command on another machine."""

    def run(*arguments: str | Path) -> None:
        outcome = shell.run(*arguments, HOME=str(tmp_path / "elsewhere"))
        assert outcome.code == 0, outcome.err

    return run


def metadata(sandbox: Sandbox) -> dict[str, str]:
    """Return the metadata of the object."""
    return sandbox.object_metadata("bucket", "key").attributes.metadata


def test_an_older_object_with_the_same_content(
    sandbox: Sandbox, source: Path, elsewhere: Callable[..., None]
) -> None:
    """Complete was rejected, and somebody aborted the upload: without a token, the options decide."""
    rig = Rig(sandbox, source, provider="oss")
    rig.run(options=FIRST, use_token=False)
    made_s = int(time.time())
    while int(time.time()) == made_s:  # dates of the store have no fraction of a second
        time.sleep(0.05)
    rig.break_off("op=complete", options=SECOND, use_token=False)
    abort = ("abort", "bucket/key", "--provider", "oss", "--region", "here", "--upload-id")
    elsewhere(*abort, *rig.open_ids())
    rig.run(options=SECOND, use_token=False)
    assert metadata(sandbox)["v"] == "2"


def test_complete_of_an_upload_that_is_gone(
    inside: Inside, sandbox: Sandbox, source: Path, elsewhere: Callable[..., None]
) -> None:
    """The object shows that another upload made it: exit 69."""
    elsewhere("upload", source, "bucket/key", "--parts", "2", "--metadata", "v=1")
    upload_id = inside.run("init", "bucket/key", "--metadata", "v=2").out.strip()
    elsewhere("abort", "bucket/key", "--upload-id", upload_id)
    gone = inside.run("complete", source, "bucket/key", "--upload-id", upload_id, "--parts", "2")
    assert gone.code == 69, gone.err
    assert metadata(sandbox)["v"] == "1"


def test_no_overwrite_after_a_request_that_was_lost(
    sandbox: Sandbox, source: Path, elsewhere: Callable[..., None]
) -> None:
    """Another client made the object in the meantime, with other options: it exists."""
    rig = Rig(sandbox, source, provider="oss", part_size=None)
    sandbox.add_fault("drop-request=10,op=put")
    theirs = ("upload", source, "bucket/key", "--provider", "oss", "--region", "here", "--acl", "public-read")
    observer = when_requested("PutObject", lambda: elsewhere(*theirs))
    with pytest.raises(ObjectExists):
        rig.run(options=ObjectOptions(no_overwrite=True, acl="private"), observer=observer)
    assert sandbox.object_metadata("bucket", "key").attributes.acl == "public-read"


def test_an_object_that_replaces_an_encrypted_one_before_it_is_verified(
    sandbox: Sandbox, source: Path, elsewhere: Callable[..., None], make_file: MakeFile
) -> None:
    """Complete returns no ETag, and the object has the size of the source, but the mark of another upload: exit 65."""
    other = make_file(SIZE, "other", seed=2)
    sandbox.add_fault("empty-etag,op=complete")
    observer = when_completed(lambda: elsewhere("upload", other, "bucket/key", "--part-size", "100K"))
    with pytest.raises(DataMismatch):
        Rig(sandbox, source).run(options=ObjectOptions(sse="kms"), observer=observer)

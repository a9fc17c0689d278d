"""Complete exactly once, for each vendor: an object counts as ours only if it is verified."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from obsup import events
from obsup.dialects.registry import find_dialect
from obsup.errors import NotPermitted
from obsup.model import Credentials, Target, Upload
from obsup.sandbox.sandbox import Sandbox
from obsup.store.client import HttpStore
from tests.doubles.faulty_store import Crash
from tests.support.stores import bytes_body, open_store
from tests.support.upload_rig import PART, Rig, die, when_completed

pytestmark = pytest.mark.slow

FIVE_MIB = 5 * 1024 * 1024
VERIFIED = {"obs": "etag", "s3": "crc64nvme", "oss": "crc64"}
LOST = [
    "drop-answer",
    "truncate-answer",
    "error-after=500:InternalError",
    "error-after=503:SlowDown",
    "error-after=404:NoSuchUpload",
    "error-in-200=InternalError,done=1",
    "empty-etag",
]


@pytest.fixture(params=VERIFIED)
def rig(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Rig:
    """A source of three parts, for each vendor."""
    source = tmp_path / "bigfile"
    part_size = FIVE_MIB if request.param == "s3" else PART
    source.write_bytes(bytes(2 * part_size) + b"the end" * 1000)
    return Rig(sandbox, source, provider=request.param, part_size=part_size)


@pytest.mark.parametrize("fault", LOST)
def test_a_complete_with_a_lost_response_is_detected(rig: Rig, fault: str) -> None:
    """Nothing is sent or completed twice, and the result names what verified the object."""
    rig.sandbox.add_fault(f"{fault},op=complete")
    result = rig.run()
    assert result.verified == VERIFIED[rig.provider]
    assert rig.requests("part") == [1, 2, 3]
    assert [r.status for r in rig.sandbox.requests if r.operation == "complete" and not r.fault] == []
    assert rig.is_stored()
    assert not rig.checkpoint.exists()


def test_an_upload_that_is_still_listed_after_complete_is_reported_and_kept(rig: Rig) -> None:
    """A gateway died between object and list. Completing or aborting it could destroy the object's parts."""
    rig.sandbox.add_fault("keep-upload,op=complete")
    rig.sandbox.add_fault("drop-answer,op=complete")
    rig.run()
    upload_ids = rig.open_ids()
    assert len(upload_ids) == 1
    assert rig.requests("complete") == [None]
    assert [
        event.text
        for event in rig.observed
        if isinstance(event, events.Noted) and "do not abort it" in event.text
    ]
    rig.run()
    assert rig.requests("part") == [1, 2, 3]
    assert rig.open_ids() == upload_ids
    assert not [r for r in rig.sandbox.requests if r.operation == "abort"]


def test_killed_before_the_response_of_complete(rig: Rig) -> None:
    """The store still lists the upload: the next run checks the object first, and keeps the upload."""
    rig.sandbox.add_fault("keep-upload,op=complete")
    with pytest.raises(Crash):
        rig.run(observer=when_completed(die))
    assert rig.requests("head") == []  # only a second run checks first
    assert rig.checkpoint.exists()
    upload_ids = rig.open_ids()
    assert len(upload_ids) == 1
    assert rig.run().verified == VERIFIED[rig.provider]
    operations = [r.operation for r in rig.sandbox.requests[rig.first_request :]]
    assert operations == ["parts", "head", "parts"]
    assert f"upload {upload_ids[0]}, which made it; do not abort it" in rig.notes()
    assert rig.is_stored()
    assert rig.open_ids() == upload_ids
    assert not rig.checkpoint.exists()
    assert rig.run().upload_id not in upload_ids


def test_killed_before_the_response_and_the_checkpoint_is_lost(rig: Rig) -> None:
    """This machine has a record of the listed upload, and checks the object before it completes."""
    rig.sandbox.add_fault("keep-upload,op=complete")
    with pytest.raises(Crash):
        rig.run(observer=when_completed(die))
    rig.checkpoint.unlink()
    upload_ids = rig.open_ids()
    assert rig.run().upload_id == upload_ids[0]
    assert rig.requests("complete") == rig.requests("part") == []
    assert f"upload {upload_ids[0]}, which made it; do not abort it" in rig.notes()
    assert rig.is_stored()
    assert rig.open_ids() == upload_ids
    assert not rig.checkpoint.exists()


@pytest.mark.parametrize("missing", ["", "checkpoint", "HeadObject"])
def test_parts_of_an_object_in_place_are_not_replaced(rig: Rig, missing: str) -> None:
    """The store still lists the upload that made the object. The source has changed since: a new upload sends it.

    In Ceph after a crash, and always in Swift, parts that are sent to the old upload replace those of the object.
    """
    rig.sandbox.add_fault("keep-upload,op=complete")
    with pytest.raises(Crash):
        rig.run(observer=when_completed(die))
    [made] = rig.open_ids()
    if missing == "checkpoint":
        rig.checkpoint.unlink()
    if missing == "HeadObject":
        rig.sandbox.add_fault("error=403:AccessDenied,op=head,times=always")
    rig.source.write_bytes(rig.source.read_bytes()[::-1])
    if missing == "HeadObject":
        with pytest.raises(NotPermitted):
            rig.run(on_change="resend")
        assert rig.requests("part") == []
    result = rig.run(on_change="resend", restart=missing == "HeadObject")
    assert result.upload_id != made
    assert rig.requests("part") == [1, 2, 3]
    assert f"upload {made} {'may have ' if missing == 'HeadObject' else ''}made the object" in rig.notes()
    assert rig.requests("abort") == []
    assert rig.open_ids() == [made]
    assert rig.is_stored()


@pytest.mark.parametrize("use_token", [True, False], ids=["token", "no token"])
def test_killed_before_complete_over_an_older_object(rig: Rig, use_token: bool) -> None:
    """The older object has the same content, but another upload made it: this one is completed."""
    rig.run(use_token=use_token)
    older = rig.sandbox.object_metadata("bucket", rig.key).upload_id
    rig.break_off("op=complete", use_token=use_token)
    rig.run(use_token=use_token)
    operations = [r.operation for r in rig.sandbox.requests[rig.first_request :]]
    assert operations == ["parts", "head", "complete"]
    assert rig.sandbox.object_metadata("bucket", rig.key).upload_id != older
    assert rig.open_ids() == []


def test_complete_works_without_head_object_permission(rig: Rig) -> None:
    """The response of Complete verifies the object."""
    rig.break_off("op=complete")
    rig.sandbox.add_fault("error=403:AccessDenied,op=head,times=always")
    assert rig.run().verified == VERIFIED[rig.provider]
    assert rig.requests("complete") == [None]
    assert rig.is_stored()


def test_a_missing_part_needs_no_head_object(rig: Rig) -> None:
    """An upload with missing parts cannot have been completed."""
    rig.break_off("op=part,part=3")
    rig.run()
    assert rig.requests("part") == [3]
    assert rig.requests("head") == []


@pytest.mark.parametrize("fault", ["drop-request=0", "error=500:InternalError", "error-in-200=InternalError"])
def test_an_older_object_is_not_taken_for_a_complete_that_never_happened(rig: Rig, fault: str) -> None:
    """The key already has an object with the same content."""
    rig.run()
    older = rig.sandbox.object_metadata("bucket", rig.key).upload_id
    rig.sandbox.add_fault(f"{fault},op=complete")
    rig.run()
    assert rig.requests("complete") == [None, None]
    assert rig.sandbox.object_metadata("bucket", rig.key).upload_id != older
    assert rig.open_ids() == []


@contextmanager
def another_client(rig: Rig) -> Iterator[HttpStore]:
    """Open the store as another client, without our locks."""
    keys = Credentials(rig.sandbox.access_key, rig.sandbox.secret_key)
    with open_store(find_dialect(rig.provider), rig.sandbox.endpoint, keys=keys) as store:
        yield store


@pytest.mark.parametrize("size", ["same size", "other size"])
def test_an_object_of_another_client_is_never_taken_for_ours(rig: Rig, size: str) -> None:
    """The response is lost, and another client replaces the object before it is checked: not a success."""
    content = bytearray(rig.source.read_bytes())
    content[5] ^= 1
    del content[0 if size == "other size" else len(content) :]
    target = Target(rig.provider, rig.sandbox.endpoint, "bucket", rig.key)

    def put() -> None:
        with another_client(rig) as store:
            store.put_object(target, bytes_body(bytes(content)), {})

    rig.sandbox.add_fault("drop-answer,op=complete")
    rig.run(observer=when_completed(put))
    # The upload is gone and the object is not ours: everything is sent again.
    assert rig.requests("part") == [1, 2, 3, 1, 2, 3]
    assert rig.is_stored()
    assert rig.open_ids() == []


def test_an_object_that_differs_after_success_is_reported(rig: Rig) -> None:
    """The store returns 200, but the object has another digest."""

    def damage() -> None:
        folder = rig.sandbox.directory / ".sandbox"
        for path in folder.rglob("*.json"):
            text = path.read_text()
            etag = rig.sandbox.object_metadata("bucket", rig.key).etag
            path.write_text(text.replace(etag, "0" * 32 + "-3"))

    rig.sandbox.add_fault("empty-etag,op=complete")
    # The responses of S3 and OSS have a checksum, which verifies the object without HeadObject.
    assert rig.code(observer=when_completed(damage)) == (65 if rig.provider == "obs" else 0)


@pytest.fixture
def obs(tmp_path: Path) -> Iterator[Rig]:
    """A bucket of OBS 2.0, which requires parts of 5 MB, and returns that only on Complete."""
    source = tmp_path / "bigfile"
    source.write_bytes(bytes(2 * FIVE_MIB) + b"the end" * 1000)
    with Sandbox(limits={"min_part": FIVE_MIB}) as store:
        yield Rig(store, source, part_size=FIVE_MIB // 4)


def test_parts_too_small_for_this_bucket_are_sent_again_as_larger_parts(obs: Rig) -> None:
    """EntityTooSmall: with the same upload id, and the object is correct."""
    obs.run()
    assert len(obs.requests("initiate")) == 1
    assert obs.is_stored()
    assert obs.open_ids() == []


def test_a_part_that_another_client_replaced_is_sent_again(rig: Rig) -> None:
    """InvalidPart: the parts are listed, and only the replaced part is sent."""

    def replace_part(event: events.Event) -> None:
        if isinstance(event, events.PartStored) and event.number == 3:
            (upload_id,) = rig.open_ids()
            upload = Upload(Target(rig.provider, rig.sandbox.endpoint, "bucket", rig.key), upload_id)
            with another_client(rig) as store:
                store.upload_part(upload, 2, bytes_body(bytes(rig.part_size or 0)[1:] + b"!"))

    rig.run(observer=replace_part)
    assert rig.requests("part") == [1, 2, 3, 2, 2]
    assert rig.is_stored()


def test_invalid_part_order_is_retried_after_listing(rig: Rig) -> None:
    """InvalidPartOrder once: no part is lost or sent again."""
    rig.sandbox.add_fault("error=400:InvalidPartOrder,op=complete")
    rig.run()
    assert rig.requests("part") == [1, 2, 3]
    assert rig.is_stored()

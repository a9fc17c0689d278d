"""The steps of an upload from Python, as the vendors' page of uploadPart lists them."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from obsup.api import abort_upload, complete_upload, initiate_upload, upload_part
from obsup.dialects.registry import DIALECTS
from obsup.engine.job.target_settings import ConnectOptions
from obsup.errors import DataMismatch, SourceUnreadable, UploadGone, WrongUsage
from obsup.model import Credentials, ObjectOptions
from obsup.sandbox.sandbox import Sandbox
from tests.support.matrix import every_dialect

MakeFile = Callable[..., Path]


@pytest.fixture
def dialect() -> str:
    """Of the tests that do not say otherwise."""
    return "obs"


@pytest.fixture
def store(dialect: str) -> Iterator[Sandbox]:
    """A sandbox with small parts."""
    vendor = "obs" if dialect.startswith("obs") else "s3"
    with Sandbox(aws_vendor=vendor) as running:
        yield running


@pytest.fixture
def place(store: Sandbox, dialect: str) -> dict[str, Any]:
    """Where the store is and who asks: the arguments that every step takes."""
    one = DIALECTS[dialect]
    return {
        "connecting": ConnectOptions(
            endpoint=store.endpoint, provider=one.provider, signature=one.signature, region="eu-1"
        ),
        "credentials": Credentials(store.access_key, store.secret_key),
    }


@pytest.mark.parametrize("dialect", every_dialect())
def test_a_file_goes_window_by_window(
    dialect: str, store: Sandbox, place: dict[str, Any], make_file: MakeFile
) -> None:
    """The vendors' example: offset and partSize by hand, ETags kept, and the object proved."""
    size = DIALECTS[dialect].limits.min_part
    source = make_file(2 * size + 5)
    upload_id = initiate_upload("bucket/key", **place)
    etags = {}
    for number in (1, 2, 3):
        stored = upload_part(
            source,
            "bucket/key",
            number,
            upload_id=upload_id,
            offset=(number - 1) * size,
            part_size=size,
            **place,
        )
        assert (stored.status, bool(stored.request_id)) == (200, True)
        etags[number] = stored.etag
    result = complete_upload("bucket/key", upload_id=upload_id, etags=etags, size=2 * size + 5, **place)
    assert (result.parts, result.size, result.upload_id) == (3, 2 * size + 5, upload_id)
    assert store.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert store.uploads() == []


def test_an_object_is_read_part_by_part_and_not_a_byte_further(store: Sandbox, place: dict[str, Any]) -> None:
    """Left open with ``close=False``: the next part begins where this one ended. The first part is plain bytes."""
    content = bytes(range(256)) * 1600
    stream = io.BytesIO(content[150_000:])
    more = {"upload_id": initiate_upload("bucket/key", **place), **place}
    upload_part(content[:150_000], "bucket/key", 1, **more)
    upload_part(stream, "bucket/key", 2, part_size=150_000, close=False, **more)
    assert stream.tell() == 150_000
    upload_part(stream, "bucket/key", 3, part_size=150_000, **more)
    assert stream.closed
    with pytest.raises(DataMismatch, match="409600"):
        complete_upload("bucket/key", size=1, **more)
    complete_upload("bucket/key", parts=3, **more)
    assert store.object_path("bucket", "key").read_bytes() == content


def test_an_object_is_closed_whatever_happens(store: Sandbox, place: dict[str, Any]) -> None:
    """autoClose; and what cannot be read says so."""
    stream = io.BytesIO(b"x")
    with pytest.raises(UploadGone):
        upload_part(stream, "bucket/key", 1, upload_id="unknown", part_size=1, **place)
    assert stream.closed
    with pytest.raises(SourceUnreadable):
        upload_part(stream, "bucket/key", 1, upload_id="unknown", part_size=1, **place)


def test_md5_that_is_said_is_the_one_that_is_sent_or_nothing_is(
    store: Sandbox, place: dict[str, Any]
) -> None:
    """``md5`` of the vendors: Base64 of the 16 bytes. ``isAttachMd5`` computes it."""
    upload_id = initiate_upload("bucket/key", **place)
    begun_at = len(store.requests)
    md5 = base64.b64encode(hashlib.md5(b"the part").digest()).decode()
    with pytest.raises(DataMismatch, match=md5):
        upload_part(b"the part!", "bucket/key", 1, upload_id=upload_id, md5=md5, **place)
    assert len(store.requests) == begun_at
    upload_part(b"the part", "bucket/key", 1, upload_id=upload_id, md5=md5, **place)
    upload_part(b"the part", "bucket/key", 1, upload_id=upload_id, content_md5=True, **place)
    sent = [dict(one.headers).get("Content-MD5") for one in store.requests[begun_at:]]
    assert sent == [md5, md5]


@pytest.mark.parametrize("wrong", [{}, {"part_size": 5, "offset": 0}, {"part_size": 5, "parts": 2}])
def test_an_object_needs_a_part_size_and_no_offset(
    store: Sandbox, place: dict[str, Any], wrong: dict[str, Any]
) -> None:
    """Its size is not known, and it stands where it stands."""
    with pytest.raises(WrongUsage, match="part_size"):
        upload_part(io.BytesIO(b"x"), "bucket/key", 1, upload_id="x", **wrong, **place)
    assert store.requests == []


def test_answer_of_a_part_has_what_the_vendors_table_lists(store: Sandbox, place: dict[str, Any]) -> None:
    """etag, sseKms and sseKmsKey; of a part that is refused the error has status, code and ids."""
    options = ObjectOptions(sse="kms", sse_kms_key_id="key-1")
    upload_id = initiate_upload("bucket/key", options=options, **place)
    stored = upload_part(b"x", "bucket/key", 1, upload_id=upload_id, **place)
    assert (stored.sse_kms, stored.sse_kms_key, len(stored.etag)) == ("kms", "key-1", 32)
    with pytest.raises(UploadGone) as caught:
        upload_part(b"x", "bucket/key", 1, upload_id="unknown", **place)
    refusal = caught.value.refusal
    assert refusal is not None
    assert (refusal.status, refusal.code) == (404, "NoSuchUpload")
    assert refusal.message
    assert refusal.request_id
    assert refusal.host_id


def test_abort_gives_up_and_may_be_said_again(store: Sandbox, place: dict[str, Any]) -> None:
    upload_id = initiate_upload("bucket/key", **place)
    for _ in range(2):
        abort_upload("bucket/key", upload_id=upload_id, **place)
    assert store.uploads() == []


def test_a_gap_is_not_completed(store: Sandbox, place: dict[str, Any]) -> None:
    """And the upload stays as it is."""
    upload_id = initiate_upload("bucket/key", **place)
    upload_part(b"x", "bucket/key", 2, upload_id=upload_id, **place)
    with pytest.raises(DataMismatch):
        complete_upload("bucket/key", upload_id=upload_id, **place)
    assert len(store.uploads()) == 1

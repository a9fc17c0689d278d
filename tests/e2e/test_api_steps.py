"""The single steps of an upload in Python, as on the vendors' page of uploadPart."""

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
from obsup.errors import Busy, DataMismatch, SourceUnreadable, UploadGone, WrongUsage
from obsup.local.state.lock import UploadLock
from obsup.model import Credentials, ObjectOptions, Target
from obsup.sandbox.sandbox import Sandbox
from tests.support.matrix import every_dialect

MakeFile = Callable[..., Path]


@pytest.fixture
def dialect() -> str:
    """The dialect of tests without a parameter."""
    return "obs"


@pytest.fixture
def store(dialect: str) -> Iterator[Sandbox]:
    """A sandbox with small parts."""
    vendor = "obs" if dialect.startswith("obs") else "s3"
    with Sandbox(aws_vendor=vendor) as running:
        yield running


@pytest.fixture
def where(store: Sandbox, dialect: str) -> dict[str, Any]:
    """The arguments of every step: the store and the credentials."""
    selected = DIALECTS[dialect]
    return {
        "connecting": ConnectOptions(
            endpoint=store.endpoint, provider=selected.provider, signature=selected.signature, region="eu-1"
        ),
        "credentials": Credentials(store.access_key, store.secret_key),
    }


@pytest.mark.parametrize("dialect", every_dialect())
def test_a_file_is_sent_window_by_window(
    dialect: str, store: Sandbox, where: dict[str, Any], make_file: MakeFile
) -> None:
    """The vendors' example: explicit offset and partSize, and a list of ETags."""
    size = DIALECTS[dialect].limits.min_part
    source = make_file(2 * size + 5)
    upload_id = initiate_upload("bucket/key", **where)
    etags = {}
    for number in (1, 2, 3):
        stored = upload_part(
            source,
            "bucket/key",
            number,
            upload_id=upload_id,
            offset=(number - 1) * size,
            part_size=size,
            **where,
        )
        assert (stored.status, bool(stored.request_id)) == (200, True)
        etags[number] = stored.etag
    result = complete_upload("bucket/key", upload_id=upload_id, etags=etags, size=2 * size + 5, **where)
    assert (result.parts, result.size, result.upload_id) == (3, 2 * size + 5, upload_id)
    assert store.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert store.uploads() == []


def test_an_open_object_is_read_part_by_part(store: Sandbox, where: dict[str, Any]) -> None:
    """With ``close=False`` the next part starts where this one ended. The first part is bytes."""
    content = bytes(range(256)) * 1600
    stream = io.BytesIO(content[150_000:])
    more = {"upload_id": initiate_upload("bucket/key", **where), **where}
    upload_part(content[:150_000], "bucket/key", 1, **more)
    upload_part(stream, "bucket/key", 2, part_size=150_000, close=False, **more)
    assert stream.tell() == 150_000
    upload_part(stream, "bucket/key", 3, part_size=150_000, **more)
    assert stream.closed
    with pytest.raises(DataMismatch, match="409600"):
        complete_upload("bucket/key", size=1, **more)
    complete_upload("bucket/key", parts=3, **more)
    assert store.object_path("bucket", "key").read_bytes() == content


def test_an_open_object_is_closed_after_a_failure(store: Sandbox, where: dict[str, Any]) -> None:
    """The vendors' autoClose. A closed object is unreadable."""
    stream = io.BytesIO(b"x")
    with pytest.raises(UploadGone):
        upload_part(stream, "bucket/key", 1, upload_id="unknown", part_size=1, **where)
    assert stream.closed
    with pytest.raises(SourceUnreadable):
        upload_part(stream, "bucket/key", 1, upload_id="unknown", part_size=1, **where)


def test_a_part_with_another_md5_than_given_is_not_sent(store: Sandbox, where: dict[str, Any]) -> None:
    """The vendors' ``md5`` is Base64 of the 16 bytes; ``isAttachMd5`` computes it."""
    upload_id = initiate_upload("bucket/key", **where)
    first = len(store.requests)
    md5 = base64.b64encode(hashlib.md5(b"the part").digest()).decode()
    with pytest.raises(DataMismatch, match=md5):
        upload_part(b"the part!", "bucket/key", 1, upload_id=upload_id, md5=md5, **where)
    assert len(store.requests) == first
    upload_part(b"the part", "bucket/key", 1, upload_id=upload_id, md5=md5, **where)
    upload_part(b"the part", "bucket/key", 1, upload_id=upload_id, content_md5=True, **where)
    sent = [dict(request.headers).get("Content-MD5") for request in store.requests[first:]]
    assert sent == [md5, md5]


@pytest.mark.parametrize("wrong", [{}, {"part_size": 5, "offset": 0}, {"part_size": 5, "parts": 2}])
def test_an_open_object_needs_a_part_size_and_no_offset(
    store: Sandbox, where: dict[str, Any], wrong: dict[str, Any]
) -> None:
    """Its size is unknown, and it is read from its current position."""
    with pytest.raises(WrongUsage, match="part_size"):
        upload_part(io.BytesIO(b"x"), "bucket/key", 1, upload_id="x", **wrong, **where)
    assert store.requests == []


def test_the_response_of_a_part_has_the_fields_of_the_vendors_table(
    store: Sandbox, where: dict[str, Any]
) -> None:
    """etag, sseKms and sseKmsKey; the error of a rejected part has status, code and ids."""
    options = ObjectOptions(sse="kms", sse_kms_key_id="key-1")
    upload_id = initiate_upload("bucket/key", options=options, **where)
    stored = upload_part(b"x", "bucket/key", 1, upload_id=upload_id, **where)
    assert (stored.sse_kms, stored.sse_kms_key, len(stored.etag)) == ("kms", "key-1", 32)
    with pytest.raises(UploadGone) as caught:
        upload_part(b"x", "bucket/key", 1, upload_id="unknown", **where)
    refusal = caught.value.refusal
    assert refusal is not None
    assert (refusal.status, refusal.code) == (404, "NoSuchUpload")
    assert refusal.message
    assert refusal.request_id
    assert refusal.host_id


def test_abort_can_be_repeated(store: Sandbox, where: dict[str, Any]) -> None:
    upload_id = initiate_upload("bucket/key", **where)
    for _ in range(2):
        abort_upload("bucket/key", upload_id=upload_id, **where)
    assert store.uploads() == []


def test_an_upload_with_a_missing_part_is_not_completed(store: Sandbox, where: dict[str, Any]) -> None:
    """The upload is unchanged."""
    upload_id = initiate_upload("bucket/key", **where)
    upload_part(b"x", "bucket/key", 2, upload_id=upload_id, **where)
    with pytest.raises(DataMismatch):
        complete_upload("bucket/key", upload_id=upload_id, **where)
    assert len(store.uploads()) == 1


def test_the_checks_apply_to_a_completed_upload(
    store: Sandbox, where: dict[str, Any], make_file: MakeFile, tmp_path: Path
) -> None:
    """With the right source the object is returned again; with another one, or another count, it is refused."""
    source, other = make_file(300_000), make_file(300_000, "other", seed=2)
    upload_id = initiate_upload("bucket/key", **where)
    for number in (1, 2):
        upload_part(source, "bucket/key", number, upload_id=upload_id, parts=2, **where)
    etag = complete_upload("bucket/key", upload_id=upload_id, source=source, **where).etag
    for wrong in ({"source": other}, {"parts": 3}, {"size": 5}, {"etags": {1: "0" * 32}}):
        with pytest.raises(DataMismatch):
            complete_upload("bucket/key", upload_id=upload_id, **wrong, **where)
    assert complete_upload("bucket/key", upload_id=upload_id, source=source, parts=2, **where).etag == etag


def test_two_threads_do_not_send_the_same_part_at_once(store: Sandbox, where: dict[str, Any]) -> None:
    """The second one waits or fails, as its caller asks."""
    upload_id = initiate_upload("bucket/key", **where)
    target = Target(where["connecting"].provider, store.endpoint, "bucket", "key")
    with UploadLock(target, part=(upload_id, 1)), pytest.raises(Busy):
        upload_part(b"x", "bucket/key", 1, upload_id=upload_id, **where)
    assert upload_part(b"x", "bucket/key", 1, upload_id=upload_id, **where).etag

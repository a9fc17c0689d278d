"""Every operation with every unusual key in every dialect: the stored key is the requested key."""

from __future__ import annotations

import pytest

from obsup.dialects.objects.object_headers import copy_source_value
from obsup.engine.proof.object_proof import composite_etag
from obsup.errors import NetworkError, StoreError
from obsup.model import Upload
from tests.contract.subjects import KEYS, LONGEST_KEY, SUBJECTS, Subject
from tests.contract.test_operations import md5_of
from tests.doubles.memory_store import MemoryStore
from tests.support.stores import bytes_body

CONTENT = b"the content"


def complete(subject: Subject, upload: Upload, etag: str) -> None:
    """Complete *upload*; servers that return invalid XML for the longest key complete it anyway."""
    if subject.server.returns_xml_for_long_keys or upload.target.key != LONGEST_KEY:
        subject.store.complete(upload, [(1, etag)], {})
        return
    with pytest.raises(NetworkError, match="not valid XML"):
        subject.store.complete(upload, [(1, etag)], {})


def run_all_operations(subject: Subject, key: str) -> list[str]:
    """Run every operation with *key*; return the names of those that succeeded. Raises StoreError."""
    store, target = subject.store, subject.target(key)
    done: list[str] = []
    upload = Upload(target, store.initiate(target, {}).upload_id)
    done.append("initiate")
    try:
        etag = store.upload_part(upload, 1, bytes_body(CONTENT)).etag
        assert [(part.number, part.etag) for part in store.list_parts(upload)] == [(1, etag)]
        keys = [
            listed_upload.key
            for listed_upload in store.list_uploads(target.bucket, key)
            if listed_upload.upload_id == upload.upload_id
        ]
        assert keys == ([] if key in subject.server.unlisted else [key])
        done.append("part")
        complete(subject, upload, etag)
        done.append("complete")
    except StoreError:
        store.abort(upload)
        raise
    info = store.head_object(target)
    assert info is not None
    if key in subject.server.dropped:
        assert info.size == 0
        return done
    assert info.size == len(CONTENT)
    if subject.dialect.etag_is_composite:
        composite = composite_etag([md5_of(CONTENT)])
        assert info.etag == (composite if subject.server.composes_etags else md5_of(CONTENT))
    copy_object(subject, key)
    done.append("copy")
    store.put_object(target, bytes_body(b"short"), {})
    info = store.head_object(target)
    assert info is not None
    assert info.size == 5
    done.append("put")
    second = Upload(target, store.initiate(target, {}).upload_id)
    store.abort(second)
    assert second.upload_id not in {
        listed_upload.upload_id for listed_upload in store.list_uploads(target.bucket, key)
    }
    done.append("abort")
    return done


def copy_object(subject: Subject, key: str) -> None:
    """Copy the object *key* to a part of an upload with a simple key."""
    upload = subject.begin("a plain key")
    try:
        if subject.server.copies:
            source = copy_source_value(subject.server.bucket, key)
            assert subject.store.copy_part(upload, 1, source).etag.lower() == md5_of(CONTENT)
    finally:
        subject.store.abort(upload)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ascii(key)[1:-1][:12])
@pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
def test_key_survives_every_operation(subject: Subject, key: str) -> None:
    """The key is accepted unchanged, or rejected by the operation and with the status known of this server."""
    if key in subject.server.keys:
        operation, status = subject.server.keys[key]
        with pytest.raises(StoreError) as caught:
            run_all_operations(subject, key)
        operations = {
            "initiate": "InitiateMultipartUpload",
            "complete": "CompleteMultipartUpload",
            "copy": "UploadPartCopy",
        }
        assert (caught.value.refusal.operation, caught.value.refusal.status) == (
            operations[operation],
            status,
        )
        assert not isinstance(subject.store, MemoryStore)
        return
    every = ["initiate", "part", "complete", "copy", "put", "abort"]
    assert run_all_operations(subject, key) == (every[:3] if key in subject.server.dropped else every)


@pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
def test_keys_that_look_alike_are_different_objects(subject: Subject) -> None:
    """``a/../b`` is not ``b``, ``%41`` is not ``A``, ``a+b`` is not ``a b``, and composed é is not decomposed é."""
    similar_keys = [
        "A",
        "%41",
        "a+b",
        "a b",
        "a%20b",
        "b",
        "a/../b",
        "./b",
        "x/y",
        "x//y",
        "/x/y",
        "\u00e9",
        "e\u0301",
    ]
    similar_keys = [f"similar-{key}" if not key.startswith("/") else key for key in similar_keys]
    accepted_keys = [key for key in similar_keys if is_accepted(subject, key)]
    for number, key in enumerate(accepted_keys, start=1):
        subject.store.put_object(subject.target(key), bytes_body(bytes(number)), {})
    infos = [subject.store.head_object(subject.target(key)) for key in accepted_keys]
    last = {object_name(subject, key): number for number, key in enumerate(accepted_keys, start=1)}
    assert [info.size if info is not None else None for info in infos] == [
        last[object_name(subject, key)] for key in accepted_keys
    ]
    assert len(accepted_keys) >= len(similar_keys) - 4


def object_name(subject: Subject, key: str) -> str:
    """Return the key under which the server stores the object *key*."""
    return key.replace("//", "/") if subject.server.merges_slashes else key


def is_accepted(subject: Subject, key: str) -> bool:
    """Store an empty object; return whether the server accepts *key*."""
    try:
        subject.store.put_object(subject.target(key), bytes_body(b""), {})
    except StoreError as exc:
        assert exc.refusal.status == 400  # noqa: PT017 - rejection or success
        assert subject.server.keys
        return False
    return True

"""Every operation with every awkward key, in every dialect: the key that comes out is the key that went in."""

from __future__ import annotations

import pytest

from obsup.dialects.object_headers import copy_source_value
from obsup.engine.proof.object_proof import composite_etag
from obsup.errors import NetworkError, StoreError
from obsup.model import Upload
from tests.contract.subjects import KEYS, LONG, SUBJECTS, UNSPEAKABLE, Subject
from tests.contract.test_promises import md5_of
from tests.doubles.memory_store import MemoryStore
from tests.support.stores import bytes_body

CONTENT = b"the content"


def complete(subject: Subject, upload: Upload, etag: str) -> None:
    """Complete; where the answer of this server to so long a key is no XML, the object tells."""
    if subject.server.answers_to_long_keys or upload.target.key != LONG:
        subject.store.complete(upload, [(1, etag)], {})
        return
    with pytest.raises(NetworkError, match="not valid XML"):
        subject.store.complete(upload, [(1, etag)], {})


def walk(subject: Subject, key: str) -> list[str]:
    """Do everything with *key*, and return the verbs that passed. Raises StoreError."""
    store, target = subject.store, subject.target(key)
    passed: list[str] = []
    upload = Upload(target, store.initiate(target, {}))
    passed.append("initiate")
    try:
        etag = store.upload_part(upload, 1, bytes_body(CONTENT)).etag
        assert [(part.number, part.etag) for part in store.list_parts(upload)] == [(1, etag)]
        listed = [
            one.key for one in store.list_uploads(target.bucket, key) if one.upload_id == upload.upload_id
        ]
        assert listed == ([key] if is_listed(subject, key) else [])
        passed.append("part")
        complete(subject, upload, etag)
        passed.append("complete")
    except StoreError:
        store.abort(upload)
        raise
    info = store.head_object(target)
    assert info is not None
    assert info.size == len(CONTENT)
    if subject.dialect.etag_is_composite:
        composite = composite_etag([md5_of(CONTENT)])
        assert info.etag == (composite if subject.server.composes_etags else md5_of(CONTENT))
    copy_it(subject, key)
    passed.append("copy")
    store.put_object(target, bytes_body(b"short"), {})
    info = store.head_object(target)
    assert info is not None
    assert info.size == 5
    passed.append("put")
    second = Upload(target, store.initiate(target, {}))
    store.abort(second)
    assert second.upload_id not in {one.upload_id for one in store.list_uploads(target.bucket, key)}
    passed.append("abort")
    return passed


def is_listed(subject: Subject, key: str) -> bool:
    """Whether the list of uploads names such a key; where it names another, the upload is not taken for ours."""
    if key in UNSPEAKABLE:
        return subject.server.lists_unspeakable_keys
    return subject.server.lists_folders or not key.endswith("/")


def copy_it(subject: Subject, key: str) -> None:
    """Copy the object under *key* into a part of a plain one."""
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
    """Or is refused by the verb, and with the status, that this server is known for; never changed in silence."""
    if key in subject.server.keys:
        verb, status = subject.server.keys[key]
        with pytest.raises(StoreError) as caught:
            walk(subject, key)
        operations = {
            "initiate": "InitiateMultipartUpload",
            "complete": "CompleteMultipartUpload",
            "copy": "UploadPartCopy",
        }
        assert (caught.value.refusal.operation, caught.value.refusal.status) == (operations[verb], status)
        assert not isinstance(subject.store, MemoryStore)
        return
    assert walk(subject, key) == ["initiate", "part", "complete", "copy", "put", "abort"]


@pytest.mark.parametrize("subject", SUBJECTS, indirect=True)
def test_keys_that_look_alike_are_different_objects(subject: Subject) -> None:
    """``a/../b`` is not ``b``, ``%41`` not ``A``, ``a+b`` not ``a b``, nor é another é: each has its own content."""
    alike = [
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
    alike = [f"alike-{key}" if not key.startswith("/") else key for key in alike]
    kept = [key for key in alike if is_kept(subject, key)]
    for number, key in enumerate(kept, start=1):
        subject.store.put_object(subject.target(key), bytes_body(bytes(number)), {})
    infos = [subject.store.head_object(subject.target(key)) for key in kept]
    assert [info.size if info is not None else None for info in infos] == list(range(1, len(kept) + 1))
    assert len(kept) >= len(alike) - 4


def is_kept(subject: Subject, key: str) -> bool:
    """Whether the server takes such a key at all."""
    try:
        subject.store.put_object(subject.target(key), bytes_body(b""), {})
    except StoreError as refused:
        assert refused.refusal.status == 400  # noqa: PT017 - refusal or success
        assert subject.server.keys
        return False
    return True

"""What was asked for is in place, or nothing is: --no-overwrite and encryption, with real servers.

Most of them ignore the condition of the request, and some ignore the encryption.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from obsup.api import complete_upload, initiate_upload, upload_part
from obsup.dates import parse_date
from obsup.errors import BadConfiguration, NotFinished, ObjectExists, Refused, Unsupported
from obsup.events import Event, PartStored, ignore
from obsup.model import Upload
from obsup.units import MIB
from tests.contract.subjects import SUBJECTS, Subject, make_bucket
from tests.contract.test_operations import md5_of, open_ids, refusal_of
from tests.contract.test_uploads import upload, where
from tests.support.stores import bytes_body


def _servers() -> Iterator[Any]:
    """Yield each server with one signature: the dialects differ in no option. Those without a lane are slow."""
    for one in SUBJECTS:
        if str(one.id).endswith(("s3-v4-path", "account")) and not str(one.id).startswith(
            ("memory", "sandbox")
        ):
            slow = [pytest.mark.slow] if str(one.id).startswith(("rclone", "moto")) else []
            yield pytest.param(*one.values, id=one.id, marks=[*one.marks, *slow])


every_server = pytest.mark.parametrize("subject", [*_servers()], indirect=True)
FOREIGN = b"of somebody else"
SMALL, LARGE = b"new", bytes(6 * MIB)
CUSTOMER_KEY = bytes(range(32))
OPTIONS: dict[str, tuple[dict[str, Any], str, str]] = {
    "metadata": ({"metadata": {"colour": "blue"}}, "x-amz-meta-colour", "blue"),
    "content type": ({"content_type": "text/x-own"}, "content-type", "text/x-own"),
    "cache control": ({"cache_control": "no-cache"}, "cache-control", "no-cache"),
    "storage class": ({"storage_class": "STANDARD_IA"}, "x-amz-storage-class", "STANDARD_IA"),
    "tags": ({"tags": {"owner": "us"}}, "x-amz-tagging-count", "1"),
}


def in_steps(
    subject: Subject,
    source: Path,
    key: str,
    *,
    observer: Callable[[Event], None] = ignore,
    **options: Any,
) -> None:
    """Initiate, send and complete an upload of one part."""
    target, store = f"{subject.server.bucket}/{key}", where(subject)
    initiate_upload(target, source=source, parts=1, **store, **options)
    upload_part(source, target, 1, **store, observer=observer)
    complete_upload(target, source=source, **store)


def send(way: str, subject: Subject, folder: Path, key: str, **options: Any) -> None:
    """Upload some bytes in the *way* named."""
    source = folder / "source"
    source.write_bytes(SMALL if way in ("one request", "steps") else LARGE)
    if way == "steps":
        in_steps(subject, source, key, **options)
    elif way == "stream":
        upload(subject, BytesIO(LARGE), key, **options)
    else:
        upload(subject, source, key, **options)


def put_foreign(subject: Subject, key: str) -> None:
    """Store an object of somebody else."""
    subject.store.put_object(subject.target(key), bytes_body(FOREIGN), {})


def assert_foreign_is_kept(subject: Subject, key: str) -> None:
    """The object is that of somebody else."""
    info = subject.store.head_object(subject.target(key))
    assert info is not None
    assert info.etag == md5_of(FOREIGN)


@every_server
@pytest.mark.parametrize("way", ["one request", "parts", "stream", "steps"])
def test_an_existing_object_is_not_overwritten(subject: Subject, tmp_path: Path, key: str, way: str) -> None:
    """Nothing is sent, and no upload stays open."""
    put_foreign(subject, key)
    with pytest.raises(ObjectExists):
        send(way, subject, tmp_path, key, no_overwrite=True)
    assert_foreign_is_kept(subject, key)
    assert open_ids(subject, key) == set()


@every_server
@pytest.mark.parametrize("way", ["parts", "stream", "steps"])
def test_an_object_that_appears_during_the_upload_is_not_overwritten(
    subject: Subject, tmp_path: Path, key: str, way: str
) -> None:
    """The error names the command that aborts the upload, which stays open."""

    def appear(event: Event) -> None:
        if isinstance(event, PartStored) and event.number == 1:
            put_foreign(subject, key)

    with pytest.raises(ObjectExists) as caught:
        send(way, subject, tmp_path, key, no_overwrite=True, observer=appear)
    assert_foreign_is_kept(subject, key)
    [upload_id] = open_ids(subject, key)
    step = caught.value.next_step
    assert step is not None
    assert "abort" in f"{step.text} {step.command}"
    assert upload_id in f"{step.text} {step.command}"
    subject.store.abort(Upload(subject.target(key), upload_id))


@every_server
@pytest.mark.parametrize("kind", ["AES256", "SSE-C"])
@pytest.mark.parametrize("way", ["one request", "parts"])
def test_an_object_is_encrypted_or_not_stored(
    subject: Subject, tmp_path: Path, key: str, way: str, kind: str
) -> None:
    """A store that ignores the request, or cannot encrypt, receives no byte of the source."""
    options = {"sse": kind} if kind == "AES256" else {"sse_c_key": CUSTOMER_KEY}
    if kind not in subject.server.encrypts:
        with pytest.raises((Refused, Unsupported, NotFinished)) as caught:
            send(way, subject, tmp_path, key, **options)
        assert subject.store.head_object(subject.target(key)) is None
        # SeaweedFS without a master key initiates an upload, and returns 500.
        assert open_ids(subject, key) == set() or caught.type is NotFinished
        return
    send(way, subject, tmp_path, key, **options)
    if kind == "SSE-C":
        assert refusal_of(lambda: subject.store.head_object(subject.target(key))).status == 400
    else:
        info = subject.store.head_object(subject.target(key))
        assert info is not None
        assert info.sse == kind


@every_server
@pytest.mark.parametrize("way", ["one request", "parts"])
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_shown_or_the_strict_upload_fails(
    subject: Subject, tmp_path: Path, key: str, option: str, way: str
) -> None:
    """Metadata work everywhere; some stores drop or reject other options. Ceph gives no reason for unknown classes."""
    keywords, header, value = OPTIONS[option]
    try:
        send(way, subject, tmp_path, key, strict_options=True, **keywords)
    except (BadConfiguration, Refused, Unsupported):
        assert option != "metadata"
        return
    info = subject.store.head_object(subject.target(key))
    assert info is not None
    assert info.headers.get(header) == value


@every_server
@pytest.mark.parametrize("way", ["one request", "parts", "steps"])
def test_an_object_is_locked_or_the_upload_fails(
    subject: Subject, tmp_path: Path, key: str, way: str
) -> None:
    """In a bucket with Object Lock the store shows the lock; any other upload with a lock fails."""
    lock: dict[str, Any] = {"retention": "governance", "retain_until": "1d", "legal_hold": True}
    with pytest.raises((Refused, Unsupported, NotFinished)):
        send(way, subject, tmp_path, key, **lock)
    server = replace(subject.server, bucket=f"{subject.server.bucket}-locked")
    make_bucket(server, subject.dialect.name, locks=True)
    locking = replace(subject, server=server)
    if not server.locks:
        with pytest.raises((Refused, Unsupported, NotFinished)):
            send(way, locking, tmp_path, key, **lock)
        return
    send(way, locking, tmp_path, key, **lock)
    info = subject.store.head_object(locking.target(key))
    assert info is not None
    assert info.lock is not None
    assert (info.lock.retention, info.lock.legal_hold) == ("governance", True)
    assert 86000 < (parse_date(info.lock.retain_until or "") or 0) - time.time() <= 86400

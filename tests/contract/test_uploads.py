"""obsup against every server: complete, interrupted and resumed uploads."""

from __future__ import annotations

import random
import uuid
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from obsup.api import upload_file
from obsup.engine.job.stop import StopSignal
from obsup.engine.job.target_settings import ConnectOptions
from obsup.engine.proof.object_proof import composite_etag
from obsup.errors import NotFinished, UploadGone
from obsup.events import Event, PartStored, Requested
from obsup.model import Upload
from obsup.store.http.settings import ConnectionSettings
from obsup.units import MIB
from tests.contract.subjects import LONGEST_KEY, SUBJECTS, Server, Subject, make_bucket
from tests.contract.test_operations import md5_of
from tests.doubles.slow_network import SlowNetwork, Stall

# The tests with the sandbox are in tests/e2e, and the in-memory store has no network.
every_server = pytest.mark.parametrize(
    "subject",
    [parameter for parameter in SUBJECTS if not str(parameter.id).startswith(("memory", "sandbox"))],
    indirect=True,
)
SIZE = 11 * MIB + 5


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of three parts of at most 5 MiB."""
    path = tmp_path / "source"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


def where(
    subject: Subject, *, retry_for_s: float = 1.0, network: ConnectionSettings | None = None
) -> dict[str, Any]:
    """Return the keywords of the API that reach the store of *subject*."""
    dialect, server = subject.dialect, subject.server
    connecting = ConnectOptions(
        endpoint=server.endpoint,
        provider=dialect.provider,
        signature=dialect.signature,
        region=server.region or None,
        addressing=subject.addressing,
        retry_for_s=retry_for_s,
        network=network or ConnectionSettings(),
    )
    return {"connecting": connecting, "credentials": server.credentials}


def upload(
    subject: Subject,
    source: Path | BytesIO,
    key: str,
    *,
    retry_for_s: float = 1.0,
    network: ConnectionSettings | None = None,
    **options: Any,
) -> str:
    """Upload *source*; return how the object was verified."""
    options = {"part_size": 5 * MIB, "jobs": 1, **options}
    store = where(subject, retry_for_s=retry_for_s, network=network)
    return upload_file(source, f"{subject.server.bucket}/{key}", **store, **options).verified


def etag_of(source: Path, server: Server) -> str:
    """Return the expected ETag of the object."""
    content = source.read_bytes()
    parts = [content[offset : offset + 5 * MIB] for offset in range(0, SIZE, 5 * MIB)]
    return composite_etag([md5_of(part) for part in parts]) if server.composes_etags else md5_of(content)


@every_server
def test_interrupted_upload_is_resumed(subject: Subject, source: Path, key: str) -> None:
    """Stored parts are not sent again, and the object is verified."""
    stop = StopSignal()
    stored: list[int] = []

    def observe(event: Event) -> None:
        if isinstance(event, PartStored):
            stored.append(event.number)
            stop.request_stop(NotFinished("enough for now"))

    with pytest.raises(NotFinished):
        upload(subject, source, key, observer=observe, stop=stop)
    assert len(stored) < 3
    upload(subject, source, key, observer=observe)
    assert sorted(stored) == [1, 2, 3]
    info = subject.store.head_object(subject.target(key))
    assert info is not None
    assert info.size == SIZE
    if subject.dialect.etag_is_composite:
        assert info.etag == etag_of(source, subject.server)


@every_server
def test_a_bucket_without_uploads_has_an_empty_list(subject: Subject) -> None:
    """rclone returns 404 NoSuchUpload until the first upload of the bucket."""
    bucket = f"bucket-{uuid.uuid4().hex}"
    make_bucket(replace(subject.server, bucket=bucket), subject.dialect.name)
    assert list(subject.store.list_uploads(bucket, "")) == []


@every_server
def test_longest_key_is_uploaded_or_not_finished(subject: Subject, source: Path) -> None:
    """Ceph returns invalid XML to Complete, so the object is checked. rclone cannot store it and returns 500."""
    longest = LONGEST_KEY[: subject.dialect.limits.max_key]
    if longest in subject.server.keys:
        with pytest.raises((NotFinished, UploadGone)):
            upload(subject, source, longest)
        assert subject.store.head_object(subject.target(longest)) is None
        return
    assert upload(subject, source, longest) in ("etag", "crc64", "crc64nvme", "upload-id")


@every_server
def test_part_whose_response_was_lost_is_stored_once(subject: Subject, source: Path, key: str) -> None:
    """Every server accepts the same bytes again; rclone rejects other bytes for an existing part."""
    address = urlsplit(subject.server.endpoint)
    with SlowNetwork(address.port or 80, stall=Stall("partNumber=2", "down")) as relay:
        relayed = replace(
            subject.server, endpoint=relay.endpoint.replace("127.0.0.1", address.hostname or "")
        )
        events: list[Event] = []
        upload(
            replace(subject, server=relayed),
            source,
            key,
            observer=events.append,
            retry_for_s=60.0,
            network=ConnectionSettings(stall_timeout_s=1.0),
        )
    statuses = [event.status for event in events if isinstance(event, Requested) and event.part_number == 2]
    assert statuses == [None, 200]
    info = subject.store.head_object(subject.target(key))
    assert info is not None
    assert info.size == SIZE


@every_server
def test_upload_that_is_gone_at_complete_starts_over(subject: Subject, source: Path, key: str) -> None:
    """At once, whatever Complete returns: Ceph always returns 500, others return 404."""
    events: list[Event] = []

    def observe(event: Event) -> None:
        events.append(event)
        stored = [earlier.number for earlier in events if isinstance(earlier, PartStored)]
        if isinstance(event, PartStored) and len(stored) == 3:
            (opened,) = subject.store.list_uploads(subject.server.bucket, key)
            subject.store.abort(Upload(subject.target(key), opened.upload_id))

    upload(subject, source, key, observer=observe, retry_for_s=600.0)
    operations = [event.operation for event in events if isinstance(event, Requested)]
    assert operations.count("InitiateMultipartUpload") == 2
    assert operations.count("CompleteMultipartUpload") == 2
    info = subject.store.head_object(subject.target(key))
    assert info is not None
    assert info.size == SIZE

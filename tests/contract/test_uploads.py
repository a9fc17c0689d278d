"""obsup itself against every server there is: whole uploads, cut off and gone on with."""

from __future__ import annotations

import random
from dataclasses import replace
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
from tests.contract.subjects import LONG, SUBJECTS, Server, Subject
from tests.contract.test_promises import md5_of
from tests.doubles.slow_network import SlowNetwork, Stall

# The sandbox's turn is in tests/e2e; memory has no line.
every_server = pytest.mark.parametrize(
    "subject", [one for one in SUBJECTS if not str(one.id).startswith(("memory", "sandbox"))], indirect=True
)
SIZE = 11 * MIB + 5


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three parts of 5 MiB, the last of them smaller."""
    path = tmp_path / "source"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


def upload(
    subject: Subject,
    source: Path,
    key: str,
    *,
    retry_for_s: float = 1.0,
    network: ConnectionSettings | None = None,
    **more: Any,
) -> str:
    """Upload, and return what proved the object."""
    dialect, server = subject.dialect, subject.server
    result = upload_file(
        source,
        f"{server.bucket}/{key}",
        connecting=ConnectOptions(
            endpoint=server.endpoint,
            provider=dialect.provider,
            signature=dialect.signature,
            region=server.region or None,
            addressing=subject.addressing,
            retry_for_s=retry_for_s,
            network=network or ConnectionSettings(),
        ),
        credentials=server.credentials,
        part_size=5 * MIB,
        jobs=1,
        **more,
    )
    return result.verified


def etag_of(source: Path, server: Server) -> str:
    """The ETag that the object must have."""
    content = source.read_bytes()
    parts = [content[at : at + 5 * MIB] for at in range(0, SIZE, 5 * MIB)]
    return composite_etag([md5_of(part) for part in parts]) if server.composes_etags else md5_of(content)


@every_server
def test_interrupted_upload_is_resumed(subject: Subject, source: Path, key: str) -> None:
    """What was stored is not sent again, and the object is proved."""
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
def test_longest_key_is_uploaded_or_not_finished(subject: Subject, source: Path) -> None:
    """Ceph answers Complete with rubbish: the object tells. rclone cannot hold it, and says 500 for it."""
    longest = LONG[: subject.dialect.limits.max_key]
    if longest in subject.server.keys:
        with pytest.raises((NotFinished, UploadGone)):
            upload(subject, source, longest)
        assert subject.store.head_object(subject.target(longest)) is None
        return
    assert upload(subject, source, longest) in ("etag", "crc64", "upload-id")


@every_server
def test_part_whose_response_was_lost_is_stored_once(subject: Subject, source: Path, key: str) -> None:
    """The same bytes come again, and every server takes them: rclone refuses others for a part that it holds."""
    address = urlsplit(subject.server.endpoint)
    with SlowNetwork(address.port or 80, stall=Stall("partNumber=2", "down")) as relay:
        near = replace(subject.server, endpoint=relay.endpoint.replace("127.0.0.1", address.hostname or ""))
        seen: list[Event] = []
        upload(
            replace(subject, server=near),
            source,
            key,
            observer=seen.append,
            network=ConnectionSettings(stall_timeout_s=1.0),
        )
    statuses = [one.status for one in seen if isinstance(one, Requested) and one.part_number == 2]
    assert statuses == [None, 200]
    info = subject.store.head_object(subject.target(key))
    assert info is not None
    assert info.size == SIZE


@every_server
def test_upload_that_is_gone_at_complete_starts_over(subject: Subject, source: Path, key: str) -> None:
    """At once, whatever the word for it: Ceph answers Complete with 500 for ever, others with 404."""
    seen: list[Event] = []

    def observe(event: Event) -> None:
        seen.append(event)
        stored = [one.number for one in seen if isinstance(one, PartStored)]
        if isinstance(event, PartStored) and len(stored) == 3:
            (opened,) = subject.store.list_uploads(subject.server.bucket, key)
            subject.store.abort(Upload(subject.target(key), opened.upload_id))

    upload(subject, source, key, observer=observe, retry_for_s=600.0)
    asked = [one.operation for one in seen if isinstance(one, Requested)]
    assert asked.count("InitiateMultipartUpload") == 2
    assert asked.count("CompleteMultipartUpload") == 2
    info = subject.store.head_object(subject.target(key))
    assert info is not None
    assert info.size == SIZE

"""obsup itself against every server there is: whole uploads, cut off and gone on with."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from obsup import upload_file
from obsup.api import Connecting
from obsup.engine.proof import composite_etag
from obsup.engine.stop import StopSignal
from obsup.errors import NotFinished
from obsup.events import Event, PartStored
from obsup.units import MIB
from tests.contract.subjects import LONG, SUBJECTS, Server, Subject
from tests.contract.test_promises import md5_of

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


def upload(subject: Subject, source: Path, key: str, **more: Any) -> str:
    """Upload, and return what proved the object."""
    dialect, server = subject.dialect, subject.server
    result = upload_file(
        source,
        f"{server.bucket}/{key}",
        connecting=Connecting(
            endpoint=server.endpoint,
            provider=dialect.provider,
            signature=dialect.signature,
            region=server.region or None,
            addressing=subject.addressing,
            retry_for_s=1.0,
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
def test_upload_that_was_cut_off_is_gone_on_with(subject: Subject, source: Path, key: str) -> None:
    """What was stored is not sent again, and the object is proved."""
    stop = StopSignal()
    stored: list[int] = []

    def observe(event: Event) -> None:
        if isinstance(event, PartStored):
            stored.append(event.number)
            stop.ask(NotFinished("enough for now"))

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
def test_key_of_1024_bytes_is_uploaded_or_not_finished(subject: Subject, source: Path) -> None:
    """Ceph answers Complete with rubbish: the object tells. rclone cannot hold it, and says 500 for it."""
    if LONG in subject.server.keys:
        with pytest.raises(NotFinished):
            upload(subject, source, LONG)
        assert subject.store.head_object(subject.target(LONG)) is None
        return
    assert upload(subject, source, LONG) in ("etag", "crc64", "upload-id")

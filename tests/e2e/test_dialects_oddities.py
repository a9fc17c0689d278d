"""What real servers do that no page says: each is survived, and the object is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from obsup.api import upload_file
from obsup.engine.job.result import Result
from obsup.engine.job.target_settings import ConnectOptions
from obsup.errors import Denied, Refused, UploadGone
from obsup.events import Event, Requested, Retried
from obsup.model import Credentials
from obsup.sandbox.sandbox import Sandbox
from obsup.store.http.settings import ConnectionSettings
from tests.doubles.certificates import Authority

MakeFile = Callable[..., Path]


@pytest.fixture
def store() -> Iterator[Sandbox]:
    """A sandbox whose access key has a colon in it, as Swift's have."""
    with Sandbox(access_key="account:user") as running:
        yield running


def upload(store: Sandbox, source: Path, seen: list[Event] | None = None, *, provider: str = "obs") -> Result:
    result = upload_file(
        source,
        "bucket/key",
        connecting=ConnectOptions(
            endpoint=store.endpoint, provider=provider, signature="v2" if provider == "s3" else "auto"
        ),
        credentials=Credentials(store.access_key, store.secret_key),
        part_size=100 * 1024 if provider == "obs" else None,
        jobs=1,
        observer=(seen if seen is not None else []).append,
    )
    assert store.object_path("bucket", "key").read_bytes() == source.read_bytes()
    return result


@pytest.mark.parametrize("provider", ["obs", "s3"])
def test_access_key_with_a_colon(store: Sandbox, make_file: MakeFile, provider: str) -> None:
    """The signature stands after the last colon."""
    assert upload(store, make_file(300_000), provider=provider).verified == "etag"


def test_empty_etag_of_complete_is_looked_up(store: Sandbox, make_file: MakeFile) -> None:
    """Ceph: <ETag></ETag>. The object itself tells."""
    store.add_fault("empty-etag")
    assert upload(store, make_file(300_000)).verified == "etag"
    assert store.requests[-1].operation == "head"


def test_truncated_response_to_complete_is_resolved(store: Sandbox, make_file: MakeFile) -> None:
    """Ceph answers a key of 1,024 bytes with rubbish behind it."""
    store.add_fault("truncate-answer,op=complete")
    assert upload(store, make_file(300_000)).verified == "etag"
    assert [one.operation for one in store.requests].count("complete") == 1


def test_connection_closed_with_a_403_in_the_middle_of_a_body(store: Sandbox, make_file: MakeFile) -> None:
    """The refusal is heard, not a broken line; keys are asked for again, and the part is sent again."""
    seen: list[Event] = []
    store.add_fault("error=403:AccessDenied,op=part,part=2,early=1")
    upload(store, make_file(300_000), seen)
    assert [one.reason for one in seen if isinstance(one, Retried) and "403 AccessDenied" in one.reason]


def test_connection_closed_with_a_403_in_the_middle_of_a_body_over_tls(
    make_file: MakeFile, tmp_path: Path
) -> None:
    """In each of sixteen parts the refusal is what is heard, and not a connection that was reset."""
    authority = Authority(tmp_path)
    seen: list[Event] = []
    with Sandbox(tls=authority.files("127.0.0.1")) as store:
        store.add_fault("error=403:AccessDenied,op=part,early=1,times=always")
        for _ in range(16):
            with pytest.raises(Denied):
                upload_file(
                    make_file(8 * 2**20),
                    "bucket/key",
                    connecting=ConnectOptions(
                        endpoint=store.endpoint,
                        provider="obs",
                        backoff_s=0.001,
                        network=ConnectionSettings(ca_bundle=str(authority.bundle)),
                    ),
                    credentials=Credentials(store.access_key, store.secret_key),
                    parts=1,
                    observer=seen.append,
                )
    tried = [one for one in seen if isinstance(one, Requested) and one.operation == "UploadPart"]
    assert {(one.status, one.failure) for one in tried} == {(403, "")}
    assert len(tried) == 32


def test_idle_connections_that_are_closed_cost_nothing(store: Sandbox, make_file: MakeFile) -> None:
    """Many stores close them after 5 s; here it is at once."""
    store.add_fault("close-idle=0.01")
    upload(store, make_file(300_000))
    assert store.uploads() == []


def test_upload_that_the_store_lost_starts_over(store: Sandbox, make_file: MakeFile) -> None:
    """rclone and gofakes3 forget the whole upload after one bad part: once that is mended, twice it is said."""
    source = make_file(300_000)
    store.add_fault("forget-upload,op=part,part=2")
    assert upload(store, source).verified == "etag"
    store.add_fault("forget-upload,op=part,part=2,times=always")
    with pytest.raises(UploadGone) as caught:
        upload(store, source)
    assert caught.value.refusal is not None
    assert caught.value.refusal.code == "NoSuchUpload"
    store.clear_faults()
    assert upload(store, source).verified == "etag"
    assert store.uploads() == []


def test_no_such_key_for_an_unknown_upload_is_a_forgotten_upload(store: Sandbox, make_file: MakeFile) -> None:
    """Other stores have another word for it."""
    source = make_file(300_000)
    store.add_fault("error=404:NoSuchKey,op=part,part=2,times=2")
    with pytest.raises(UploadGone):
        upload(store, source)
    assert upload(store, source).verified == "etag"


@pytest.mark.parametrize("when", ["", ",early=1"])
def test_part_that_is_refused_because_it_is_there_already_is_found(
    store: Sandbox, make_file: MakeFile, when: str
) -> None:
    """The answer to the first try was lost; the list shows size and digest, whatever was read of the second."""
    store.add_fault("drop-answer,op=part,part=2")
    store.add_fault(f"error=501:NotImplemented{when},op=part,part=2,after=1,times=always")
    assert upload(store, make_file(300_000)).verified == "etag"
    assert [one.operation for one in store.requests].count("parts") == 1


def test_part_that_is_there_with_other_bytes_is_not_taken_for_ours(
    store: Sandbox, make_file: MakeFile
) -> None:
    """A bit flipped on the way of the first try: the refusal of the second stands, and all is kept."""
    source = make_file(300_000)
    store.add_fault("flip-bit,op=part,part=2")
    store.add_fault("drop-answer,op=part,part=2")
    store.add_fault("error=501:NotImplemented,op=part,part=2,after=1,times=always")
    with pytest.raises(Refused) as caught:
        upload(store, source)
    assert caught.value.refusal is not None
    assert caught.value.refusal.status == 501
    assert len(store.uploads()) == 1
    store.clear_faults()
    assert upload(store, source).verified == "etag"


@pytest.mark.parametrize("answer", ["500:InternalError", "409:ConditionalRequestConflict"])
def test_complete_of_an_unknown_upload_starts_over_at_once(
    store: Sandbox, make_file: MakeFile, answer: str
) -> None:
    """Ceph says InternalError for ever, AWS a conflict: the list of parts tells that there is nothing to wait for."""
    store.add_fault("forget-upload,op=complete")
    store.add_fault(f"error={answer},op=complete,times=2")
    assert upload(store, make_file(300_000)).verified == "etag"
    asked = [one.operation for one in store.requests if one.operation in ("initiate", "complete")]
    # The second time it is of an upload that is there: that one is tried again.
    assert asked == ["initiate", "complete", "initiate", "complete", "complete"]


def test_without_permission_to_list_parts_it_waits_for_complete(store: Sandbox, make_file: MakeFile) -> None:
    """A 500 is tried again, and 403 of the list is no news of the upload."""
    store.add_fault("error=500:InternalError,op=complete")
    store.add_fault("error=403:AccessDenied,op=parts,times=always")
    assert upload(store, make_file(300_000)).verified == "etag"

"""Undocumented behaviour of real servers: uploads succeed anyway, and the object is correct."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from obsup.api import upload_file
from obsup.dialects.registry import DIALECTS
from obsup.engine.job.result import Result
from obsup.engine.job.target_settings import ConnectOptions
from obsup.errors import Denied, Refused, UploadGone
from obsup.events import Event, Requested, Retried
from obsup.model import Credentials
from obsup.sandbox.sandbox import Sandbox
from obsup.store.http.settings import ConnectionSettings
from tests.doubles.certificates import Authority
from tests.support.batch import count_operations, make_files
from tests.support.shell import Shell
from tests.support.stores import bytes_body, open_store, target

MakeFile = Callable[..., Path]


@pytest.fixture
def store() -> Iterator[Sandbox]:
    """A sandbox whose access key contains a colon, as with Swift."""
    with Sandbox(access_key="account:user") as running:
        yield running


def upload(
    store: Sandbox, source: Path, events: list[Event] | None = None, *, provider: str = "obs"
) -> Result:
    result = upload_file(
        source,
        "bucket/key",
        connecting=ConnectOptions(
            endpoint=store.endpoint, provider=provider, signature="v2" if provider == "s3" else "auto"
        ),
        credentials=Credentials(store.access_key, store.secret_key),
        part_size=100 * 1024 if provider == "obs" else None,
        jobs=1,
        observer=(events if events is not None else []).append,
    )
    assert store.object_path("bucket", "key").read_bytes() == source.read_bytes()
    return result


@pytest.mark.parametrize("provider", ["obs", "s3"])
def test_access_key_with_a_colon(store: Sandbox, make_file: MakeFile, provider: str) -> None:
    """The signature follows the last colon."""
    verified = upload(store, make_file(300_000), provider=provider).verified
    assert verified == ("crc64nvme" if provider == "s3" else "etag")


def test_empty_etag_of_complete_is_looked_up(store: Sandbox, make_file: MakeFile) -> None:
    """Ceph returns <ETag></ETag>: a HEAD request gets the ETag."""
    store.add_fault("empty-etag")
    assert upload(store, make_file(300_000)).verified == "etag"
    assert store.requests[-1].operation == "head"


def test_truncated_response_to_complete_is_resolved(store: Sandbox, make_file: MakeFile) -> None:
    """Ceph returns invalid XML for a key of 1,024 bytes."""
    store.add_fault("truncate-answer,op=complete")
    assert upload(store, make_file(300_000)).verified == "etag"
    assert [record.operation for record in store.requests].count("complete") == 1


def test_connection_closed_with_a_403_in_the_middle_of_a_body(store: Sandbox, make_file: MakeFile) -> None:
    """The error is read before the connection fails; the credentials are reloaded, and the part is sent again."""
    events: list[Event] = []
    store.add_fault("error=403:AccessDenied,op=part,part=2,early=1")
    upload(store, make_file(300_000), events)
    assert [
        event.reason for event in events if isinstance(event, Retried) and "403 AccessDenied" in event.reason
    ]


def test_connection_closed_with_a_403_in_the_middle_of_a_body_over_tls(
    make_file: MakeFile, tmp_path: Path
) -> None:
    """In sixteen uploads obsup always reads the error response and never reports a connection reset."""
    authority = Authority(tmp_path)
    events: list[Event] = []
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
                    observer=events.append,
                )
    attempts = [event for event in events if isinstance(event, Requested) and event.operation == "UploadPart"]
    assert {(event.status, event.failure) for event in attempts} == {(403, "")}
    assert len(attempts) == 32


def test_idle_connections_that_are_closed_cause_no_failure(store: Sandbox, make_file: MakeFile) -> None:
    """Many stores close idle connections after 5 s; this one closes them at once."""
    store.add_fault("close-idle=0.01")
    upload(store, make_file(300_000))
    assert store.uploads() == []


def test_upload_that_the_store_lost_starts_over(store: Sandbox, make_file: MakeFile) -> None:
    """rclone and gofakes3 discard the upload after one bad part: obsup starts over once, then fails."""
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


def test_no_such_key_means_that_the_upload_is_gone(store: Sandbox, make_file: MakeFile) -> None:
    """Some stores return NoSuchKey instead of NoSuchUpload."""
    source = make_file(300_000)
    store.add_fault("error=404:NoSuchKey,op=part,part=2,times=2")
    with pytest.raises(UploadGone):
        upload(store, source)
    assert upload(store, source).verified == "etag"


@pytest.mark.parametrize(
    "failure", ["501:NotImplemented", "501:NotImplemented,early=1", "409:PartAlreadyExist"]
)
def test_part_that_is_rejected_because_it_exists_is_found(
    store: Sandbox, make_file: MakeFile, failure: str
) -> None:
    """The first response was lost; the list has size and digest, even if the second body was not read to its end.

    OSS rejects a part that exists if another client initiated the upload with the parameter sequential.
    """
    store.add_fault("drop-answer,op=part,part=2")
    store.add_fault(f"error={failure},op=part,part=2,after=1,times=always")
    assert upload(store, make_file(300_000)).verified == "etag"
    assert [record.operation for record in store.requests].count("parts") == 1


def test_existing_part_with_other_bytes_is_not_accepted(store: Sandbox, make_file: MakeFile) -> None:
    """The first attempt was stored with a flipped bit: the rejection of the second is reported, and the upload kept."""
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


@pytest.mark.parametrize("failure", ["500:InternalError", "409:ConditionalRequestConflict"])
def test_complete_of_an_unknown_upload_starts_over_at_once(
    store: Sandbox, make_file: MakeFile, failure: str
) -> None:
    """Ceph always returns InternalError, AWS a conflict: ListParts shows that the upload is gone."""
    store.add_fault("forget-upload,op=complete")
    store.add_fault(f"error={failure},op=complete,times=2")
    assert upload(store, make_file(300_000)).verified == "etag"
    operations = [
        record.operation for record in store.requests if record.operation in ("initiate", "complete")
    ]
    # The second upload exists, so its Complete is retried.
    assert operations == ["initiate", "complete", "initiate", "complete", "complete"]


def test_complete_is_retried_without_permission_to_list_parts(store: Sandbox, make_file: MakeFile) -> None:
    """A 500 is retried; a 403 of ListParts does not mean that the upload is gone."""
    store.add_fault("error=500:InternalError,op=complete")
    store.add_fault("error=403:AccessDenied,op=parts,times=always")
    assert upload(store, make_file(300_000)).verified == "etag"


@pytest.mark.parametrize("name", DIALECTS)
def test_keys_that_are_not_encoded_are_not_decoded(name: str) -> None:
    """A store that neither encodes keys nor declares it: ``a+b`` is not ``a b``, and ``50%25`` is not ``50%``."""
    keys = ["50%25", "a+b"]
    with (
        Sandbox(aws_vendor="obs" if name.startswith("obs") else "s3") as store,
        open_store(
            name, store.endpoint, keys=Credentials(store.access_key, store.secret_key), region="here"
        ) as opened,
    ):
        store.add_fault("plain-keys")
        for key in keys:
            opened.put_object(target(store.endpoint, key), bytes_body(b"x"), {})
            opened.initiate(target(store.endpoint, key), {})
        assert [one.key for one in opened.list_objects("bucket", "", "").objects] == keys
        assert [one.key for one in opened.list_uploads("bucket", "")] == keys
        assert [one.key for one in opened.list_uploads("bucket", "a+b")] == ["a+b"]


def test_a_batch_finds_such_keys_again(sandbox: Sandbox, shell: Shell) -> None:
    """The second run compares the keys of the bucket with the files, and sends nothing."""
    sandbox.add_fault("plain-keys")
    make_files(shell, "tree/a+b", "tree/50%25")
    for _run in range(2):
        assert shell.run("upload", "-r", "tree/", "bucket/p/").code == 0
    assert count_operations(sandbox)["put"] == 2

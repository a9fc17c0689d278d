"""A part sent from another host: the file that is seen there, and what is told when it is not the one."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from obsup import events
from obsup.dialects.addressing import locate
from obsup.dialects.registry import find_dialect
from obsup.engine.job.connection import StoreSettings
from obsup.engine.proof.part_proof import DigestChoice
from obsup.engine.send import remote_task as remote_module
from obsup.engine.send.part import PartToSend
from obsup.engine.send.remote_task import MAX_EVENTS, PartTask, run_part_task
from obsup.errors import Denied, Refused, SourceChanged, SourceUnreadable, StoreError
from obsup.local.source.file import PartBody, check_same_file, stat_source
from obsup.model import Credentials, Part, Receipt, Target, Upload
from obsup.sandbox.sandbox import Sandbox
from obsup.store.answers.server_clock import ServerClock
from obsup.store.http.endpoint_route import Location, Route
from obsup.store.http.settings import Response
from obsup.store.presigned import PartSigner, PresignedPart, PresignedStore
from tests.support.stores import GivenKeys

MakeFile = Callable[..., Path]


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    """Forget the connections of this process before and after, as a new worker has none."""
    remote_module._connect_once.cache_clear()
    yield
    remote_module._connect_once.cache_clear()


@pytest.fixture
def job(sandbox: Sandbox, make_file: MakeFile) -> PartToSend:
    """The one part of a file."""
    path = make_file(1000)
    target = Target("obs", sandbox.endpoint, "bucket", "key")
    digests = DigestChoice(md5=True, crc64=False)
    return PartToSend(Upload(target, "none"), Part(1, 0, 1000), str(path), stat_source(path), digests)


def settings(sandbox: Sandbox) -> StoreSettings:
    """Return the settings of the sandbox."""
    return StoreSettings("obs", sandbox.endpoint, addressing="path", retry_for_s=1.0)


def initiated(sandbox: Sandbox, job: PartToSend, keys: Credentials) -> PartToSend:
    """Return *job* for an upload that is open."""
    from obsup.engine.job.connection import connect

    store = connect(settings(sandbox), sleep=lambda _: True, credentials=GivenKeys(keys)).store
    return replace(job, upload=Upload(job.upload.target, store.initiate(job.upload.target, {})))


def sign(sandbox: Sandbox, job: PartToSend) -> PresignedPart:
    """Return the signed URL of *job*'s part."""
    where, keys = settings(sandbox), Credentials(sandbox.access_key, sandbox.secret_key)
    route = Route(Location(where.endpoint, where.region, where.addressing))
    signer = PartSigner(where.dialect, route, credentials=GivenKeys(keys), clock=ServerClock())
    return signer.sign(job.upload, 1)


def test_hosts_number_their_devices_differently(job: PartToSend) -> None:
    """Under another device number size and modification time have to do: no network file system keeps more."""
    seen, path = job.stat, Path(job.path)
    check_same_file(path, seen, seen)
    check_same_file(path, replace(seen, device=seen.device + 1, inode=7, ctime_ns=7), seen)


@pytest.mark.parametrize("field", ["size", "mtime_ns"])
def test_another_file_elsewhere_is_seen(job: PartToSend, field: str) -> None:
    """Whatever its device number says."""
    for device in (job.stat.device, job.stat.device + 1):
        planned = replace(job.stat, device=device, **{field: getattr(job.stat, field) + 1})
        with pytest.raises(SourceChanged, match="is not the file that the upload began with"):
            check_same_file(Path(job.path), planned, job.stat)


@pytest.mark.parametrize("field", ["inode", "ctime_ns"])
def test_on_one_device_inode_and_change_time_count_too(job: PartToSend, field: str) -> None:
    """A copy with the old times is another file."""
    with pytest.raises(SourceChanged):
        check_same_file(Path(job.path), replace(job.stat, **{field: 7}), job.stat)


def test_a_worker_that_sees_another_file_sends_nothing_and_says_where(
    sandbox: Sandbox, job: PartToSend
) -> None:
    """The error names the host."""
    other = replace(job, stat=replace(job.stat, size=999))
    failure = run_part_task(PartTask(other, settings(sandbox))).failure
    assert isinstance(failure, SourceChanged)
    assert "size 999 → 1000; an object must not mix" in failure.why
    assert failure.why.endswith(f"(on host {socket.gethostname()})")
    assert sandbox.requests == []


def test_a_worker_that_sees_no_file_says_where(sandbox: Sandbox, job: PartToSend) -> None:
    """And what storage must be like."""
    failure = run_part_task(PartTask(replace(job, path="/none"), settings(sandbox))).failure
    assert isinstance(failure, SourceUnreadable)
    assert f"on host {socket.gethostname()}" in failure.why
    assert "under the same path" in str(failure.next_step)


def test_a_worker_without_keys_says_where(sandbox: Sandbox, job: PartToSend) -> None:
    """No secret travels: it has to have its own."""
    failure = run_part_task(PartTask(job, settings(sandbox))).failure
    assert isinstance(failure, Denied)
    assert "on host" in failure.why


def test_a_worker_with_a_signed_url_needs_no_keys(sandbox: Sandbox, job: PartToSend) -> None:
    """Its one part, and that alone; what goes wrong carries neither cause nor URL."""
    job = initiated(sandbox, job, Credentials(sandbox.access_key, sandbox.secret_key))
    where, signed = settings(sandbox), sign(sandbox, job)
    account = run_part_task(PartTask(job, where, signed))
    assert isinstance(account.result, Receipt)
    assert account.result.size == 1000
    (said,) = account.recorded
    assert isinstance(said, events.Requested)
    assert (said.operation, said.part_number, said.status) == ("UploadPart", 1, 200)
    assert said.request_id
    assert said.host == socket.gethostname()
    os.utime(job.path, ns=(job.stat.mtime_ns, job.stat.mtime_ns))
    job = replace(job, stat=stat_source(Path(job.path)))
    sandbox.add_fault("error=307:TemporaryRedirect,op=part")
    account = run_part_task(PartTask(job, where, signed))
    assert account.failure is not None
    assert "307" in str(account.failure)
    assert account.failure.__cause__ is None
    assert account.failure.__context__ is None
    signature = dict(signed.query)["Signature"]
    assert signature is not None
    assert signature not in f"{account!r}"
    broken = replace(signed, query=signed.query[:-1])
    assert isinstance(run_part_task(PartTask(job, where, broken)).failure, Denied)


def test_a_signed_url_that_is_answered_without_an_etag_is_tried_again(
    sandbox: Sandbox, job: PartToSend
) -> None:
    """A page of the hotel's network took nothing: only an answer that names an ETag is a receipt."""
    job = initiated(sandbox, job, Credentials(sandbox.access_key, sandbox.secret_key))
    sandbox.add_fault("garble-answer,op=part")
    patient = replace(settings(sandbox), retry_for_s=60, backoff_s=0.01)
    account = run_part_task(PartTask(job, patient, sign(sandbox, job)))
    assert isinstance(account.result, Receipt)
    assert account.result.etag == account.result.md5
    assert [type(event).__name__ for event in account.recorded] == ["Requested", "Retried", "Requested"]


def test_a_signed_url_that_is_never_answered_with_an_etag_fails(sandbox: Sandbox, job: PartToSend) -> None:
    """Whatever stands behind it, the part is not stored."""
    job = initiated(sandbox, job, Credentials(sandbox.access_key, sandbox.secret_key))
    sandbox.add_fault("garble-answer,op=part,times=always")
    impatient = replace(settings(sandbox), retry_for_s=0.0)
    account = run_part_task(PartTask(job, impatient, sign(sandbox, job)))
    assert account.result is None
    assert isinstance(account.failure, Refused)
    assert "names no ETag" in account.failure.what


def test_what_failed_on_the_way_is_told_too(
    sandbox: Sandbox, job: PartToSend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request and each retry, in order, of this part alone."""
    monkeypatch.setenv("AccessKeyID", sandbox.access_key)
    monkeypatch.setenv("SecretAccessKey", sandbox.secret_key)
    job = initiated(sandbox, job, Credentials(sandbox.access_key, sandbox.secret_key))
    sandbox.add_fault("error=503:SlowDown,op=part")
    account = run_part_task(PartTask(job, replace(settings(sandbox), retry_for_s=60, backoff_s=0.01)))
    assert account.failure is None
    kinds = [type(event).__name__ for event in account.recorded]
    assert kinds == ["Requested", "Retried", "Requested"]
    again = pickle.loads(pickle.dumps(account))
    assert (again.result, again.recorded) == (account.result, account.recorded)


def test_what_goes_on_for_ever_is_told_in_short(
    sandbox: Sandbox, job: PartToSend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a worker hands back stays small; how it ended is always there."""
    monkeypatch.setenv("AccessKeyID", sandbox.access_key)
    monkeypatch.setenv("SecretAccessKey", sandbox.secret_key)
    job = initiated(sandbox, job, Credentials(sandbox.access_key, sandbox.secret_key))
    sandbox.add_fault(f"error=500:InternalError,op=part,times={MAX_EVENTS}")
    account = run_part_task(PartTask(job, replace(settings(sandbox), retry_for_s=60, backoff_s=0.0)))
    assert isinstance(account.result, Receipt)
    assert len(account.recorded) == MAX_EVENTS
    last = account.recorded[-1]
    assert isinstance(last, events.Requested)
    assert last.status == 200


class Redirecting:
    """A line whose other end repeats the URL in a redirect."""

    def exchange(self, *_words: object, **_more: object) -> Response:
        """Answer at once."""
        return Response(307, {"location": "https://elsewhere/bucket/key?Signature=SECRET"}, b"")


def test_a_redirect_does_not_tell_the_signed_url(sandbox: Sandbox, job: PartToSend) -> None:
    """What a store refuses travels to the driver, and is printed there."""
    presigned = PresignedPart(locate(sandbox.endpoint, "bucket", "key", "path"), (("Signature", "SECRET"),))
    store = PresignedStore(find_dialect("obs"), Redirecting(), presigned)  # type: ignore[arg-type]
    with pytest.raises(StoreError) as caught:
        store.upload_part(job.upload, 1, lambda: PartBody(Path(job.path), job.part))
    assert "SECRET" not in repr(caught.value.refusal)

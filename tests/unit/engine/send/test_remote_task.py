"""Tasks of a remote worker: it checks that it sees the same file, and reports what it did."""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from obsup import events
from obsup.engine.job.connection import StoreSettings, connect
from obsup.engine.proof.part_proof import DigestChoice
from obsup.engine.send import remote_task as remote_module
from obsup.engine.send.part import PartToSend
from obsup.engine.send.remote_task import MAX_EVENTS, PartTask, run_part_task
from obsup.errors import DataMismatch, Denied, ObsupError, Refused, SourceChanged, SourceUnreadable
from obsup.local.source.file import PartBody
from obsup.local.source.identity import check_same_file, stat_source
from obsup.model import Credentials, Part, Receipt, Target, Upload
from obsup.rate import constant_rate
from obsup.sandbox.sandbox import Sandbox
from obsup.store.answers.server_clock import ServerClock
from obsup.store.endpoint_route import Location, Route
from obsup.store.http.settings import Response
from obsup.store.presigned import PresignedRequest, UrlSigner
from tests.support.stores import GivenKeys

MakeFile = Callable[..., Path]


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    """Close the connections of this process before and after each test: a new worker has none."""
    remote_module._connect_once.cache_clear()
    yield
    remote_module._connect_once.cache_clear()


@pytest.fixture
def part(sandbox: Sandbox, make_file: MakeFile) -> PartToSend:
    """The only part of a file."""
    path = make_file(1000)
    target = Target("obs", sandbox.endpoint, "bucket", "key")
    digests = DigestChoice(md5=True, crc64=False)
    return PartToSend(Upload(target, "none"), Part(1, 0, 1000), str(path), stat_source(path), digests)


def settings(sandbox: Sandbox) -> StoreSettings:
    """Return the settings of the sandbox."""
    return StoreSettings("obs", sandbox.endpoint, addressing="path", retry_for_s=1.0)


def initiated(sandbox: Sandbox, part: PartToSend, keys: Credentials) -> PartToSend:
    """Return *part* as a part of an open upload."""
    store = connect(settings(sandbox), sleep=lambda _: True, credentials=GivenKeys(keys)).store
    return replace(part, upload=Upload(part.upload.target, store.initiate(part.upload.target, {}).upload_id))


def sign(sandbox: Sandbox, part: PartToSend) -> PresignedRequest:
    """Return the signed URL of *part*."""
    store, keys = settings(sandbox), Credentials(sandbox.access_key, sandbox.secret_key)
    route = Route(Location(store.endpoint, store.region, store.addressing))
    signer = UrlSigner(store.dialect, route, credentials=GivenKeys(keys), clock=ServerClock())
    return signer.sign_part(part.upload, 1)


def test_device_numbers_may_differ_between_hosts(part: PartToSend) -> None:
    """Then only size and modification time are compared: network file systems keep no more."""
    seen, path = part.stat, Path(part.path)
    check_same_file(path, seen, seen)
    check_same_file(path, replace(seen, device=seen.device + 1, inode=7, ctime_ns=7), seen)


@pytest.mark.parametrize("field", ["size", "mtime_ns"])
def test_a_different_file_is_detected(part: PartToSend, field: str) -> None:
    """With the same device number, and with another."""
    for device in (part.stat.device, part.stat.device + 1):
        planned = replace(part.stat, device=device, **{field: getattr(part.stat, field) + 1})
        with pytest.raises(SourceChanged, match="is not the file that the upload began with"):
            check_same_file(Path(part.path), planned, part.stat)


@pytest.mark.parametrize("field", ["inode", "ctime_ns"])
def test_on_the_same_device_inode_and_change_time_are_compared_too(part: PartToSend, field: str) -> None:
    """A copy with the same modification time is a different file."""
    with pytest.raises(SourceChanged):
        check_same_file(Path(part.path), replace(part.stat, **{field: 7}), part.stat)


def test_a_worker_that_sees_a_different_file_sends_nothing(sandbox: Sandbox, part: PartToSend) -> None:
    """The error names the host."""
    other = replace(part, stat=replace(part.stat, size=999))
    failure = run_part_task(PartTask(other, settings(sandbox))).failure
    assert isinstance(failure, SourceChanged)
    assert "size 999 → 1000; an object must not mix" in failure.why
    assert failure.why.endswith(f"(on host {socket.gethostname()})")
    assert sandbox.requests == []


def test_a_worker_that_sees_no_file_names_its_host(sandbox: Sandbox, part: PartToSend) -> None:
    """And the required storage."""
    failure = run_part_task(PartTask(replace(part, path="/none"), settings(sandbox))).failure
    assert isinstance(failure, SourceUnreadable)
    assert f"on host {socket.gethostname()}" in failure.why
    assert "under the same path" in str(failure.next_step)


def test_a_worker_follows_no_link_that_has_replaced_the_file(sandbox: Sandbox, part: PartToSend) -> None:
    """--links skip: its host may have another file of this size and time, which only the worker can read."""
    path = Path(part.path)
    path.rename(path.with_name("secret"))
    path.symlink_to("secret")
    failure = run_part_task(PartTask(replace(part, link_free=1), settings(sandbox))).failure
    assert isinstance(failure, SourceUnreadable)
    assert "without following a symbolic link" in failure.what
    assert sandbox.requests == []


def test_a_worker_without_credentials_names_its_host(sandbox: Sandbox, part: PartToSend) -> None:
    """No secret is sent to it: it needs its own."""
    failure = run_part_task(PartTask(part, settings(sandbox))).failure
    assert isinstance(failure, Denied)
    assert "on host" in failure.why


def test_a_worker_with_a_signed_url_needs_no_credentials(sandbox: Sandbox, part: PartToSend) -> None:
    """The URL is for this part only. A failure contains neither a cause nor the URL."""
    part = initiated(sandbox, part, Credentials(sandbox.access_key, sandbox.secret_key))
    store_settings, signed = settings(sandbox), sign(sandbox, part)
    report = run_part_task(PartTask(part, store_settings, signed))
    assert isinstance(report.result, Receipt)
    assert report.result.size == 1000
    (event,) = report.recorded
    assert isinstance(event, events.Requested)
    assert (event.operation, event.part_number, event.status) == ("UploadPart", 1, 200)
    assert event.request_id
    assert event.host == socket.gethostname()
    os.utime(part.path, ns=(part.stat.mtime_ns, part.stat.mtime_ns))
    part = replace(part, stat=stat_source(Path(part.path)))
    sandbox.add_fault("error=307:TemporaryRedirect,op=part")
    report = run_part_task(PartTask(part, store_settings, signed))
    assert report.failure is not None
    assert "307" in str(report.failure)
    assert report.failure.__cause__ is None
    assert report.failure.__context__ is None
    signature = dict(signed.query)["Signature"]
    assert signature is not None
    assert signature not in f"{report!r}"
    broken = replace(signed, query=signed.query[:-1])
    failure = run_part_task(PartTask(part, store_settings, broken)).failure
    assert isinstance(failure, Denied)
    assert "credentials from the host that signed the URL" in failure.why


def test_a_response_without_an_etag_to_a_signed_url_is_retried(sandbox: Sandbox, part: PartToSend) -> None:
    """The login page of a captive portal stores nothing: only a response with an ETag is a receipt."""
    part = initiated(sandbox, part, Credentials(sandbox.access_key, sandbox.secret_key))
    sandbox.add_fault("garble-answer,op=part")
    patient = replace(settings(sandbox), retry_for_s=60, backoff_s=0.01)
    report = run_part_task(PartTask(part, patient, sign(sandbox, part)))
    assert isinstance(report.result, Receipt)
    assert report.result.etag == report.result.md5
    assert [type(event).__name__ for event in report.recorded] == ["Requested", "Retried", "Requested"]


def test_a_signed_url_without_any_response_with_an_etag_fails(sandbox: Sandbox, part: PartToSend) -> None:
    """Whatever responds, the part is not stored."""
    part = initiated(sandbox, part, Credentials(sandbox.access_key, sandbox.secret_key))
    sandbox.add_fault("garble-answer,op=part,times=always")
    impatient = replace(settings(sandbox), retry_for_s=0.0)
    report = run_part_task(PartTask(part, impatient, sign(sandbox, part)))
    assert report.result is None
    assert isinstance(report.failure, Refused)
    assert "has no ETag" in report.failure.what


def test_the_report_contains_failed_requests_and_retries(
    sandbox: Sandbox, part: PartToSend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, and only those of this part."""
    monkeypatch.setenv("AccessKeyID", sandbox.access_key)
    monkeypatch.setenv("SecretAccessKey", sandbox.secret_key)
    part = initiated(sandbox, part, Credentials(sandbox.access_key, sandbox.secret_key))
    sandbox.add_fault("error=503:SlowDown,op=part")
    report = run_part_task(PartTask(part, replace(settings(sandbox), retry_for_s=60, backoff_s=0.01)))
    assert report.failure is None
    kinds = [type(event).__name__ for event in report.recorded]
    assert kinds == ["Requested", "Retried", "Requested"]
    again = pickle.loads(pickle.dumps(report))
    assert (again.result, again.recorded) == (report.result, report.recorded)


def test_the_report_of_many_retries_is_limited(
    sandbox: Sandbox, part: PartToSend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays small, and always contains the last event."""
    monkeypatch.setenv("AccessKeyID", sandbox.access_key)
    monkeypatch.setenv("SecretAccessKey", sandbox.secret_key)
    part = initiated(sandbox, part, Credentials(sandbox.access_key, sandbox.secret_key))
    sandbox.add_fault(f"error=500:InternalError,op=part,times={MAX_EVENTS}")
    report = run_part_task(PartTask(part, replace(settings(sandbox), retry_for_s=60, backoff_s=0.0)))
    assert isinstance(report.result, Receipt)
    assert len(report.recorded) == MAX_EVENTS
    last = report.recorded[-1]
    assert isinstance(last, events.Requested)
    assert last.status == 200


@pytest.mark.parametrize("times", ["1", "always"])
def test_a_presigned_part_that_arrives_changed_is_sent_again(
    sandbox: Sandbox, part: PartToSend, times: str
) -> None:
    """With the same URL: nothing is signed with Content-MD5. If it always changes, it is damaged data."""
    keys = Credentials(sandbox.access_key, sandbox.secret_key)
    part = initiated(sandbox, part, keys)
    sandbox.add_fault(f"flip-bit,op=part,times={times}")
    report = run_part_task(PartTask(part, settings(sandbox), sign(sandbox, part)))
    sent = [one.status for one in sandbox.requests if one.operation == "part"]
    if times == "1":
        assert (report.failure, sent) == (None, [200, 200])
        return
    assert isinstance(report.failure, DataMismatch)
    assert (report.failure.exit_code, sent) == (65, [200, 200, 200])
    assert report.failure.next_step is not None
    assert report.failure.next_step.drop == ("--presign",)


class RedirectingTransport:
    """A transport whose server repeats the URL in a redirect."""

    def proxy_of(self, _url: str) -> None:
        """Return no proxy."""

    def exchange(self, *_args: object, **_options: object) -> Response:
        """Return the redirect."""
        return Response(307, {"location": "https://elsewhere/bucket/key?Signature=SECRET"}, b"")


def test_a_redirect_does_not_expose_the_signed_url(sandbox: Sandbox, part: PartToSend) -> None:
    """The failure is sent to the driver and printed there."""
    transport: Any = RedirectingTransport()
    store = connect(
        settings(sandbox),
        sleep=lambda _: True,
        credentials=GivenKeys(Credentials("", "")),
        presigned=[sign(sandbox, part)],
        transport=transport,
    ).store
    with pytest.raises(ObsupError) as caught:
        store.upload_part(
            part.upload, 1, lambda: PartBody(Path(part.path), part.part, stat_source(Path(part.path)))
        )
    assert caught.value.refusal is not None
    assert "SECRET" not in repr(caught.value.refusal)


def test_the_tasks_of_a_thread_share_a_rate_limit() -> None:
    """A new one for each task would allow a burst at the beginning of each part."""
    first = remote_module.set_thread_limit(constant_rate(1000.0))
    second = remote_module.set_thread_limit(constant_rate(500.0))
    assert first is second
    assert second is not None
    assert second.rate == constant_rate(500.0)
    assert remote_module.set_thread_limit(None) is None

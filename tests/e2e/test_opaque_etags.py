"""Buckets that encrypt by default: no ETag is an MD5, and obsup does not know it in advance."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from obsup import Credentials, events, initiate_upload, upload_file
from obsup.engine.job.connection import connect
from obsup.engine.job.target_settings import ConnectOptions, resolve_target
from obsup.engine.plan.file_plan import FilePlan
from obsup.errors import DataMismatch, NotFinished, ObsupError, Refused
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import FileWindow
from obsup.local.source.identity import stat_source
from obsup.local.state.folders import state_folder
from obsup.model import Upload
from obsup.sandbox.sandbox import Sandbox
from obsup.store.interface import FixedCredentials
from tests.doubles.faulty_store import Crash
from tests.doubles.mutating_relay import Answer, MutatingRelay, Wire, framed
from tests.doubles.scripted_server import ReceivedRequest, Reply, ScriptedServer, response
from tests.doubles.trusting_store import TrustingStore
from tests.support.in_process import Inside
from tests.support.shell import Shell, variables_of
from tests.support.upload_rig import PART, Rig, die, when_completed

FIVE_MIB = 5 * 1024 * 1024  # the minimum part size of S3
VERIFICATIONS = {"obs": "upload-id", "s3": "token", "oss": "crc64"}


@pytest.fixture
def store() -> Iterator[Sandbox]:
    """A store without checksums whose buckets encrypt with KMS by default."""
    with Sandbox(encrypts=True, faults=["ignore-checksums"]) as running:
        yield running


@pytest.fixture(params=VERIFICATIONS)
def rig(request: pytest.FixtureRequest, store: Sandbox, tmp_path: Path) -> Rig:
    """A source of three parts, for each vendor."""
    source = tmp_path / "bigfile"
    part_size = FIVE_MIB if request.param == "s3" else PART
    source.write_bytes(bytes(2 * part_size + 50_000))
    return Rig(store, source, provider=request.param, part_size=part_size)


def sent_parts(rig: Rig) -> list[int | None]:
    """Return the parts that were sent in the last run, without those of a trial, which have one byte."""
    requests = rig.sandbox.requests[rig.first_request :]
    return [one.part_number for one in requests if one.operation == "part" and one.received > 1]


def test_the_object_is_verified_by_a_meaningful_value(rig: Rig) -> None:
    """The ETag verifies nothing, so parts are sent with Content-MD5: only the first one is sent twice."""
    result = rig.run()
    assert result.verified == VERIFICATIONS[rig.provider]
    assert sent_parts(rig) == ([1, 2, 3] if rig.provider == "oss" else [1, 1, 2, 3])
    assert rig.is_stored()


def test_the_store_checks_parts_that_no_response_confirms(rig: Rig) -> None:
    """Each part of the object was sent with Content-MD5, even the first one; with --digest none, no part was."""
    for digest in ("md5", "none"):
        rig.run(digest=digest)
        requests = [one for one in rig.sandbox.requests[rig.first_request :] if one.received > 1]
        last = {one.part_number: dict(one.headers) for one in requests if one.operation == "part"}
        has_md5 = ["content-md5" in {name.lower() for name in headers} for headers in last.values()]
        is_sent = digest == "md5"
        assert has_md5 == [is_sent] * 3
        assert len(sent_parts(rig)) == (4 if is_sent else 3)


def test_a_lost_response_to_complete_is_resolved(rig: Rig) -> None:
    """The upload id, token or CRC-64 shows that this upload made the object."""
    rig.sandbox.add_fault("drop-answer,op=complete")
    result = rig.run()
    assert result.verified == VERIFICATIONS[rig.provider]
    assert rig.requests("complete") == [None]
    assert rig.is_stored()


def test_an_upload_that_another_machine_completes_with_another_file(rig: Rig) -> None:
    """It has a copy of the checkpoint, so the object has the mark of this upload, but not the content of this file."""
    done: list[str] = []

    def act(event: events.Event) -> None:
        if not done and isinstance(event, events.PartStored) and event.number == rig.parts:
            done.append(complete_elsewhere(rig))

    rig.run(observer=act)
    assert done
    assert rig.is_stored()


def complete_elsewhere(rig: Rig) -> str:
    """Complete the open upload as another machine does that has a copy of the checkpoint, and another file."""
    other = rig.source.with_name("other")
    other.write_bytes(b"x" * rig.source.stat().st_size)
    stat, plan = stat_source(other), FilePlan(other.stat().st_size, rig.part_size or 0)
    target, settings = resolve_target(
        f"bucket/{rig.key}",
        ConnectOptions(endpoint=rig.sandbox.endpoint, provider=rig.provider, region="here"),
        file_name="",
    )
    keys = FixedCredentials(Credentials(rig.sandbox.access_key, rig.sandbox.secret_key))
    store = connect(settings, sleep=lambda _: False, credentials=keys).store
    (upload_id,) = rig.open_ids()
    upload, etags = Upload(target, upload_id), []
    for part in plan.parts():
        open_body = partial(FileWindow(other, part, stat).open, PartDigest)
        etags.append((part.number, store.upload_part(upload, part.number, open_body).etag))
    store.complete(upload, etags, {})
    return upload_id


def test_an_upload_whose_parts_an_earlier_run_stored_and_that_another_machine_completes(rig: Rig) -> None:
    """That run sent no Complete, or one that the store rejected: the mark of the object does not count."""
    rig.break_off("op=complete")
    complete_elsewhere(rig)
    rig.run()
    assert rig.is_stored()


def test_an_upload_that_an_earlier_run_completed_is_not_sent_again(rig: Rig) -> None:
    """The checkpoint has that Complete was sent: without a copy of it, no other machine has this upload."""
    with pytest.raises(Crash):
        rig.run(observer=when_completed(die))
    assert rig.run().verified == VERIFICATIONS[rig.provider]
    assert rig.requests("initiate") == rig.requests("part") == []


def test_complete_does_not_take_the_object_of_another_machine_for_its_own(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not made of the parts that SOURCE was compared with."""
    inside = Inside(rig.sandbox, rig.source.parent, monkeypatch)
    arguments = (rig.source.name, f"bucket/{rig.key}", "--provider", rig.provider, "--region", "here")
    assert inside.run("init", *arguments, "--part-size", str(rig.part_size)).code == 0
    for number in range(1, rig.parts + 1):
        assert inside.run("part", *arguments, "--part-number", str(number)).code == 0
    rig.sandbox.add_fault("error=403:AccessDenied,op=complete,times=always")
    assert inside.run("complete", *arguments).code == 77
    rig.sandbox.clear_faults()
    complete_elsewhere(rig)
    outcome = inside.run("complete", *arguments)
    assert outcome.code == 69, outcome.err


def test_a_stream_is_not_the_object_that_another_machine_makes(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fed again, it equals the recorded parts, but the object is made of others."""
    inside = Inside(rig.sandbox, rig.source.parent, monkeypatch)
    options = ("--part-size", str(rig.part_size), "--provider", rig.provider, "--region", "here")
    arguments = ("upload", "--from-command", f"bucket/{rig.key}", *options, "--", "cat", rig.source.name)
    rig.sandbox.add_fault("error=403:AccessDenied,op=complete,times=always")
    assert inside.run(*arguments).code == 77
    rig.sandbox.clear_faults()
    complete_elsewhere(rig)
    outcome = inside.run(*arguments)
    assert outcome.code == 0, outcome.err
    assert rig.is_stored()


def test_an_object_of_another_upload_is_not_taken_for_ours(rig: Rig) -> None:
    """An older object has the same bytes, and the Complete request was lost."""
    rig.run()
    before = rig.sandbox.object_metadata("bucket", rig.key).upload_id
    rig.sandbox.add_fault("drop-request=0,op=complete")
    result = rig.run()
    assert result.verified == VERIFICATIONS[rig.provider]
    assert rig.sandbox.object_metadata("bucket", rig.key).upload_id != before


def test_an_upload_id_or_token_does_not_verify_a_touched_source(rig: Rig) -> None:
    """Killed before the response to Complete, while the store still lists the upload: only a digest verifies it."""
    rig.sandbox.add_fault("keep-upload,op=complete")
    with pytest.raises(Crash):
        rig.run(observer=when_completed(die))
    os.utime(rig.source)
    assert rig.run().verified == VERIFICATIONS[rig.provider]
    assert rig.requests("part") == []
    assert rig.requests("complete") == ([] if rig.provider == "oss" else [None])


def test_stored_parts_are_not_sent_again(rig: Rig) -> None:
    """The checkpoint has the ETag of each part, however the store computes it."""
    rig.break_off("op=part,part=3")
    assert rig.run().sent_parts == 1
    assert rig.is_stored()


def test_the_upload_continues_without_its_checkpoint(rig: Rig) -> None:
    """This machine has a record of the upload; parts that cannot be verified are sent again with its upload id."""
    rig.break_off("op=part,part=3")
    rig.checkpoint.unlink()
    rig.run()
    assert len(rig.requests("initiate")) == len(rig.requests("abort"))
    assert rig.open_ids() == []
    assert rig.is_stored()


def test_an_upload_without_any_local_record_is_not_touched(rig: Rig) -> None:
    """It may be foreign, and its object options are unknown, even if a CRC-64 (OSS) shows that its parts match."""
    rig.break_off("op=part,part=3")
    rig.checkpoint.unlink()
    shutil.rmtree(state_folder())
    rig.run()
    assert len(rig.open_ids()) == 1
    assert rig.is_stored()


def test_a_store_that_does_not_show_its_encryption(rig: Rig) -> None:
    """A trial shows that ETags are not digests, and Content-MD5 is checked: one part is sent twice, the others once."""
    rig.sandbox.add_fault("hide-encryption")
    result = rig.run()
    assert result.verified == VERIFICATIONS[rig.provider]
    assert rig.is_stored()
    assert rig.open_ids() == []
    if rig.provider != "oss":  # a CRC-64 needs no ETag
        assert sorted(number or 0 for number in sent_parts(rig)) == [1, 1, 2, 3]
        assert (
            len(rig.requests("part")) == 4 + 1 + 3
        )  # of the trial: a right MD5, and a wrong one, three times
        assert len(rig.requests("initiate")) == 2


def test_an_object_of_a_store_that_does_not_show_its_encryption_is_published_once(
    store: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone and in a batch, which tries it out once."""
    inside = Inside(store, tmp_path, monkeypatch)
    store.add_fault("hide-encryption")
    (tmp_path / "tree").mkdir()
    for number in range(3):
        (tmp_path / "tree" / str(number)).write_bytes(b"small")
    for arguments in (("upload", "tree/0", "bucket/one"), ("upload", "-r", "tree/", "bucket/tree/")):
        first = len(store.requests)
        outcome = inside.run(*arguments, "--provider", "s3", "--region", "here")
        assert outcome.code == 0, outcome.err
        operations = [one.operation for one in store.requests[first:]]
        assert operations.count("put") == (3 if "-r" in arguments else 1)
        assert [operations.count(one) for one in ("initiate", "part", "abort")] == [1, 4, 1]


def test_without_the_permission_for_a_trial_the_error_names_the_doubt(rig: Rig) -> None:
    """A trial upload needs the permission to initiate; PutObject does not."""
    if rig.provider == "oss":
        return
    rig.source.write_bytes(b"small")
    rig.sandbox.add_fault("hide-encryption")
    rig.sandbox.add_fault("error=403:AccessDenied,op=initiate,times=always")
    rig.part_size = None
    with pytest.raises(DataMismatch, match="encrypts by default could not be tried out"):
        rig.run()


def test_a_trial_that_may_not_be_aborted_counts(
    store: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its upload stays open, and a note has the command that aborts it."""
    inside = Inside(store, tmp_path, monkeypatch)
    store.add_fault("hide-encryption")
    store.add_fault("error=403:AccessDenied,op=abort,times=always")
    (tmp_path / "small").write_bytes(b"small")
    outcome = inside.run("upload", "small", "bucket/key")
    assert outcome.code == 0, outcome.err
    (upload_id,) = [one.upload_id for one in store.uploads()]
    assert f"obsup abort bucket/key --upload-id {upload_id}" in outcome.err


@pytest.mark.parametrize("op", ["put", "any"])
def test_damage_is_not_taken_for_encryption(sandbox: Sandbox, tmp_path: Path, op: str) -> None:
    """If all bytes change on the way, those of the trial do, and the ETag is the MD5 of another byte."""
    source = tmp_path / "small"
    source.write_bytes(b"small")
    sandbox.add_fault(f"flip-bit,op={op},times=always")
    assert Rig(sandbox, source, part_size=None).code() == 65


@pytest.mark.parametrize("encrypts", [True, False], ids=["opaque", "digests"])
@pytest.mark.parametrize("at", ["part,part=3", "complete"])
@pytest.mark.parametrize("provider", VERIFICATIONS)
def test_a_run_verifies_what_an_earlier_one_sent_without_a_digest(
    provider: str, at: str, encrypts: bool, tmp_path: Path
) -> None:
    """That one was damaged. Where nothing can be compared, the parts are sent again."""
    part_size = FIVE_MIB if provider == "s3" else PART
    (tmp_path / "bigfile").write_bytes(os.urandom(2 * part_size + 50_000))
    with Sandbox(encrypts=encrypts, faults=["ignore-checksums"]) as store:
        rig = Rig(store, tmp_path / "bigfile", provider=provider, part_size=part_size)
        store.add_fault("flip-bit,op=part,part=1")
        rig.break_off(f"op={at}", digest="none")
        rig.run()
        assert rig.is_stored()


def test_an_object_that_was_made_without_a_digest_is_sent_again(rig: Rig) -> None:
    """Its upload was killed right after Complete, and nothing shows its content."""
    rig.sandbox.add_fault("flip-bit,op=part,part=1")
    with pytest.raises(Crash):
        rig.run(observer=when_completed(die), digest="none")
    rig.run()
    assert rig.is_stored()


@pytest.mark.parametrize("encrypts", [True, False], ids=["opaque", "digests"])
def test_a_finished_object_that_was_sent_without_a_digest_is_not_identical(
    encrypts: bool, tmp_path: Path
) -> None:
    """One part was damaged; a file in one request is verified even so."""
    (tmp_path / "bigfile").write_bytes(os.urandom(2 * PART))
    with Sandbox(encrypts=encrypts) as store:
        rig = Rig(store, tmp_path / "bigfile")
        store.add_fault("flip-bit,op=part,part=1")
        assert rig.code(digest="none") == 0
        assert not rig.is_stored()
        rig.run(skip_identical=True)
        assert rig.is_stored()
        rig.part_size = None
        store.add_fault("flip-bit,op=put,times=always")
        assert rig.code(digest="none") == (0 if encrypts else 65)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["file", "parts", "stream"])
def test_nothing_shows_what_a_store_received(source: str, tmp_path: Path) -> None:
    """Its ETags do not even look like MD5s, and it accepts a wrong Content-MD5: only --digest none trusts it."""
    content, path = os.urandom(FIVE_MIB + 1), tmp_path / "source"
    path.write_bytes(content)
    store = TrustingStore(has_md5s=False, damages=True)

    def upload(**given: Any) -> None:
        file = path.open("rb") if source == "stream" else path
        upload_file(file, "bucket/key", credentials=Credentials("key", "secret"), **given)

    with ScriptedServer(store) as server:
        given = {"endpoint": server.endpoint, "provider": "s3", "region": "here", "addressing": "path"}
        given |= {"part_size": "5M"} if source == "parts" else {}
        with pytest.raises(DataMismatch, match="cannot be verified") as error:
            upload(**given)
        assert "digest" in str(error.value.next_step)
        upload(**given, digest="none")
    assert store.objects["/bucket/key"][0] != content


def test_an_etag_that_is_the_content_md5_confirms_a_part(tmp_path: Path) -> None:
    """The store agreed to a checksum, so no MD5 is computed, but returns none, and accepts a wrong Content-MD5."""
    content, path = os.urandom(FIVE_MIB + 1), tmp_path / "source"
    path.write_bytes(content)
    store = TrustingStore(has_checksums=True)

    def reply(request: ReceivedRequest) -> Reply:
        if "partNumber" in request.target:
            request.headers = [
                one for one in request.headers if not one[0].lower().startswith("x-amz-checksum")
            ]
        return store(request)

    with ScriptedServer(reply) as server:
        given: dict[str, Any] = {"endpoint": server.endpoint, "provider": "s3", "region": "here"}
        given |= {"addressing": "path", "credentials": Credentials("key", "secret"), "content_md5": True}
        upload_file(path, "bucket/key", part_size="5M", **given)
    assert store.objects["/bucket/key"][0] == content


@pytest.mark.parametrize(("retry_for", "error"), [("1m", DataMismatch), ("0s", NotFinished)])
def test_a_trial_that_fails_for_a_moment_does_not_count(
    retry_for: str, error: type[ObsupError], tmp_path: Path
) -> None:
    """It is repeated: a store that could not be tried out at this moment is not trusted."""
    (tmp_path / "small").write_bytes(b"small")
    store, failures = TrustingStore(has_md5s=False, damages=True), [500]

    def reply(request: ReceivedRequest) -> Reply:
        if request.target.endswith("?uploads") and failures:
            return response(failures.pop(), "<Error><Code>InternalError</Code></Error>")
        return store(request)

    keys = Credentials("key", "secret")
    with ScriptedServer(reply) as server:
        given: dict[str, Any] = {"endpoint": server.endpoint, "provider": "s3", "region": "here"}
        given |= {"addressing": "path", "credentials": keys, "retry_for": retry_for}
        with pytest.raises(error):
            upload_file(tmp_path / "small", "bucket/key", **given)
    assert failures == []
    assert store.open_uploads == {}


@pytest.mark.parametrize("sse", [None, "kms"])
def test_a_trial_leaves_an_upload_alone_that_was_started_before(sse: str | None, tmp_path: Path) -> None:
    """The store returns its id for a new one, and does not list it, but this machine knows that it started it."""
    source = tmp_path / "large"
    source.write_bytes(bytes(FIVE_MIB + 1))
    aborted: list[str] = []
    store = TrustingStore(has_md5s=False, encrypts=True)

    def reply(request: ReceivedRequest) -> Reply:
        if "?uploads" in request.target and request.method == "GET":
            return response(403, "<Error><Code>AccessDenied</Code></Error>")
        if "?uploads" in request.target and store.open_uploads:
            encryption = {"x-amz-server-side-encryption": "aws:kms"} if sse else {}
            return response(200, f"<Result><UploadId>{upload_id}</UploadId></Result>", encryption)
        if request.method == "DELETE":
            aborted.append(request.target)
        return store(request)

    with ScriptedServer(reply) as server:
        given: dict[str, Any] = {"endpoint": server.endpoint, "provider": "s3", "region": "here", "sse": sse}
        given |= {"addressing": "path", "credentials": Credentials("key", "secret")}
        upload_id = initiate_upload("bucket/key", source=source, part_size="5M", **given)
        aborted.clear()
        with suppress(Refused):
            upload_file(source, "bucket/key", part_size="5M", **given)
    assert aborted == []


@pytest.mark.parametrize("has_md5s", [True, False], ids=["with MD5s", "without MD5s"])
@pytest.mark.parametrize(
    "encryption", [("--sse", "kms"), ("--sse-c-key-file", "keyfile")], ids=["kms", "sse-c"]
)
def test_nothing_shows_what_a_store_that_encrypts_received(
    encryption: tuple[str, str],
    has_md5s: bool,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It confirms the encryption, but accepts a wrong Content-MD5: only --digest none trusts it."""
    (tmp_path / "small").write_bytes(b"small")
    (tmp_path / "keyfile").write_bytes(os.urandom(32))
    (tmp_path / "keyfile").chmod(0o600)
    store = TrustingStore(has_md5s=has_md5s, encrypts=True, damages=True)
    inside = Inside(sandbox, tmp_path, monkeypatch)
    with ScriptedServer(store) as server:
        monkeypatch.setenv("OBSUP_ENDPOINT", server.endpoint)
        where = ("--provider", "s3", "--region", "here", "--addressing", "path")
        command = ("upload", "small", "bucket/key", *where, *encryption)
        outcome = inside.run(*command)
        assert (outcome.code, "cannot be verified" in outcome.err) == (65, True), outcome.err
        assert inside.run(*command, "--digest", "none").code == 0
    assert store.objects["/bucket/key"][0] != b"small"
    assert store.open_uploads == {}


def test_json_has_the_kind_of_verification(
    store: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with init, part and complete; without a token only the size is verified."""
    inside = Inside(store, tmp_path, monkeypatch)
    (tmp_path / "bigfile").write_bytes(bytes(2 * FIVE_MIB))
    arguments = ("bigfile", "s3://bucket/key", "--region", "here")
    assert inside.run("upload", *arguments, "--parts", "2", "--json").json["verified"] == "token"
    assert inside.run("upload", *arguments, "--parts", "2", "--json", "--no-token").json["verified"] == "size"
    assert inside.run("init", *arguments, "--parts", "2").code == 0
    for number in ("1", "2"):
        assert inside.run("part", *arguments, "--part-number", number).code == 0
    assert inside.run("complete", *arguments, "--json").json["verified"] == "token"
    (tmp_path / "bigfile").write_bytes(b"one PutObject")
    assert inside.run("upload", *arguments, "--json").json["verified"] == "size"


def test_complete_needs_no_encryption_in_its_response(
    store: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HeadObject shows it."""
    inside = Inside(store, tmp_path, monkeypatch)
    (tmp_path / "bigfile").write_bytes(bytes(PART))
    store.add_fault("hide-encryption,op=complete")
    arguments = ("bigfile", "bucket/key")
    assert inside.run("init", *arguments, "--parts", "1").code == 0
    assert inside.run("part", *arguments, "--part-number", "1").code == 0
    outcome = inside.run("complete", *arguments)
    assert outcome.code == 0, outcome.err


def test_worker_processes_accept_an_encryption_that_was_not_requested(store: Sandbox, tmp_path: Path) -> None:
    """The bucket encrypts by default, and the response to each part shows it."""
    (tmp_path / "bigfile").write_bytes(bytes(3 * PART))
    arguments = (
        "upload",
        "bigfile",
        "bucket/key",
        "--part-size",
        "100K",
        "--executor",
        "processes",
        "-j",
        "1",
    )
    outcome = Shell.against(store, tmp_path).run(*arguments)
    assert outcome.code == 0, outcome.err


def test_an_object_that_nothing_describes_is_not_called_another_one(store: Sandbox, tmp_path: Path) -> None:
    """The store returns no Content-Length, and an ETag that is not a digest: exit 1, as verify."""
    (tmp_path / "bigfile").write_bytes(bytes(1000))

    def change(answer: Answer) -> Wire | None:
        is_shown = answer.method == "HEAD" and answer.status == 200
        return Wire(re.sub(rb"Content-Length: \d+\r\n", b"", framed(answer))) if is_shown else None

    with MutatingRelay(store.port, change) as relay:
        shell = Shell(tmp_path, {**variables_of(store), "OBSUP_ENDPOINT": relay.endpoint})
        upload = shell.run("upload", "bigfile", "bucket/key", "--no-token", "--json")
        verify = shell.run("verify", "bigfile", "bucket/key", "--json")
    for outcome in (upload, verify):
        assert (outcome.code, outcome.json["reason"]) == (1, "incomparable"), outcome.err
    # --download could not compare it either.
    assert verify.err.endswith("Next:  Give the receipt of its upload with --receipt.\n")


@pytest.mark.parametrize("guard", ["source", "etags"])
def test_complete_at_a_store_that_does_not_show_its_encryption(
    store: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guard: str
) -> None:
    """The ETags look like digests, but a trial upload shows that they are none. The object cannot be compared."""
    inside = Inside(store, tmp_path, monkeypatch)
    source = tmp_path / "bigfile"
    source.write_bytes(bytes(2 * PART))
    store.add_fault("hide-encryption")
    upload_id = inside.run("init", "bucket/key").out.strip()
    target = ("bucket/key", "--upload-id", upload_id)
    for number in ("1", "2"):
        sent = inside.run("part", source, *target, "--parts", "2", "--part-number", number)
        assert sent.code == 0, sent.err
    (tmp_path / "list").write_text(inside.run("parts", *target).out)
    checked = (source, *target) if guard == "source" else (*target, "--etags-from", "list")
    outcome = inside.run("complete", *checked)
    assert outcome.code == (1 if guard == "source" else 0), outcome.err
    assert store.object_path("bucket", "key").read_bytes() == source.read_bytes()

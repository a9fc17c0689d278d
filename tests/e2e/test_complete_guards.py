"""complete: a named SOURCE is compared with what the store has, and a finished object must pass the same checks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from obsup.engine.job.connection import connect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.stop import StopSignal
from obsup.engine.job.target_settings import ConnectOptions, resolve_target
from obsup.engine.steps.complete import ManualCompletion
from obsup.engine.steps.completion_checks import CompletionChecks
from obsup.engine.steps.lookup import UploadSelector
from obsup.errors import DataMismatch
from obsup.local.source.identity import stat_source
from obsup.local.state import checkpoint as checkpoints
from obsup.sandbox.sandbox import Sandbox
from tests.support.in_process import Inside
from tests.support.shell import Shell
from tests.support.upload_rig import when_requested

MakeFile = Callable[..., Path]
SIZE = 1_000_000
PART = 200_000
MIB = 2**20
S3 = ("--provider", "s3", "--region", "eu-west-1")


@pytest.fixture
def source(make_file: MakeFile) -> Path:
    """A file for five parts."""
    return make_file(SIZE)


@pytest.fixture
def other(make_file: MakeFile) -> Path:
    """A file of the same size, with other bytes in part 3."""
    path = make_file(SIZE, "other")
    data = bytearray(path.read_bytes())
    data[2 * PART] ^= 1
    path.write_bytes(data)
    return path


def initiate(inside: Inside, *more: str) -> str:
    """Initiate an upload without a checkpoint; return its id."""
    return inside.run("init", "bucket/key", *more).out.strip()


def send(inside: Inside, path: Path, upload_id: str, number: int, *more: str) -> None:
    """Send a part of *path* as a machine does that has only the upload id."""
    arguments = ("--upload-id", upload_id, "--part-number", str(number), *more)
    outcome = inside.run("part", path, "bucket/key", *arguments)
    assert outcome.code == 0, outcome.err


def send_all(inside: Inside, path: Path, upload_id: str, *more: str) -> None:
    """Send *path* in five parts."""
    for number in range(1, 6):
        send(inside, path, upload_id, number, "--parts", "5", *more)


def record_identity(source: Path) -> None:
    """Record the identity that *source* has now: another machine numbers its devices differently."""
    [path] = source.parent.glob("*.obsup.json")
    found = checkpoints.load(path)
    assert found is not None
    checkpoints.save(path, replace(found, stat=stat_source(source)))


def test_parts_of_two_machines_that_see_different_files(
    inside: Inside, sandbox: Sandbox, source: Path, other: Path
) -> None:
    """Same size, same times, other bytes: the part of the other file is named, and the upload is kept."""
    upload_id = initiate(inside)
    for number in range(1, 6):
        send(inside, other if number == 3 else source, upload_id, number, "--parts", "5")
    outcome = inside.run("complete", source, "bucket/key", "--upload-id", upload_id, "--parts", "5")
    assert (outcome.code, f"part 3 does not match {source}" in outcome.err) == (65, True), outcome.err
    assert [one.upload_id for one in sandbox.uploads()] == [upload_id]
    send(inside, source, upload_id, 3, "--parts", "5")
    done = inside.run("complete", source, "bucket/key", "--upload-id", upload_id, "--parts", "5", "--json")
    assert (done.code, done.json["verified"]) == (0, "etag")
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_receipts_of_a_machine_that_sees_another_file_under_the_same_path(
    inside: Inside, sandbox: Sandbox, source: Path
) -> None:
    """The checkpoint is shared and size and times agree: only the content shows it."""
    inside.run("init", source, "bucket/key", "--parts", "5")
    right, found = source.read_bytes(), source.stat()
    for number in range(1, 6):
        source.write_bytes(bytes(SIZE) if number == 3 else right)
        os.utime(source, ns=(found.st_atime_ns, found.st_mtime_ns))
        record_identity(source)
        assert inside.run("part", source, "bucket/key", "--part-number", str(number)).code == 0
    source.write_bytes(right)
    os.utime(source, ns=(found.st_atime_ns, found.st_mtime_ns))
    record_identity(source)
    outcome = inside.run("complete", source, "bucket/key")
    assert outcome.code == 65, outcome.err
    assert not sandbox.object_path("bucket", "key").exists()


def test_a_touched_source_is_completed_if_its_bytes_are_those_that_were_sent(
    inside: Inside, sandbox: Sandbox, source: Path
) -> None:
    """The times of the file differ from the checkpoint; the content decides."""
    inside.run("init", source, "bucket/key", "--parts", "5")
    for number in range(1, 6):
        inside.run("part", source, "bucket/key", "--part-number", str(number))
    source.touch()
    done = inside.run("complete", source, "bucket/key", "--json")
    assert (done.code, done.json["verified"]) == (0, "etag"), done.err
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("provider", ["obs", "s3", "oss"])
def test_a_finished_object_passes_the_same_checks(
    inside: Inside,
    sandbox: Sandbox,
    make_file: MakeFile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    where: str,
) -> None:
    """On the machine that completed it and on another one, by the upload id."""
    source, other = make_file(6 * MIB), make_file(6 * MIB, "other", seed=2)
    short = make_file(6 * MIB - 1, "short")
    store = ("--provider", provider, "--region", "eu-west-1")
    upload_id = initiate(inside, *store)
    for number in (1, 2):
        send(inside, source, upload_id, number, "--part-size", str(5 * MIB), *store)
    arguments = ("--upload-id", upload_id, *store)
    assert inside.run("complete", source, "bucket/key", *arguments).code == 0
    if where == "elsewhere":
        monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    # Only OBS shows which upload made an object; elsewhere its content must, and another content is not ours.
    expected = 69 if where == "elsewhere" and provider != "obs" else 65
    for sources, options in (
        ((other,), ()),
        ((other,), ("--verify-source",)),
        ((short,), ()),
        ((), ("--parts", "7")),
        ((), ("--expect-size", "5")),
        ((), ("--etag", "1:" + "0" * 32, "--etag", "2:" + "0" * 32)),
        ((source,), ("--parts", "7")),
        ((source,), ("--etag", "1:" + "0" * 32)),
    ):
        outcome = inside.run("complete", *sources, "bucket/key", *arguments, *options)
        assert (outcome.code, outcome.out) == (expected, ""), (options, outcome.err)
        assert ("fails a check" in outcome.err) == (expected == 65)
    done = inside.run("complete", source, "bucket/key", *arguments, "--parts", "2", "--json")
    assert (done.code, done.json["parts"], done.json["size"]) == (0, 2, 6 * MIB), done.err
    assert sum(one.operation == "complete" for one in sandbox.requests) == 1


def test_the_checks_apply_to_the_object_of_a_complete_that_was_killed(
    inside: Inside, sandbox: Sandbox, source: Path, other: Path
) -> None:
    """The checkpoint still exists, but the upload does not; also for an encrypted object."""
    for encryption in ((), ("--sse", "kms")):
        inside.run("init", source, "bucket/key", "--parts", "5", *encryption)
        for number in range(1, 6):
            inside.run("part", source, "bucket/key", "--part-number", str(number))
        [path] = source.parent.glob("*.obsup.json")
        found = checkpoints.load(path)
        assert found is not None
        checkpoints.record(path, found.upload, is_complete_sent=True)  # as long as Complete runs
        saved, right = path.read_bytes(), source.read_bytes()
        first = inside.run("complete", source, "bucket/key")
        path.write_bytes(saved)
        for record in (Path(os.environ["HOME"]) / ".local/state/obsup/uploads").glob("*.done.json"):
            record.unlink()
        assert inside.run("complete", source, "bucket/key", "--parts", "4").code == 65
        source.write_bytes(other.read_bytes())
        changed = inside.run("complete", source, "bucket/key")
        assert (changed.code, "part 3 does not match" in changed.err) == (65, True), changed.err
        source.write_bytes(right)
        repeated = inside.run("complete", source, "bucket/key")
        assert (repeated.code, repeated.out) == (0, first.out), repeated.err


def test_the_object_of_an_older_upload_of_the_same_source_is_not_taken_for_this_one(
    inside: Inside, sandbox: Sandbox, source: Path
) -> None:
    """The second upload is aborted by somebody else; the first had other options."""
    for _ in range(2):
        upload_id = inside.run("init", source, "bucket/key", "--parts", "5").out.strip()
        for number in range(1, 6):
            inside.run("part", source, "bucket/key", "--part-number", str(number))
        if len(sandbox.uploads()) == 1 and not sandbox.object_path("bucket", "key").exists():
            assert inside.run("complete", source, "bucket/key").code == 0
    [path] = source.parent.glob("*.obsup.json")
    saved = path.read_bytes()
    inside.run("abort", "bucket/key", "--upload-id", upload_id)
    path.write_bytes(saved)
    outcome = inside.run("complete", source, "bucket/key")
    assert (outcome.code, f"obsup upload {source} bucket/key" in outcome.err) == (69, True), outcome.err


def test_parts_whose_etags_are_not_digests_are_reported(
    inside: Inside, sandbox: Sandbox, source: Path, tmp_path: Path
) -> None:
    """SSE-C: exit 1, as obsup verify, unless the list of ETags is given; --verify-source leaves the upload open."""
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    encryption = ("--sse-c-key-file", str(key))
    arguments: tuple[str | Path, ...] = ()
    for listed in (False, True):
        upload_id = initiate(inside, *encryption)
        send_all(inside, source, upload_id, *encryption)
        arguments = ("complete", source, "bucket/key", "--upload-id", upload_id, *encryption)
        strict = inside.run(*arguments, "--verify-source")
        refused = f"arts 1-5 cannot be compared with {source}"
        assert (strict.code, refused in strict.err) == (65, True), strict.err
        (tmp_path / "list").write_text(inside.run("parts", "bucket/key", "--upload-id", upload_id).out)
        options = ("--etags-from", str(tmp_path / "list")) if listed else ()
        for _ in ("complete", "again"):
            done = inside.run(*arguments, *options, "--json")
            assert done.json.get("verified") in ((None,) if not listed else ("upload-id", "etag"))
            assert (done.code, refused in done.err) == (0 if listed else 1, True), done.err
            assert (f"bucket/key is complete, but cannot be compared with {source}" in done.err) != listed
    assert inside.run("verify", source, "bucket/key", *encryption).code == 1
    assert inside.run("complete", *arguments[2:]).code == 0


def test_parts_that_were_sent_without_a_digest_are_compared_with_source(
    inside: Inside, sandbox: Sandbox, source: Path
) -> None:
    """One was damaged. Without SOURCE nothing of it is compared."""
    upload_id = inside.run("init", source, "bucket/key", "--parts", "5").out.strip()
    sandbox.add_fault("flip-bit,op=part,part=3")
    for number in range(1, 6):
        sent = inside.run("part", source, "bucket/key", "--part-number", str(number), "--digest", "none")
        assert sent.code == 0, sent.err
    outcome = inside.run("complete", source, "bucket/key")
    assert (outcome.code, "part 3 does not match" in outcome.err) == (65, True), outcome.err
    assert inside.run("complete", "bucket/key", "--upload-id", upload_id).code == 0


def test_a_source_that_cannot_be_compared_with_the_object_of_another_machine(
    inside: Inside, source: Path, other: Path, tmp_path: Path
) -> None:
    """It completed the upload, so that nothing here has the list of its parts."""
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    encryption = ("--sse-c-key-file", str(key))
    upload_id = initiate(inside, *encryption)
    send_all(inside, source, upload_id, *encryption)
    arguments = ("bucket/key", "--upload-id", upload_id, *encryption)
    assert inside.run("complete", *arguments).code == 0
    for record in (Path(os.environ["HOME"]) / ".local/state/obsup/uploads").glob("*.done.json"):
        record.unlink()
    outcome = inside.run("complete", other, *arguments)
    assert (outcome.code, "is complete, but cannot be compared with" in outcome.err) == (1, True), outcome.err
    assert inside.run("complete", other, *arguments, "--verify-source").code == 65
    assert inside.run("complete", *arguments).code == 0


def test_the_crc64_of_the_object_shows_parts_of_another_file(
    inside: Inside, sandbox: Sandbox, source: Path, other: Path, tmp_path: Path
) -> None:
    """SSE-C, and the list of parts has no digests: the response to Complete does."""
    key = tmp_path / "key"
    key.write_bytes(bytes(32))
    key.chmod(0o600)
    encryption = ("--sse-c-key-file", str(key))
    sandbox.add_fault("obs-checksums")
    for path, code in ((other, 65), (source, 0)):
        upload_id = initiate(inside, *encryption)
        send_all(inside, path, upload_id, *encryption)
        done = inside.run("complete", source, "bucket/key", "--upload-id", upload_id, *encryption, "--json")
        assert done.code == code, done.err
    assert done.json["verified"] == "crc64"
    again = inside.run("complete", other, "bucket/key", "--upload-id", upload_id, *encryption)
    assert (again.code, "its CRC-64 is" in again.err) == (65, True), again.err


def test_parts_of_a_store_that_encrypts_by_itself(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """SSE-KMS, sent from elsewhere: the ETags look like MD5s. Nothing is assembled; the list can be given instead."""
    upload_id = initiate(inside, "--sse", "kms")
    send_all(inside, source, upload_id)
    outcome = inside.run("complete", source, "bucket/key", "--upload-id", upload_id)
    assert (outcome.code, "or the store encrypts" in outcome.err) == (65, True), outcome.err
    listing = inside.run("parts", "bucket/key", "--upload-id", upload_id).out
    (source.parent / "list").write_text(listing)
    arguments = ("--upload-id", upload_id, "--expect-size", str(SIZE), "--etags-from", "list")
    done = inside.run("complete", "bucket/key", *arguments)
    assert (done.code, done.err) == (0, ""), done.err


def test_windows_that_overlap_or_are_out_of_order(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """The total fits, but the object would not be the source: --parts demands equal sizes, SOURCE its bytes."""
    upload_id = initiate(inside)
    for number, (offset, size) in enumerate([(0, 300_000), (100_000, 200_000), (500_000, 500_000)], start=1):
        send(inside, source, upload_id, number, "--offset", str(offset), "--part-size", str(size))
    complete = ("bucket/key", "--upload-id", upload_id)
    sizes = inside.run("complete", *complete, "--parts", "3", "--expect-size", str(SIZE))
    assert (sizes.code, "parts 2-3 have the wrong size" in sizes.err) == (65, True), sizes.err
    content = inside.run("complete", source, *complete)
    assert (content.code, "part 2 does not match" in content.err) == (65, True), content.err
    send(inside, source, upload_id, 2, "--offset", "300000", "--part-size", "200000")
    total = inside.run("complete", *complete, "--expect-size", str(SIZE))
    assert (total.code, "only their total size was checked, not their order" in total.err) == (0, True)
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("check", ["source", "list", "total"])
def test_parts_of_unequal_size_are_legal_if_the_list_or_the_total_is_given(
    inside: Inside, sandbox: Sandbox, source: Path, check: str
) -> None:
    """Without any of them only equal sizes are."""
    upload_id = initiate(inside)
    windows = [(0, 300_000), (300_000, 500_000), (800_000, 200_000)]
    for number, (offset, size) in enumerate(windows, start=1):
        send(inside, source, upload_id, number, "--offset", str(offset), "--part-size", str(size))
    complete = ("complete", "bucket/key", "--upload-id", upload_id)
    assert inside.run(*complete).code == 65
    data = source.read_bytes()
    md5s = [hashlib.md5(data[offset : offset + size]).hexdigest() for offset, size in windows]
    options = {
        "source": (),
        "list": [f"--etag={number}:{md5}" for number, md5 in enumerate(md5s, start=1)],
        "total": ("--expect-size", str(SIZE)),
    }[check]
    sources = (source,) if check == "source" else ()
    done = inside.run("complete", *sources, *complete[1:], *options)
    assert done.code == 0, done.err
    assert sandbox.object_path("bucket", "key").read_bytes() == data


def test_without_any_check_a_missing_end_is_possible_and_a_note_says_so(
    inside: Inside, sandbox: Sandbox, source: Path
) -> None:
    """Nothing shows how many parts there must be."""
    upload_id = initiate(inside)
    send(inside, source, upload_id, 1, "--parts", "5")
    outcome = inside.run("complete", "bucket/key", "--upload-id", upload_id)
    assert (outcome.code, "give SOURCE, --parts or --expect-size" in outcome.err) == (0, True)


def test_the_object_of_upload_passes_the_checks_of_complete(
    inside: Inside, sandbox: Sandbox, source: Path, other: Path
) -> None:
    """upload completed it; this machine has no list of its parts, so the object itself must show everything."""
    done = inside.run("upload", source, "bucket/key", "--parts", "5", "--json")
    arguments = ("bucket/key", "--upload-id", done.json["uploadId"])
    assert inside.run("complete", other, *arguments).code == 65
    assert inside.run("complete", *arguments, "--parts", "4").code == 65
    again = inside.run("complete", source, *arguments, "--parts", "5")
    assert (again.code, again.out.strip()) == (0, done.json["etag"]), again.err


def test_a_checkpoint_of_unusual_windows_on_another_machine(
    inside: Inside, sandbox: Sandbox, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can guess the part sizes: nothing shows that the object is SOURCE, and it is not called different."""
    upload_id = initiate(inside)
    for number, (offset, size) in enumerate([(0, 300_001), (300_001, 400_000), (700_001, 299_999)], start=1):
        send(inside, source, upload_id, number, "--offset", str(offset), "--part-size", str(size))
    arguments = ("bucket/key", "--upload-id", upload_id)
    assert inside.run("complete", source, *arguments).code == 0
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    outcome = inside.run("complete", source, *arguments)
    assert (outcome.code, "in any likely part size" in outcome.err) == (65, True), outcome.err
    listed = inside.run("complete", *arguments, "--expect-size", str(SIZE))
    assert listed.code == 0, listed.err


def test_an_acl_is_not_applied_to_a_finished_object_and_a_note_says_so(
    inside: Inside, sandbox: Sandbox, source: Path
) -> None:
    """OSS takes the ACL with Complete."""
    store = ("--provider", "oss", "--region", "eu-west-1")
    upload_id = initiate(inside, *store)
    send_all(inside, source, upload_id, *store)
    arguments = ("complete", source, "bucket/key", "--upload-id", upload_id, *store, "--acl")
    first = inside.run(*arguments, "private")
    assert (first.code, first.err) == (0, "")
    again = inside.run(*arguments, "public-read")
    assert (again.code, "the ACL of --acl was not checked" in again.err) == (0, True), again.err


def test_another_upload_replaces_the_object_of_listed_parts(
    inside: Inside, sandbox: Sandbox, source: Path, other: Path, shell: Shell, tmp_path: Path
) -> None:
    """Of the same size, before HeadObject, at a store whose Complete returns no ETag, as Ceph does: exit 65."""
    sandbox.add_fault("ignore-checksums")
    source.write_bytes(bytes(6 * MIB))
    other.write_bytes(b"1" * 6 * MIB)
    upload_id = initiate(inside, "--no-token", *S3)
    for number in (1, 2):
        send(inside, source, upload_id, number, "--part-size", "5M", *S3)

    def replace_object() -> None:
        arguments = ("upload", other, "bucket/key", "--part-size", "5M", *S3)
        assert shell.run(*arguments, HOME=str(tmp_path / "elsewhere")).code == 0

    sandbox.add_fault("empty-etag,op=complete")
    target, settings = resolve_target(
        "bucket/key", ConnectOptions(sandbox.endpoint, provider="s3", region="eu-west-1")
    )
    tally = ProgressTally(None, when_requested("CompleteMultipartUpload", replace_object))
    stop = StopSignal()
    context = UploadContext(
        connect(settings, observe=tally, sleep=stop.sleep), UploadRequest(Path("-"), target), tally, stop
    )
    completion = ManualCompletion(context, UploadSelector(target, None, upload_id), CompletionChecks())
    with pytest.raises(DataMismatch, match="is not the source"):
        completion.complete()
    assert sandbox.object_path("bucket", "key").read_bytes() == other.read_bytes()


@pytest.mark.parametrize("fault", ["none", "error-after=404:NoSuchUpload,op=complete,times=always"])
def test_damaged_parts_of_a_store_that_does_not_check_checksums(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, fault: str
) -> None:
    """It agreed to them. The ETag shows it also after a failed response to Complete, and to a second run."""
    source = make_file(5 * MIB + 1)
    for operation in ("part", "parts", "complete", "head"):
        sandbox.add_fault(f"hide-checksums,op={operation}")
    sandbox.add_fault("flip-bit,op=part")
    inside.run("init", source, "bucket/key", "--part-size", "5M", *S3)
    for number in ("1", "2"):
        inside.run("part", source, "bucket/key", "--part-number", number, *S3)
    if fault != "none":
        sandbox.add_fault(fault)
    first = inside.run("complete", source, "bucket/key", *S3)
    assert first.code == (65 if fault == "none" else 69)
    assert inside.run("complete", source, "bucket/key", *S3).code == 69

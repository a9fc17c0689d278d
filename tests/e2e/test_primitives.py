"""init, part and complete: the single steps of an upload, which share one checkpoint with ``upload``."""

from __future__ import annotations

import hashlib
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.local.state import checkpoint as checkpoints
from obsup.local.state.checkpoint import Checkpoint
from obsup.local.state.lock import UploadLock
from obsup.model import Target
from obsup.sandbox.sandbox import Sandbox
from tests.support.in_process import Inside
from tests.support.shell import Shell
from tests.support.waiting import wait_for

MakeFile = Callable[..., Path]
SIZE = 1_000_000
PART = 200_000


@pytest.fixture
def source(make_file: MakeFile) -> Path:
    """A file for five parts."""
    return make_file(SIZE)


def sent(sandbox: Sandbox) -> dict[int, int]:
    """Return how often each part was stored."""
    stored = (r.part_number for r in sandbox.requests if r.operation == "part" and r.status == 200)
    return dict(Counter(number for number in stored if number is not None))


def checkpoint_of(source: Path) -> Checkpoint:
    """Return the only checkpoint next to *source*."""
    [path] = source.parent.glob("*.obsup.json")
    found = checkpoints.load(path)
    assert found is not None
    return found


def target_of(sandbox: Sandbox) -> Target:
    """Return the target bucket/key, whose lock the commands use."""
    return Target("obs", sandbox.endpoint, "bucket", "key")


def etag_of(source: Path, number: int) -> str:
    """Return the MD5 of a part of *source*."""
    data = source.read_bytes()[(number - 1) * PART : number * PART]
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_upload_continues_after_init_and_part(shell: Shell, sandbox: Sandbox, source: Path) -> None:
    """stdout has only the result; stored parts are not sent again."""
    initiated = shell.run("init", source, "bucket/key", "--parts", "5")
    [upload] = sandbox.uploads()
    assert (initiated.code, initiated.out, initiated.err) == (0, f"{upload.upload_id}\n", "")
    for number in (4, 2):
        outcome = shell.run("part", source, "bucket/key", "--part-number", str(number))
        assert (outcome.code, outcome.out, outcome.err) == (0, f"{etag_of(source, number)}\n", "")
    assert shell.run("upload", source, "bucket/key", "--json").json["sentParts"] == 3
    assert sent(sandbox) == dict.fromkeys(range(1, 6), 1)
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert (sandbox.uploads(), list(source.parent.glob("*.obsup.json"))) == ([], [])


def test_part_and_complete_continue_after_upload(shell: Shell, sandbox: Sandbox, source: Path) -> None:
    """The other direction, with the same checkpoint."""
    sandbox.add_fault("error=403:AccessDenied,op=part,part=2-3,times=always")
    assert shell.run("upload", source, "bucket/key", "--parts", "5", "-j", "1").code == 77
    sandbox.clear_faults()
    missing = shell.run("status", source, "--json").json["uploads"][0]["missing"]
    assert {2, 3} <= set(missing)
    for number in missing:
        assert shell.run("part", source, "bucket/key", "--part-number", str(number)).code == 0
    outcome = shell.run("complete", source, "bucket/key")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.strip() == sandbox.object_metadata("bucket", "key").etag
    assert sent(sandbox) == dict.fromkeys(range(1, 6), 1)
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert list(source.parent.glob("*.obsup.json")) == []


def test_concurrent_parts_share_one_checkpoint(shell: Shell, sandbox: Sandbox, source: Path) -> None:
    """No receipt is lost, and complete fails during the transfer."""
    shell.run("init", source, "bucket/key", "--parts", "5")
    running = [shell.begin("part", source, "bucket/key", "--part-number", str(n)) for n in range(1, 6)]
    for process in running:
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, "")
    receipts = checkpoint_of(source).receipts
    assert {n: one.etag for n, one in receipts.items()} == {n: etag_of(source, n) for n in range(1, 6)}
    with UploadLock(target_of(sandbox), shared=True):
        busy = shell.run("complete", source, "bucket/key")
    assert (busy.code, "another obsup is at work on bucket/key" in busy.err) == (75, True)
    assert shell.run("complete", source, "bucket/key").code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_if_running_applies_to_parts(shell: Shell, sandbox: Sandbox, source: Path) -> None:
    """fail, skip and wait; a part does not conflict with other parts."""
    shell.run("init", source, "bucket/key", "--parts", "5")
    arguments = ("part", source, "bucket/key", "--part-number", "1", "--if-running")
    with UploadLock(target_of(sandbox), shared=True):
        assert shell.run(*arguments, "fail").code == 0
    with UploadLock(target_of(sandbox)):
        assert shell.run(*arguments, "fail").code == 75
        skipped = shell.run(*arguments, "skip")
        assert (skipped.code, skipped.out) == (0, "")
        waiting = shell.begin(*arguments, "wait")
        assert waiting.stderr is not None
        assert "another obsup is at work on bucket/key: waiting" in waiting.stderr.readline()
        assert sent(sandbox) == {1: 1}
    out, _ = waiting.communicate(timeout=30)
    assert (waiting.returncode, out.strip()) == (0, etag_of(source, 1))
    assert sent(sandbox) == {1: 2}


def test_five_machines_without_a_shared_disk_and_a_sixth_that_completes(
    shell: Shell, sandbox: Sandbox, source: Path, tmp_path: Path
) -> None:
    """Each has a separate home and only the upload id; the parts are sent in any order."""
    homes = [tmp_path / f"home{n}" for n in range(7)]
    upload_id = shell.run("init", "bucket/key", HOME=str(homes[0])).out.strip()
    for number in (3, 1, 5, 2, 4):
        outcome = shell.run(
            *("part", source, "bucket/key", "--upload-id", upload_id, "--parts", "5"),
            *("--part-number", str(number)),
            HOME=str(homes[number]),
        )
        assert outcome.out.strip() == etag_of(source, number), outcome.err
    arguments = (
        "complete",
        "bucket/key",
        "--upload-id",
        upload_id,
        "--parts",
        "5",
        "--expect-size",
        str(SIZE),
    )
    outcome = shell.run(*arguments, "--json", HOME=str(homes[6]))
    assert outcome.json["verified"] == "upload-id"
    assert (outcome.json["parts"], outcome.json["size"], outcome.json["partSize"]) == (5, SIZE, PART)
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert list(source.parent.glob("*.obsup.json")) == []


def test_init_returns_the_existing_upload(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """A script that runs again gets the same upload; --restart aborts it and initiates a new one."""
    first = inside.run("init", source, "bucket/key", "--parts", "5").out
    assert inside.run("init", source, "bucket/key").out == first
    rejected = inside.run("init", source, "bucket/key", "--storage-class", "WARM")
    assert (rejected.code, "other object options" in rejected.err) == (2, True)
    fresh = inside.run("init", source, "bucket/key", "--restart").out
    assert fresh != first
    assert [one.upload_id for one in sandbox.uploads()] == [fresh.strip()]


def test_the_json_of_each_step(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """One JSON object on stdout, with the documented keys."""
    common: dict[str, object] = {"format": 1, "provider": "obs", "bucket": "bucket", "key": "key"}
    common |= dict.fromkeys(("location", "sseKms", "sseKmsKey", "sseC", "sseCKeyMd5"))
    initiated = inside.run("init", source, "bucket/key", "--parts", "5", "--json").json
    assert initiated.pop("requestId") == initiated.pop("hostId") != ""
    common["uploadId"] = sandbox.uploads()[0].upload_id
    assert initiated == common | {
        "command": "init",
        "status": "initiated",
        "size": SIZE,
        "partSize": PART,
        "parts": 5,
    }
    stored = inside.run("part", source, "bucket/key", "--part-number", "5", "--json").json
    expected = {
        "command": "part",
        "status": "stored",
        "partNumber": 5,
        "etag": etag_of(source, 5),
        "size": PART,
    }
    assert stored.pop("requestId") == stored.pop("hostId") != ""
    assert stored == common | expected
    listed = inside.run("parts", source, "bucket/key", "--json").json
    assert (listed["command"], listed["status"]) == ("parts", "listed")
    assert (listed["parts"], listed["size"]) == (1, PART)
    assert listed["list"][0] | {"lastModified": ""} == {
        "partNumber": 5,
        "size": PART,
        "etag": etag_of(source, 5),
        "lastModified": "",
    }
    failed = inside.run("complete", source, "bucket/key", "--json")
    assert failed.code == failed.json["exitCode"] == 65
    assert (failed.json["command"], failed.json["status"], failed.json["reason"]) == (
        "complete",
        "failed",
        "data",
    )
    aborted = inside.run("abort", source, "bucket/key", "--json").json
    assert aborted.pop("requestId") == aborted.pop("hostId") != ""
    assert aborted == common | {"command": "abort", "status": "aborted"}


@pytest.mark.parametrize("done", ["", ",done=1"])
def test_a_copy_that_fails_in_a_200_is_repeated(
    inside: Inside, sandbox: Sandbox, source: Path, done: str
) -> None:
    """S3 may return <Error> in a 200: a copy succeeds only with an ETag."""
    inside.run("upload", source, "bucket/old")
    upload_id = inside.run("init", "bucket/key").out.strip()
    sandbox.add_fault(f"error-in-200=InternalError,op=copy{done}")
    arguments = (
        "part",
        "bucket/key",
        "--upload-id",
        upload_id,
        "--part-number",
        "1",
        "--copy-source",
        "bucket/old",
    )
    copied = inside.run(*arguments)
    assert (copied.code, len(copied.out.strip())) == (0, 32)
    assert [one.operation for one in sandbox.requests].count("copy") == 2
    assert inside.run("complete", "bucket/key", "--upload-id", upload_id).code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_a_part_with_a_given_window(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """--part-size, or --offset and --part-size; the window ends at the end of the file."""
    upload_id = inside.run("init", "bucket/key").out.strip()
    windows = [(), ("--offset", "400000"), ("--offset", "800000")]
    for number, window in enumerate(windows, start=1):
        arguments = ("part", source, "bucket/key", "--upload-id", upload_id, "--part-number", str(number))
        assert inside.run(*arguments, *window, "--part-size", "400000").code == 0
    assert inside.run("complete", "bucket/key", "--upload-id", upload_id).code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_a_part_is_copied_inside_the_store(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """The beginning of an existing object need not be sent; its key may have blanks."""
    inside.run("upload", source, "bucket/old one", "--parts", "5")
    upload_id = inside.run("init", "bucket/key").out.strip()
    arguments = ("part", "bucket/key", "--upload-id", upload_id, "--copy-source", "bucket/old one")
    first = inside.run(*arguments, "--part-number", "1", "--copy-range", "0-599999")
    assert first.out.strip() == hashlib.md5(source.read_bytes()[:600_000]).hexdigest(), first.err
    second = inside.run(*arguments, "--part-number", "2", "--copy-range", "600000-999999", "--json")
    assert (second.json["command"], second.json["status"]) == ("part", "stored")
    done = inside.run("complete", "bucket/key", "--upload-id", upload_id, "--expect-size", str(SIZE))
    assert done.code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_a_source_that_changed_sends_no_part(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """An object must not mix two versions of its source; the checkpoint records the first one."""
    inside.run("init", source, "bucket/key", "--parts", "5")
    source.write_bytes(source.read_bytes()[::-1])
    outcome = inside.run("part", source, "bucket/key", "--part-number", "1")
    assert (outcome.code, "is not the file that the upload began with" in outcome.err) == (65, True)
    assert inside.run("complete", source, "bucket/key").code == 65
    assert sent(sandbox) == {}
    assert len(sandbox.uploads()) == 1


def test_a_part_that_is_stopped_keeps_the_upload(shell: Shell, sandbox: Sandbox, source: Path) -> None:
    """SIGTERM ends it with 143 after a grace period; nothing is aborted, and the part can be sent again."""
    shell.run("init", source, "bucket/key", "--parts", "5")
    sandbox.add_fault("error=503:SlowDown,op=part,times=always")
    with shell.begin("part", source, "bucket/key", "--part-number", "1") as process:
        wait_for(lambda: any(r.operation == "part" for r in sandbox.requests), within_s=30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
        process.communicate()
    sandbox.clear_faults()
    assert len(sandbox.uploads()) == 1
    assert shell.run("part", source, "bucket/key", "--part-number", "1").code == 0


def test_object_options_apply_with_single_steps(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """OSS sets the ACL on complete, which reads it from the checkpoint."""
    arguments = ("--provider", "oss", "--region", "cn-hangzhou", "--addressing", "path")
    initiated = inside.run("init", source, "bucket/key", *arguments, "--parts", "2", "--acl", "public-read")
    assert initiated.code == 0, initiated.err
    for number in "12":
        part = inside.run("part", source, "bucket/key", *arguments, "--part-number", number)
        assert part.code == 0, part.err
    done = inside.run("complete", source, "bucket/key", *arguments, "--json")
    assert done.json["verified"] == "crc64"
    assert sandbox.object_metadata("bucket", "key").attributes.acl == "public-read"


def test_a_damaged_checkpoint_is_reported_and_kept(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """No state is deleted automatically; --upload-id needs no checkpoint."""
    upload_id = inside.run("init", source, "bucket/key", "--parts", "5").out.strip()
    [path] = source.parent.glob("*.obsup.json")
    path.write_bytes(path.read_bytes()[:100])
    for step in ("part --part-number 1", "complete", "abort", "parts"):
        name, *more = step.split()
        outcome = inside.run(name, source, "bucket/key", *more)
        assert (outcome.code, str(path) in outcome.err) == (65, True), outcome.err
    arguments = ("part", source, "bucket/key", "--upload-id", upload_id, "--parts", "5", "--part-number", "1")
    assert inside.run(*arguments).code == 0
    assert len(path.read_bytes()) == 100


def test_status_sends_no_request(
    inside: Inside, sandbox: Sandbox, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows the checkpoints of one target or of all; nothing if there are none; 66 if the file is gone."""
    for key in ("one", "two"):
        inside.run("init", source, f"bucket/{key}", "--parts", "5")
    inside.run("part", source, "bucket/one", "--part-number", "4")
    before = len(sandbox.requests)
    for name in ("OBSUP_ENDPOINT", "AccessKeyID", "SecretAccessKey"):
        monkeypatch.delenv(name)
    found = inside.run("status", source, "--json").json["uploads"]
    assert sorted(one["key"] for one in found) == ["one", "two"]
    text = inside.run("status", source, "bucket/one")
    rows = dict(line.split(maxsplit=1) for line in text.out.replace("upload id", "upload-id").splitlines())
    assert (rows["target"], rows["parts"]) == ("bucket/one", "1 of 5 stored, 200000 each")
    assert (rows["missing"], rows["running"], rows["source"]) == ("1-3, 5", "no", "unchanged")
    source.write_bytes(b"")
    changed = inside.run("status", source, "bucket/one", "--json").json["uploads"][0]["sourceChanged"]
    assert changed[0] == f"size {SIZE} → 0"
    assert inside.run("status", source, "bucket/three").out == ""
    source.unlink()
    gone = inside.run("status", source, "bucket/one")
    assert (gone.code, gone.out.startswith("target"), "cannot read" in gone.err) == (66, True, True)
    assert inside.run("status", source.with_name("nothing")).code == 66
    assert len(sandbox.requests) == before


def test_a_checkpoint_in_another_folder(
    inside: Inside, sandbox: Sandbox, source: Path, tmp_path: Path
) -> None:
    """--checkpoint and --checkpoint-dir apply to every step; status finds it without them."""
    (tmp_path / "state").mkdir()
    for where in (
        ("--checkpoint", str(tmp_path / "mine.json")),
        ("--checkpoint-dir", str(tmp_path / "state")),
    ):
        key = f"bucket/key{where[0]}"
        assert inside.run("init", source, key, "--parts", "2", *where).code == 0
        assert inside.run("part", source, key, "--part-number", "2", *where).code == 0
        assert inside.run("status", source, key, "--json").json["uploads"][0]["storedParts"] == 1
        assert inside.run("part", source, key, "--part-number", "1", *where).code == 0
        assert inside.run("complete", source, key, *where).code == 0
    assert list(tmp_path.glob("*.json")) + list((tmp_path / "state").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("part bigfile bucket/key --part-number 1", "no upload of bigfile to bucket/key is recorded here"),
        ("complete bigfile bucket/key", "no upload of bigfile to bucket/key is recorded here"),
        ("complete bucket/key", "no upload id given for bucket/key"),
        ("abort bucket/key", "no upload id given for bucket/key"),
        ("parts bucket/key", "no upload id given for bucket/key"),
        ("part bucket/key --part-number 1", "Missing argument 'SOURCE', or --copy-source"),
        ("part - bucket/key --part-number 1", "A part from standard input needs --upload-id"),
        ("complete - bucket/key --upload-id X", "This step does not accept a stream"),
        ("part bigfile other bucket/key --part-number 1", "Expected [SOURCE] TARGET, not 3 arguments"),
        ("part bigfile bucket/key", "Missing option '--part-number'"),
        (
            "part bigfile bucket/key --upload-id X --part-number 0",
            "--part-number must be between 1 and 10000",
        ),
        (
            "part bigfile bucket/key --upload-id X --part-number 10001",
            "--part-number must be between 1 and 10000",
        ),
        ("part bigfile bucket/key --upload-id X --part-number 6 --parts 5", "Use --part-number 1 to 5"),
        (
            "part bigfile bucket/key --upload-id X --part-number 1 --offset 5 --parts 2",
            "--offset and --parts exclude each other",
        ),
        (
            "part bigfile bucket/key --upload-id X --part-number 1 --offset 2M --part-size 1M",
            "--offset 2097152 is beyond the end of the source",
        ),
        ("part bigfile bucket/key --part-number 1 --copy-range 0-9", "--copy-range needs --copy-source"),
        ("part bucket/key --part-number 1 --copy-source b/k --copy-range 9-0", "is not a range"),
        ("complete bucket/key --upload-id X --etag 5", "is not of the form N:ETAG"),
        ("complete bucket/key --upload-id X --etag 1:a --etag 1:b", "name a part twice"),
        ("init bucket/key --parts 5", "add it to obsup part"),
        ("gc bucket", "Missing option '--older-than'"),
    ],
)
def test_invalid_arguments_are_rejected_before_anything_is_sent(
    inside: Inside, sandbox: Sandbox, source: Path, arguments: str, message: str
) -> None:
    """Exit code 2 and a clear message."""
    outcome = inside.run(*arguments.split())
    assert (outcome.code, outcome.out) == (2, "")
    assert message in " ".join(outcome.err.split())
    assert sandbox.requests == []


def test_a_default_split_does_not_concern_a_recorded_upload(
    inside: Inside, sandbox: Sandbox, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one command began, any other continues, whatever the environment or the configuration file has."""
    assert inside.run("init", source, "bucket/key", "--parts", "5").code == 0
    monkeypatch.setenv("OBSUP_PART_SIZE", "300000")
    assert inside.run("part", source, "bucket/key", "--part-number", "4").code == 0
    monkeypatch.delenv("OBSUP_PART_SIZE")
    (source.parent / "config.toml").write_text("[defaults]\nparts = 2\n")
    upload = ("upload", source, "bucket/key", "--config", source.parent / "config.toml", "--json")
    assert inside.run(*upload, "--dry-run").json["parts"] == 5
    assert inside.run(*upload, "--dry-run", "--parts", "3").json["parts"] == 3
    finished = inside.run(*upload)
    assert (finished.code, finished.json["parts"], finished.json["sentParts"]) == (0, 5, 4)
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_the_split_of_a_checkpoint_cannot_change(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """--parts, --part-size and --offset must agree with it."""
    inside.run("init", source, "bucket/key", "--parts", "5")
    for other in (("--parts", "4"), ("--part-size", "300000"), ("--offset", "0", "--part-size", "300000")):
        outcome = inside.run("part", source, "bucket/key", "--part-number", "1", *other)
        assert (outcome.code, "The part size of an upload cannot change" in outcome.err) == (2, True)
    beyond = ("--part-number", "6", "--offset", str(source.stat().st_size))
    assert inside.run("part", source, "bucket/key", *beyond).code == 2
    same = ("--offset", "200000", "--part-size", "200000")
    assert inside.run("part", source, "bucket/key", "--part-number", "2", *same).code == 0
    assert sent(sandbox) == {2: 1}


def test_no_step_shows_a_secret(inside: Inside, sandbox: Sandbox, source: Path, home: Path) -> None:
    """Not in its output with -v, in its log or in its state files."""
    output = ""
    verbose = ("-v", "--log-file", "log")
    for arguments in (
        ("init", source, "bucket/key", "--parts", "2"),
        ("part", source, "bucket/key", "--part-number", "1"),
        ("complete", source, "bucket/key"),
        ("parts", source, "bucket/key"),
        ("uploads", "bucket", "--long"),
        ("abort", source, "bucket/key"),
    ):
        outcome = inside.run(*arguments, *verbose)
        output += outcome.out + outcome.err
    files = [path for folder in (source.parent, home) for path in folder.rglob("*") if path.is_file()]
    output += "".join(path.read_text() for path in files if path != source)
    assert "PUT" in output
    assert sandbox.secret_key not in output
    assert "Signature=" not in output

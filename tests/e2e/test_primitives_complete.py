"""complete checks the parts: faults are named and the upload is kept; completing twice succeeds."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import started_uploads
from obsup.model import Receipt
from obsup.sandbox.sandbox import Sandbox
from tests.support.in_process import Inside

MakeFile = Callable[..., Path]
SIZE = 1_000_000
PART = 200_000
S3 = ("--provider", "s3", "--region", "eu-west-1")


@pytest.fixture
def source(make_file: MakeFile) -> Path:
    """A file for five parts."""
    return make_file(SIZE)


@pytest.fixture
def all_parts(inside: Inside, source: Path) -> str:
    """The upload id of an upload with a checkpoint and all its parts."""
    upload_id = inside.run("init", source, "bucket/key", "--parts", "5").out.strip()
    for number in range(1, 6):
        assert inside.run("part", source, "bucket/key", "--part-number", str(number)).code == 0
    return upload_id


def open_with(inside: Inside, source: Path, sizes: list[int], *more: str) -> str:
    """Return the id of an upload without a checkpoint, with parts of these *sizes*; 0 omits a part."""
    upload_id = inside.run("init", "bucket/key", *more).out.strip()
    offset = 0
    for number, size in enumerate(sizes, start=1):
        if size:
            arguments = ("part", source, "bucket/key", "--upload-id", upload_id, "--part-number", str(number))
            window = ("--offset", str(offset), "--part-size", str(size))
            assert inside.run(*arguments, *window, *more).code == 0
        offset += size
    return upload_id


def record(source: Path, number: int, etag: str) -> None:
    """Record in the checkpoint that part *number* was confirmed with *etag*."""
    [path] = source.parent.glob("*.obsup.json")
    found = checkpoints.load(path)
    assert found is not None
    receipt = Receipt(number, PART, etag, etag)
    assert checkpoints.record(path, found.upload, receipt)


@pytest.mark.parametrize(
    ("sizes", "arguments", "fault"),
    [
        ([PART, 0, PART, 0, 0], ("--parts", "5"), "parts 2, 4-5 are missing"),
        ([PART, 0, PART], (), "part 2 is missing"),
        ([PART] * 3, ("--parts", "2"), "part 3 is not expected"),
        ([PART] * 3, ("--parts", "4"), "part 4 is missing"),
        ([PART, PART // 2, PART], (), "part 2 has the wrong size"),
        ([PART, PART, PART * 2], (), "part 3 has the wrong size"),
        ([PART] * 3, ("--expect-size", "500000"), "the parts together have 600000 bytes, not 500000"),
        ([PART] * 3, ("bigfile",), "the parts together have 600000 bytes, not 1000000"),
        ([PART] * 2, ("--etag", "3:" + "0" * 32), "part 3 is missing; parts 1-2 are not expected"),
        ([], ("--parts", "2"), "parts 1-2 are missing"),
    ],
)
def test_an_incomplete_list_is_reported_and_the_upload_kept(
    inside: Inside, sandbox: Sandbox, source: Path, sizes: list[int], arguments: tuple[str, ...], fault: str
) -> None:
    """Exit 65; the upload is unchanged."""
    upload_id = open_with(inside, source, sizes)
    before = sandbox.uploads()
    sources = [argument for argument in arguments if not argument.startswith("-") and argument == "bigfile"]
    options = [argument for argument in arguments if argument not in sources]
    outcome = inside.run("complete", *sources, "bucket/key", "--upload-id", upload_id, *options)
    assert (outcome.code, outcome.out) == (65, "")
    assert f"cannot assemble the object: {fault}." in outcome.err
    assert ("the SOURCE of these parts" in outcome.err) == ("together" in fault)
    assert sandbox.uploads() == before
    assert not sandbox.object_path("bucket", "key").exists()


def test_the_etags_of_a_checkpoint_are_compared(
    inside: Inside, sandbox: Sandbox, source: Path, all_parts: str
) -> None:
    """Another process has sent a part with other bytes of the right size."""
    other = source.with_name("other")
    other.write_bytes(b"x" * PART)
    arguments = ("part", other, "bucket/key", "--upload-id", all_parts, "--part-number", "3")
    inside.run(*arguments, "--offset", "0", "--part-size", str(PART))
    outcome = inside.run("complete", source, "bucket/key")
    assert (outcome.code, "part 3 has another ETag than was confirmed" in outcome.err) == (65, True)
    assert len(sandbox.uploads()) == 1
    assert inside.run("part", source, "bucket/key", "--part-number", "3").code == 0
    assert inside.run("complete", source, "bucket/key").code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_parts_that_are_not_recorded_are_compared_with_the_source(
    inside: Inside, sandbox: Sandbox, source: Path
) -> None:
    """A part sent by another machine counts only if it has the bytes of the source."""
    upload_id = inside.run("init", source, "bucket/key", "--parts", "5").out.strip()
    other = source.with_name("other")
    other.write_bytes(source.read_bytes()[: 4 * PART] + b"x" * PART)
    for number in range(1, 6):
        away = ("--upload-id", upload_id, "--checkpoint", "none.json", "--parts", "5")
        arguments = ("part", other, "bucket/key", "--part-number", str(number), *away)
        assert inside.run(*arguments).code == 0
    outcome = inside.run("complete", source, "bucket/key")
    assert (outcome.code, "part 5 does not match" in outcome.err) == (65, True)
    assert inside.run("part", source, "bucket/key", "--part-number", "5").code == 0
    assert inside.run("complete", source, "bucket/key", "--json").json["verified"] == "etag"
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_verify_source_compares_parts_without_a_checkpoint(
    inside: Inside, sandbox: Sandbox, source: Path
) -> None:
    """Without it a list with the right sizes is enough."""
    upload_id = open_with(inside, source, [PART] * 5)
    other = source.with_name("other")
    other.write_bytes(bytes(SIZE))
    arguments = ("complete", other, "bucket/key", "--upload-id", upload_id)
    outcome = inside.run(*arguments, "--verify-source")
    assert (outcome.code, "parts 1-5 do not match" in outcome.err) == (65, True)
    done = inside.run("complete", source, *arguments[2:], "--verify-source", "--json")
    assert done.json["verified"] == "etag"


@pytest.mark.parametrize("form", ["--etag", "lines", "colons", "parts"])
def test_a_given_list_of_etags(inside: Inside, sandbox: Sandbox, source: Path, form: str) -> None:
    """In any order, with or without quotes, or as printed by obsup parts."""
    upload_id = open_with(inside, source, [PART, PART])
    md5s = [hashlib.md5(source.read_bytes()[n * PART : (n + 1) * PART]).hexdigest() for n in (0, 1)]
    listing = source.with_name("list")
    if form == "lines":
        listing.write_text(f'# comment\n2 "{md5s[1]}"\n\n1\t{md5s[0].upper()}\n')
    elif form == "colons":
        listing.write_text(f"2:{md5s[1]}\n1:{md5s[0]}\n")
    elif form == "parts":
        listing.write_text(inside.run("parts", "bucket/key", "--upload-id", upload_id).out)
    by_hand = ["--etag", f"2:{md5s[1]}", "--etag", f'1:"{md5s[0]}"']
    arguments = by_hand if form == "--etag" else ["--etags-from", str(listing)]
    assert inside.run("complete", "bucket/key", "--upload-id", upload_id, *arguments).code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()[: 2 * PART]


def test_a_given_list_that_differs_from_the_stores(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """Another ETag, one more part, and an invalid list."""
    upload_id = open_with(inside, source, [PART, PART])
    md5s = [hashlib.md5(source.read_bytes()[n * PART : (n + 1) * PART]).hexdigest() for n in (0, 1)]
    arguments = ("complete", "bucket/key", "--upload-id", upload_id)
    swapped = inside.run(*arguments, "--etag", f"1:{md5s[1]}", "--etag", f"2:{md5s[0]}")
    assert (swapped.code, "parts 1-2 have another ETag" in swapped.err) == (65, True)
    longer = inside.run(*arguments, *(f"--etag={n}:{md5s[0]}" for n in (1, 2, 3)))
    assert (longer.code, "part 3 is missing" in longer.err) == (65, True)
    listing = source.with_name("list")
    listing.write_text("one two three\n")
    assert inside.run(*arguments, "--etags-from", listing).code == 2
    listing.write_bytes(b"\xff\xfe")
    binary = inside.run(*arguments, "--etags-from", listing)
    assert (binary.code, "the file of --etags-from is not text" in binary.err) == (2, True)
    listing.write_text("")
    assert inside.run(*arguments, "--etags-from", listing).code == 65
    assert len(sandbox.uploads()) == 1


def test_complete_twice(inside: Inside, sandbox: Sandbox, source: Path, all_parts: str) -> None:
    """On the same machine with the checkpoint gone, and with the upload id."""
    first = inside.run("complete", source, "bucket/key")
    assert inside.run("complete", source, "bucket/key").out == first.out
    assert inside.run("complete", "bucket/key", "--upload-id", all_parts).out == first.out
    assert sum(r.operation == "complete" for r in sandbox.requests) == 1


def test_complete_twice_on_another_machine(
    inside: Inside,
    sandbox: Sandbox,
    source: Path,
    all_parts: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OBS shows which upload made an object; the object of another upload is never taken for it."""
    first = inside.run("complete", source, "bucket/key")
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    repeated = inside.run("complete", "bucket/key", "--upload-id", all_parts, "--json")
    assert (repeated.json["etag"], repeated.json["verified"]) == (first.out.strip(), "upload-id")
    assert (repeated.json["parts"], repeated.json["size"]) == (5, SIZE)
    inside.run("upload", source, "bucket/key", "--parts", "2")
    gone = inside.run("complete", "bucket/key", "--upload-id", all_parts)
    assert (gone.code, "NoSuchUpload" in gone.err) == (69, True)


def test_complete_twice_if_the_store_shows_no_upload_id(
    inside: Inside, sandbox: Sandbox, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3: the token verifies the object on the machine that knows it, the ETags on any other."""
    big = source.with_name("big")
    big.write_bytes(bytes(6_000_000))
    upload_id = open_with(inside, big, [5_500_000, 500_000], *S3)
    listing = inside.run("parts", "bucket/key", "--upload-id", upload_id, *S3).out
    arguments = ("complete", "bucket/key", "--upload-id", upload_id, *S3)
    first = inside.run(*arguments)
    assert first.code == 0, first.err
    assert inside.run(*arguments, "--json").json["verified"] in ("etag", "token")
    monkeypatch.setenv("HOME", str(tmp_path / "elsewhere"))
    assert inside.run(*arguments).code == 69
    (tmp_path / "list").write_text(listing)
    verified = inside.run(*arguments, "--etags-from", tmp_path / "list", "--json")
    assert (verified.json["verified"], verified.json["etag"]) == ("etag", first.out.strip())


@pytest.mark.parametrize(
    "fault", ["drop-answer", "error-after=500:InternalError", "error-in-200=InternalError,done=1"]
)
def test_a_lost_response_is_not_a_failure(
    inside: Inside, sandbox: Sandbox, source: Path, all_parts: str, fault: str
) -> None:
    """The object is checked, and nothing is assembled twice."""
    sandbox.add_fault(f"{fault},op=complete")
    outcome = inside.run("complete", source, "bucket/key", "--json")
    assert (outcome.code, outcome.json["status"]) == (0, "completed"), outcome.err
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert list(source.parent.glob("*.obsup.json")) == []


def test_complete_can_be_repeated_after_a_kill(
    inside: Inside, sandbox: Sandbox, source: Path, all_parts: str
) -> None:
    """The checkpoint still exists, but the upload does not."""
    [path] = source.parent.glob("*.obsup.json")
    saved = path.read_bytes()
    first = inside.run("complete", source, "bucket/key")
    path.write_bytes(saved)
    assert inside.run("complete", source, "bucket/key").out == first.out
    assert not path.exists()


@pytest.mark.parametrize("provider", ["obs", "s3", "oss"])
def test_an_upload_that_is_still_listed_after_complete_is_not_completed_again(
    inside: Inside, sandbox: Sandbox, source: Path, provider: str
) -> None:
    """A gateway died between object and list, and so did obsup: upload id or token show that the object is ours."""
    arguments = ("bucket/key", "--provider", provider, "--region", "eu-west-1")
    if provider == "s3":
        source.write_bytes(bytes(6 * 2**20))
    upload_id = inside.run("init", source, *arguments, "--parts", "1").out.strip()
    assert inside.run("part", source, *arguments, "--part-number", "1").code == 0
    [saved] = source.parent.glob("*.obsup.json")
    recorded = saved.read_bytes()
    sandbox.add_fault("keep-upload,op=complete")
    etag = inside.run("complete", source, *arguments).out
    saved.write_bytes(recorded)
    first = len(sandbox.requests)
    repeated = inside.run("complete", source, *arguments)
    assert (repeated.code, repeated.out) == (0, etag)
    assert [one.operation for one in sandbox.requests[first:]] == ["parts", "head", "parts"]
    assert f"upload {upload_id}, which made it; do not abort it" in repeated.err
    assert [one.upload_id for one in sandbox.uploads()] == [upload_id]


def test_complete_keeps_the_upload_if_the_store_rejects_it(
    inside: Inside, sandbox: Sandbox, source: Path, all_parts: str
) -> None:
    """403 and InvalidPart: the exit code differs, and all parts are kept."""
    sandbox.add_fault("error=403:AccessDenied,op=complete,times=always")
    assert inside.run("complete", source, "bucket/key").code == 77
    sandbox.clear_faults()
    sandbox.add_fault("error=400:InvalidPart,op=complete")
    assert inside.run("complete", source, "bucket/key").code == 65
    assert len(sandbox.uploads()[0].parts) == 5
    assert inside.run("complete", source, "bucket/key").code == 0


def test_an_encrypted_upload_is_completed_from_its_checkpoint(
    inside: Inside, sandbox: Sandbox, source: Path
) -> None:
    """Its ETags are not MD5s: the receipts verify the parts, also in later runs, and the upload id the object."""
    arguments = (source, "bucket/key")
    assert inside.run("init", *arguments, "--parts", "2", "--sse", "kms").code == 0
    for number in "12":
        assert inside.run("part", *arguments, "--part-number", number).code == 0
    [path] = source.parent.glob("*.obsup.json")
    saved = checkpoints.load(path)
    assert saved is not None
    done = inside.run("complete", *arguments, "--json")
    assert (done.code, done.json["verified"]) == (0, "upload-id"), done.err
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert inside.run("complete", *arguments).out.strip() == done.json["etag"]

    # As after a kill between the object and its record; then without the checkpoint again.
    shutil.rmtree(started_uploads.folder())
    checkpoints.save(path, replace(saved, is_complete_sent=True))
    for _run in range(2):
        assert inside.run("complete", *arguments).out.strip() == done.json["etag"]
        assert not path.exists()
    source.write_bytes(bytes(SIZE))
    assert inside.run("complete", *arguments).code == 65


@pytest.mark.parametrize("option", [("--no-overwrite",), ("--acl", "private")])
def test_options_that_the_provider_does_not_support_on_complete_are_rejected_first(
    inside: Inside, sandbox: Sandbox, source: Path, option: tuple[str, ...]
) -> None:
    """OBS supports no condition on complete, and the ACL only on init: nothing is sent."""
    outcome = inside.run("complete", "bucket/key", "--upload-id", "any", *option)
    assert (outcome.code, outcome.out) == (2, "")
    assert sandbox.requests == []


def test_a_default_acl_is_that_of_init(inside: Inside, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configured ACL applies to all steps of an upload; complete does not reject it where it takes none."""
    (source.parent / "config.toml").write_text('[defaults]\nacl = "private"\n')
    monkeypatch.setenv("OBSUP_CONFIG", str(source.parent / "config.toml"))
    for command in ("init", "part", "complete"):
        number = ("--part-number", "1") if command == "part" else ()
        outcome = inside.run(command, source, "bucket/key", *number)
        assert outcome.code == 0, outcome.err


def test_10000_missing_parts_are_shown_as_a_range(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """And in a short time."""
    upload_id = open_with(inside, source, [PART])
    started = time.process_time()
    outcome = inside.run("complete", "bucket/key", "--upload-id", upload_id, "--parts", "10000")
    assert "parts 2-10000 are missing" in outcome.err
    assert time.process_time() - started < 5


@pytest.mark.parametrize("is_here", [True, False], ids=["this machine", "another machine"])
def test_strict_options_of_an_upload_id(
    inside: Inside,
    sandbox: Sandbox,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    is_here: bool,
) -> None:
    """Only the machine that initiated the upload knows its options; on another one, a note says so."""
    upload_id = inside.run("init", source, "bucket/key", "--parts", "1", "--metadata", "a=b").out.strip()
    assert inside.run("part", source, "bucket/key", "--part-number", "1").code == 0
    if not is_here:
        monkeypatch.setenv("OBSUP_STATE_DIR", str(tmp_path / "another"))
    complete = ("complete", "bucket/key", "--upload-id", upload_id, "--expect-size", str(SIZE))
    outcome = inside.run(*complete, "--strict-options")
    assert (outcome.code, "options of the object were not compared" in outcome.err) == (0, not is_here)


def test_missing_parts_of_a_recorded_file(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """This machine knows the size of the file for which it initiated the upload, also without its checkpoint."""
    upload_id = inside.run("init", source, "bucket/key", "--parts", "5").out.strip()
    assert inside.run("part", source, "bucket/key", "--part-number", "1").code == 0
    for checkpoint in source.parent.glob("*.obsup.json"):
        checkpoint.unlink()
    outcome = inside.run("complete", "bucket/key", "--upload-id", upload_id)
    assert (outcome.code, str(SIZE) in outcome.err) == (65, True), outcome.err
    assert len(sandbox.uploads()) == 1


def test_the_upload_of_a_stream_is_not_completed_by_hand(
    inside: Inside, sandbox: Sandbox, source: Path, all_parts: str
) -> None:
    """Its checkpoint does not show whether the stream has ended."""
    [path] = source.parent.glob("*.obsup.json")
    found = checkpoints.load(path)
    assert found is not None
    checkpoints.save(path, replace(found, source="command:0123abcd"))
    stream = replace(found.upload, upload_id=inside.run("init", "bucket/other").out.strip())
    stream = replace(stream, target=replace(stream.target, key="other"))
    started_uploads.add(started_uploads.StartedUpload(stream, "-", None, 0.0))
    for arguments in (
        ("part", source, "bucket/key", "--part-number", "1"),
        ("complete", source, "bucket/key"),
        ("complete", "bucket/other", "--upload-id", stream.upload_id),
    ):
        outcome = inside.run(*arguments)
        assert (outcome.code, "is the upload of a stream" in outcome.err) == (2, True)
    assert len(sandbox.uploads()) == 2

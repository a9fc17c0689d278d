"""part: from standard input, with a given MD5, from an offset to the end; and copies of one version of an object."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from obsup.engine.job.connection import connect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.stop import StopSignal
from obsup.engine.job.target_settings import ConnectOptions, resolve_target
from obsup.engine.steps.copy_part import CopySource, copy_one
from obsup.engine.steps.lookup import UploadSelector
from obsup.errors import DataMismatch
from obsup.local.state.lock import UploadLock
from obsup.model import Target
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.mutating_relay import Answer, MutatingRelay, Wire, framed, with_other_headers
from tests.support.in_process import Inside
from tests.support.shell import Shell
from tests.support.upload_rig import when_requested

MakeFile = Callable[..., Path]
SIZE = 500_000
PART = 200_000


@pytest.fixture
def source(make_file: MakeFile) -> Path:
    """A file for three parts."""
    return make_file(SIZE)


def md5_of(data: bytes) -> str:
    """Return the MD5 in hex."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def piped(shell: Shell, data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run ``obsup part - bucket/key`` with *data* in its pipe."""
    return subprocess.run(
        [sys.executable, "-m", "obsup", "part", "-", "bucket/key", *arguments],
        input=data,
        cwd=shell.folder,
        env={**os.environ, **shell.environment},
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_parts_from_a_pipe(shell: Shell, sandbox: Sandbox, source: Path) -> None:
    """Each command reads exactly its part, so that several can read one pipe; the last reads the rest."""
    upload_id = shell.run("init", "bucket/key").out.strip()
    obsup = f"{sys.executable} -m obsup part - bucket/key --upload-id {upload_id} --part-number"
    script = f"cat bigfile | ({obsup} 1 --part-size {PART}; {obsup} 2 --part-size {PART}; {obsup} 3)"
    outcome = shell.run_script(script)
    data = source.read_bytes()
    etags = [md5_of(data[start : start + PART]) for start in (0, PART, 2 * PART)]
    assert (outcome.code, outcome.out.split()) == (0, etags), outcome.err
    done = shell.run("complete", source, "bucket/key", "--upload-id", upload_id, "--parts", "3")
    assert done.code == 0, done.err
    assert sandbox.object_path("bucket", "key").read_bytes() == data


@pytest.mark.parametrize(
    ("setting", "environment"),
    [
        ('part_size = "150K"', {}),
        ("parts = 4", {}),
        ("", {"OBSUP_PART_SIZE": "150K"}),
        ("", {"OBSUP_PARTS": "4"}),
    ],
)
def test_a_default_split_cuts_off_no_part(
    shell: Shell, source: Path, setting: str, environment: dict[str, str]
) -> None:
    """It is that of whole uploads: a pipe, and a window without an end, are read to their end."""
    (shell.folder / "config.toml").write_text(f"[defaults]\n{setting}\n")
    shell = Shell(shell.folder, {**shell.environment, **environment})
    upload_id = shell.run("init", "bucket/key").out.strip()
    own = ("--upload-id", upload_id, "--config", "config.toml", "--json", "--part-number")
    sent = piped(shell, source.read_bytes(), *own, "1")
    assert json.loads(sent.stdout)["size"] == SIZE, sent.stderr
    assert shell.run("part", source, "bucket/key", *own, "2", "--offset", "10").json["size"] == SIZE - 10


def test_a_part_from_an_empty_pipe_is_not_sent(shell: Shell, sandbox: Sandbox) -> None:
    """The command that should have written it may have failed."""
    upload_id = shell.run("init", "bucket/key").out.strip()
    outcome = piped(shell, b"", "--upload-id", upload_id, "--part-number", "1")
    assert (outcome.returncode, b"standard input is empty" in outcome.stderr) == (66, True), outcome.stderr
    assert b"\xe2\x80\xa6 | obsup part -" in outcome.stderr, outcome.stderr
    assert len(sandbox.uploads()[0].parts) == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--part-number", "1"),
        ("--part-number", "1", "--upload-id", "x", "--offset", "5"),
        ("--part-number", "1", "--upload-id", "x", "--parts", "5"),
        ("--part-number", "1", "--upload-id", "x", "--checkpoint", "file"),
        ("--part-number", "0", "--upload-id", "x"),
        ("--part-number", "1", "--upload-id", "x", "--part-size", "6G"),
    ],
)
def test_what_does_not_apply_to_a_pipe_is_refused_before_it_is_read(
    inside: Inside, sandbox: Sandbox, options: tuple[str, ...]
) -> None:
    """Exit 2, and nothing is sent."""
    assert inside.run("part", "-", "bucket/key", *options).code == 2
    assert sandbox.requests == []


def test_a_file_named_minus(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """./- is a file, as for other tools."""
    source.rename(source.with_name("-"))
    upload_id = inside.run("init", "bucket/key").out.strip()
    outcome = inside.run(
        "part", "./-", "bucket/key", "--upload-id", upload_id, "--part-number", "1", "--offset", "0"
    )
    assert outcome.out.strip() == md5_of(source.with_name("-").read_bytes()), outcome.err


@pytest.mark.parametrize("form", ["hex", "HEX", "base64"])
def test_the_md5_of_a_part_is_sent(inside: Inside, sandbox: Sandbox, source: Path, form: str) -> None:
    """As Content-MD5; another MD5 is refused before anything is sent."""
    digest = hashlib.md5(source.read_bytes()[:PART]).digest()
    given = {"hex": digest.hex(), "HEX": digest.hex().upper(), "base64": b64encode(digest).decode()}[form]
    upload_id = inside.run("init", "bucket/key").out.strip()
    arguments = ("part", source, "bucket/key", "--upload-id", upload_id, "--part-size", str(PART))
    refused = inside.run(*arguments, "--part-number", "2", "--md5", given)
    assert (refused.code, "does not have the given MD5" in refused.err) == (65, True), refused.err
    assert "part" not in [one.operation for one in sandbox.requests]
    assert inside.run(*arguments, "--part-number", "1", "--md5", given).code == 0
    sent = {name.lower(): value for name, value in sandbox.requests[-1].headers}
    assert sent["content-md5"] == b64encode(digest).decode()
    for invalid in ("", "0" * 31, "g" * 32, "AAAA"):
        assert inside.run(*arguments, "--part-number", "1", "--md5", invalid).code == 2


def test_an_offset_alone_reads_to_the_end(inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """As the vendors' clients do without a part size."""
    upload_id = inside.run("init", "bucket/key").out.strip()
    arguments = ("part", source, "bucket/key", "--upload-id", upload_id)
    first = ("--part-number", "1", "--offset", "0", "--part-size", "300000")
    assert inside.run(*arguments, *first).code == 0
    assert inside.run(*arguments, "--part-number", "2", "--offset", "300000").code == 0
    assert inside.run(*arguments, "--part-number", "3", "--offset", str(SIZE + 1)).code == 2
    assert inside.run(*arguments, "--part-number", "3", "--offset", "0", "--parts", "2").code == 2
    assert inside.run("complete", source, "bucket/key", "--upload-id", upload_id).code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_two_commands_for_the_same_part_exclude_each_other(
    inside: Inside, sandbox: Sandbox, source: Path
) -> None:
    """Other parts, and the same part of another upload, are free; --if-running applies."""
    upload_id = inside.run("init", "bucket/key").out.strip()
    arguments = ("part", source, "bucket/key", "--parts", "3", "--upload-id", upload_id, "--part-number")
    target = Target("obs", sandbox.endpoint, "bucket", "key")
    with UploadLock(target, shared=True), UploadLock(target, part=(upload_id, 2)):
        busy = inside.run(*arguments, "2")
        assert (busy.code, "another obsup is sending part 2 of bucket/key" in busy.err) == (75, True)
        skipped = inside.run(*arguments, "2", "--if-running", "skip", "--json")
        assert (skipped.code, skipped.json["status"], skipped.json["reason"]) == (0, "skipped", "running")
        assert "part" not in [one.operation for one in sandbox.requests]
        copied = inside.run("part", "bucket/key", *arguments[5:], "2", "--copy-source", "bucket/old")
        assert copied.code == 75, copied.err
        assert inside.run(*arguments, "1").code == 0
    with UploadLock(target, part=("another", 2)):
        assert inside.run(*arguments, "2").code == 0


@pytest.mark.parametrize("command", ["init", "complete", "abort"])
def test_no_result_is_not_a_success(command: str, inside: Inside, sandbox: Sandbox, source: Path) -> None:
    """With --if-running skip, another run uploads the file or the part; nothing does the work of these commands."""
    with UploadLock(Target("obs", sandbox.endpoint, "bucket", "key"), shared=True):
        outcome = inside.run(command, source, "bucket/key", "--if-running", "skip")
    assert (outcome.code, outcome.out) == (75, ""), outcome.err


@pytest.fixture
def copying(inside: Inside, source: Path) -> tuple[str | Path, ...]:
    """The words of a command that copies a part of bucket/old; its number and range follow."""
    assert inside.run("upload", source, "bucket/old", "--part-size", str(PART)).code == 0
    upload_id = inside.run("init", "bucket/key").out.strip()
    return ("part", "bucket/key", "--upload-id", upload_id, "--copy-source", "bucket/old")


RANGES = (
    ("--part-number", "1", "--copy-range", "0-199999"),
    ("--part-number", "2", "--copy-range", "200000-399999"),
    ("--part-number", "3", "--copy-range", "400000-499999"),
)


def test_a_source_that_changes_between_two_copies(
    inside: Inside, sandbox: Sandbox, source: Path, copying: tuple[str, ...]
) -> None:
    """Exit 65; nothing is copied, and the stored parts are kept. With its first content again it goes on."""
    before = source.read_bytes()
    assert inside.run(*copying, *RANGES[0]).code == 0
    source.write_bytes(bytes(SIZE))
    inside.run("upload", source, "bucket/old", "--part-size", str(PART))
    changed = inside.run(*copying, *RANGES[1])
    assert (changed.code, "bucket/old changed since its first part was copied" in changed.err) == (65, True)
    [upload] = sandbox.uploads()
    assert list(upload.parts) == [1]
    source.write_bytes(before)
    inside.run("upload", source, "bucket/old", "--part-size", str(PART))
    for span in RANGES[1:]:
        assert inside.run(*copying, *span).code == 0
    done = inside.run("complete", "bucket/key", "--upload-id", upload.upload_id, "--parts", "3")
    assert done.code == 0, done.err
    assert sandbox.object_path("bucket", "key").read_bytes() == before
    assert list((Path.home() / ".local/state/obsup/uploads").glob("*.copies.json")) == []


def test_a_first_copy_that_failed_binds_nothing(
    inside: Inside, sandbox: Sandbox, source: Path, copying: tuple[str, ...]
) -> None:
    """No part was copied from the first version, so that the second one is used."""
    sandbox.add_fault("error=403:AccessDenied,op=copy,times=always")
    assert inside.run(*copying, *RANGES[0]).code == 77
    sandbox.clear_faults()
    source.write_bytes(bytes(SIZE))
    inside.run("upload", source, "bucket/old", "--part-size", str(PART))
    for span in RANGES:
        assert inside.run(*copying, *span).code == 0
    [upload] = sandbox.uploads()
    assert inside.run("complete", source, "bucket/key", "--upload-id", upload.upload_id).code == 0


def test_a_copy_without_a_response(
    inside: Inside, sandbox: Sandbox, source: Path, copying: tuple[str, ...]
) -> None:
    """The store may have copied the part: complete refuses it until it is copied again."""
    sandbox.add_fault("drop-answer,op=copy,times=always")
    assert inside.run(*copying, *RANGES[0], "--retry-for", "0s").code == 75
    sandbox.clear_faults()
    source.write_bytes(bytes(SIZE))
    inside.run("upload", source, "bucket/old", "--part-size", str(PART))
    for span in RANGES[1:]:
        assert inside.run(*copying, *span).code == 0
    [upload] = sandbox.uploads()
    assert sorted(upload.parts) == [1, 2, 3]
    complete = ("complete", "bucket/key", "--upload-id", upload.upload_id, "--parts", "3")
    refused = inside.run(*complete)
    assert (refused.code, "part 1 was copied while bucket/old changed, or" in refused.err) == (65, True)
    assert inside.run(*copying, *RANGES[0]).code == 0
    assert inside.run(*complete).code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == bytes(SIZE)


@pytest.mark.parametrize("error", ["403:AccessDenied", "404:NoSuchKey"])
def test_a_source_that_cannot_be_looked_at_after_the_copy(
    inside: Inside, sandbox: Sandbox, copying: tuple[str, ...], error: str
) -> None:
    """Complete would refuse the part, so that its copy is no success; the same command copies it again."""
    sandbox.add_fault(f"error={error},op=head,after=1,times=always")
    outcome = inside.run(*copying, *RANGES[0])
    sandbox.clear_faults()
    assert (outcome.code, "part 1 was copied, but bucket/old may have changed" in outcome.err) == (65, True)
    assert "the ETag of the source before the copy, but not after it" in outcome.err
    for span in RANGES:
        assert inside.run(*copying, *span).code == 0
    [upload] = sandbox.uploads()
    assert inside.run("complete", "bucket/key", "--upload-id", upload.upload_id, "--parts", "3").code == 0


def test_a_source_that_the_store_did_not_have_before_the_copy(
    inside: Inside, sandbox: Sandbox, copying: tuple[str, ...]
) -> None:
    """HeadObject shows none, but the copy succeeds: of which version, nothing shows. Complete refuses the part."""
    sandbox.add_fault("error=404:NoSuchKey,op=head")
    outcome = inside.run(*copying, *RANGES[0])
    assert (outcome.code, "returned before the copy that the source does not exist" in outcome.err) == (
        65,
        True,
    )
    for span in RANGES[1:]:
        assert inside.run(*copying, *span).code == 0
    [upload] = sandbox.uploads()
    complete = ("complete", "bucket/key", "--upload-id", upload.upload_id, "--parts", "3")
    assert inside.run(*complete).code == 65
    assert inside.run(*copying, *RANGES[0]).code == 0
    assert inside.run(*complete).code == 0


def test_a_source_without_an_etag_is_noted(
    inside: Inside, sandbox: Sandbox, copying: tuple[str, ...]
) -> None:
    """Nothing shows whether all parts are copied from one version of it."""

    def without_etag(answer: Answer) -> Wire | None:
        return with_other_headers(answer, drop={"etag"}) if answer.operation == "head" else None

    with MutatingRelay(sandbox.port, without_etag) as relay:
        outcome = inside.run(*copying, *RANGES[0], "--endpoint", relay.endpoint)
    assert outcome.code == 0, outcome.err
    assert "it cannot be checked that all parts are copied from one version of bucket/old" in outcome.err


def test_a_source_that_changes_just_before_a_copy(
    inside: Inside, sandbox: Sandbox, source: Path, copying: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store checks If-Match. HEAD found the first version, so the change falls between the two requests."""
    assert inside.run(*copying, *RANGES[0]).code == 0
    sandbox.add_fault("error=412:PreconditionFailed,op=copy")
    refused = inside.run(*copying, *RANGES[1])
    assert (refused.code, "changed since its first part was copied" in refused.err) == (65, True), refused.err
    copies = [dict(one.headers) for one in sandbox.requests if one.operation == "copy"]
    etag = sandbox.object_metadata("bucket", "old").etag
    assert {one["x-obs-copy-source-if-match"] for one in copies} == {f'"{etag}"'}


def test_a_store_that_ignores_the_condition(
    inside: Inside, sandbox: Sandbox, source: Path, copying: tuple[str, ...]
) -> None:
    """The source is looked at again after the copy; complete refuses the part until it is copied again."""
    assert inside.run(*copying, *RANGES[0]).code == 0
    before = source.read_bytes()

    [upload] = sandbox.uploads()

    def change() -> None:
        source.write_bytes(bytes(SIZE))
        inside.run("upload", source, "bucket/old", "--part-size", str(PART))

    target, settings = resolve_target(
        "bucket/key", ConnectOptions(sandbox.endpoint, provider="obs"), file_name=None
    )
    tally = ProgressTally(None, when_requested("UploadPartCopy", change))
    stop = StopSignal()
    context = UploadContext(
        connect(settings, observe=tally, sleep=stop.sleep), UploadRequest(Path("-"), target), tally, stop
    )
    selector = UploadSelector(target, None, upload.upload_id)
    with pytest.raises(DataMismatch, match="part 2 may have both contents"):
        copy_one(context, selector, 2, CopySource("bucket", "old", (200_000, 399_999)))
    source.write_bytes(before)
    inside.run("upload", source, "bucket/old", "--part-size", str(PART))
    assert inside.run(*copying, *RANGES[2]).code == 0
    complete = ("complete", "bucket/key", "--upload-id", upload.upload_id, "--parts", "3")
    refused = inside.run(*complete)
    assert (refused.code, "part 2 was copied while bucket/old changed" in refused.err) == (65, True)
    assert inside.run(*copying, *RANGES[1]).code == 0
    assert inside.run(*complete).code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == before


@pytest.mark.parametrize("version", ["", "?versionId=v+1"], ids=["current", "version"])
def test_a_store_that_ignores_the_range(
    inside: Inside,
    sandbox: Sandbox,
    copying: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    version: str,
) -> None:
    """The list shows another size: exit 65, and complete refuses the part until it is copied again."""
    copying = tuple(f"bucket/old{version}" if one == "bucket/old" else one for one in copying)

    def enlarge(answer: Answer) -> Wire | None:
        body = answer.body.replace(b"<Size>200000<", f"<Size>{SIZE}<".encode())
        return Wire(framed(replace(answer, body=body))) if answer.operation == "parts" else None

    [upload] = sandbox.uploads()
    complete = ("complete", "bucket/key", "--upload-id", upload.upload_id, "--parts", "3")
    with MutatingRelay(sandbox.port, enlarge) as relay:
        monkeypatch.setenv("OBSUP_ENDPOINT", relay.endpoint)
        wrong = inside.run(*copying, *RANGES[0])
        assert wrong.code == 65
        assert "part 1 has 500000 bytes of bucket/old, not the 200000" in wrong.err
        relay.change = lambda _: None
        for span in RANGES[1:]:
            assert inside.run(*copying, *span).code == 0
        assert inside.run(*complete).code == 65
        assert inside.run(*copying, *RANGES[0]).code == 0
        assert inside.run(*complete).code == 0


@pytest.mark.parametrize("named", ["", "?versionId=v1"], ids=["shown", "named"])
def test_another_version_was_copied_than_the_store_shows(
    inside: Inside, sandbox: Sandbox, copying: tuple[str, ...], named: str
) -> None:
    """It shows an old ETag, or ignores the version: complete refuses the part until it is copied again."""
    copying = tuple(f"bucket/old{named}" if one == "bucket/old" else one for one in copying)
    copied = "v2"

    def with_versions(answer: Answer) -> Wire | None:
        versions = {"head": {"x-obs-version-id": "v1"}, "copy": {"x-obs-copy-source-version-id": copied}}
        return with_other_headers(answer, add=versions.get(answer.operation))

    [upload] = sandbox.uploads()
    with MutatingRelay(sandbox.port, with_versions) as relay:
        where = ("--endpoint", relay.endpoint)
        complete = ("complete", "bucket/key", "--upload-id", upload.upload_id, "--parts", "1", *where)
        command = (*copying, "--part-number", "1", *where)
        wrong = inside.run(*command)
        assert (wrong.code, "part 1 is from version v2 of bucket/old, not from v1" in wrong.err) == (65, True)
        assert inside.run(*complete).code == 65
        copied = "v1"
        assert inside.run(*command).code == 0
        assert inside.run(*complete).code == 0


def test_a_copy_has_the_size_that_the_store_shows(
    inside: Inside, sandbox: Sandbox, copying: tuple[str, ...]
) -> None:
    """Otherwise it shows another version than the one that it copied."""

    def with_other_size(answer: Answer) -> Wire | None:
        other = {"content-length"} if answer.operation == "head" else set[str]()
        return with_other_headers(answer, drop=other, add=dict.fromkeys(other, "400000"))

    with MutatingRelay(sandbox.port, with_other_size) as relay:
        outcome = inside.run(*copying, "--part-number", "1", "--endpoint", relay.endpoint)
    assert outcome.code == 65, outcome.err
    assert "part 1 has 500000 bytes of bucket/old, not the 400000 that the store showed before" in outcome.err
    assert inside.run(*copying, "--part-number", "1").code == 0


def test_a_copy_without_a_response_is_replaced_by_that_of_a_version(
    inside: Inside, sandbox: Sandbox, copying: tuple[str, ...]
) -> None:
    """The part then has one version of its source, and complete accepts it."""
    sandbox.add_fault("error=403:AccessDenied,op=head,after=1,times=always")
    assert inside.run(*copying, "--part-number", "1").code == 65
    sandbox.clear_faults()
    versioned = tuple("bucket/old?versionId=v+1" if one == "bucket/old" else one for one in copying)
    assert inside.run(*versioned, "--part-number", "1").code == 0
    [upload] = sandbox.uploads()
    assert inside.run("complete", "bucket/key", "--upload-id", upload.upload_id, "--parts", "1").code == 0


def test_a_version_is_copied(inside: Inside, sandbox: Sandbox, copying: tuple[str, ...]) -> None:
    """A version never changes: it needs no condition."""
    versioned = tuple("bucket/old?versionId=v+1" if one == "bucket/old" else one for one in copying)
    assert inside.run(*versioned, *RANGES[0]).code == 0
    [copied] = [dict(one.headers) for one in sandbox.requests if one.operation == "copy"]
    assert copied["x-obs-copy-source"] == "/bucket/old?versionId=v%2B1"
    assert "x-obs-copy-source-if-match" not in copied


def test_a_source_that_cannot_be_looked_at(
    inside: Inside, sandbox: Sandbox, copying: tuple[str, ...]
) -> None:
    """Without the permission for HEAD the copy works as before, and a note says what is not checked."""
    sandbox.add_fault("error=403:AccessDenied,op=head,times=always")
    outcome = inside.run(*copying, *RANGES[0])
    assert (outcome.code, "it cannot be checked that all parts" in outcome.err) == (0, True), outcome.err


def test_copies_whose_version_cannot_be_recorded_are_refused(
    inside: Inside,
    sandbox: Sandbox,
    copying: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Without the record, parts of two versions could make one object: exit 73, and nothing is copied."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OBSUP_STATE_DIR", str(tmp_path / "file"))
    refused = inside.run(*copying, *RANGES[0])
    assert refused.code == 73, refused.err
    assert "which version of the object was copied" in refused.err
    assert "copy" not in [one.operation for one in sandbox.requests]


@pytest.mark.usefixtures("source")
def test_an_upload_continues_after_parts_of_this_machine_that_are_not_recorded(
    shell: Shell, sandbox: Sandbox
) -> None:
    """They were those of another machine that is at work, and the upload ended with 75."""
    upload_id = shell.run("init", "bigfile", "bucket/key", "--part-size", "200K").out.strip()
    (checkpoint,) = shell.folder.glob("*.obsup.json")
    os.utime(checkpoint, (1_000_000_000, 1_000_000_000))
    data = (shell.folder / "bigfile").read_bytes()
    sent = piped(shell, data[:204_800], "--upload-id", upload_id, "--part-number", "1")
    assert sent.returncode == 0, sent.stderr
    outcome = shell.run("upload", "bigfile", "bucket/key", "--part-size", "200K")
    assert outcome.code == 0, outcome.err
    assert sandbox.object_path("bucket", "key").read_bytes() == data

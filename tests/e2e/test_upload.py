"""``obsup upload`` as a user runs it, with a real file and a store that checks every request."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Shell
from tests.support.waiting import wait_for

MakeFile = Callable[..., Path]


def stored(sandbox: Sandbox, key: str = "key") -> bytes:
    """Return the content of the object in the sandbox."""
    return sandbox.object_path("bucket", key).read_bytes()


def operations(sandbox: Sandbox) -> list[str]:
    """Return the operations of all requests, in order."""
    return [record.operation for record in sandbox.requests]


def sent_parts(sandbox: Sandbox) -> list[int]:
    """Return the numbers of all parts that were sent, sorted, with repeats."""
    return sorted(r.part_number for r in sandbox.requests if r.operation == "part" and r.part_number)


def test_five_parts(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """``obsup upload bigfile bucket/key --parts 5``: five parts, the same bytes, no output, no files left."""
    source = make_file(5_000_001)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--parts", "5")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert stored(sandbox) == source.read_bytes()
    assert sent_parts(sandbox) == [1, 2, 3, 4, 5]
    assert sandbox.uploads() == []
    assert [path.name for path in shell.folder.iterdir()] == ["bigfile"]


@pytest.mark.parametrize("size", [0, 1, 102_400, 9 * 2**20, 9 * 2**20 + 1])
def test_files_from_zero_bytes_up(size: int, shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """The default plan: one request up to 9 MiB, parts above."""
    source = make_file(size)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--json")
    assert outcome.code == 0
    assert stored(sandbox) == source.read_bytes()
    assert outcome.json["size"] == size
    assert outcome.json["verified"] == "etag"
    assert ("put" in operations(sandbox)) == (size <= 9 * 2**20)


@pytest.mark.parametrize("arguments", [["--parts", "1"], ["--part-size", "200K"]])
def test_an_empty_file_in_parts(
    arguments: list[str], shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """A single part of 0 bytes is valid, and is sent with Content-Length."""
    make_file(0)
    assert shell.run("upload", "bigfile", "bucket/key", *arguments).code == 0
    assert stored(sandbox) == b""
    assert sent_parts(sandbox) == [1]


def test_json_has_the_documented_keys(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Keys are only ever added."""
    source = make_file(600_000)
    result = shell.run("upload", "bigfile", "obs://bucket/key", "--part-size", "200K", "--json").json
    digests = [
        hashlib.md5(source.read_bytes()[at : at + 204_800]).digest() for at in range(0, 600_000, 204_800)
    ]
    seconds, request_id, upload_id = result.pop("seconds"), result.pop("requestId"), result.pop("uploadId")
    assert result.pop("hostId")
    assert seconds > 0
    assert request_id
    assert upload_id
    assert result == {
        "format": 1,
        "command": "upload",
        "status": "completed",
        "provider": "obs",
        "bucket": "bucket",
        "key": "key",
        "etag": f"{hashlib.md5(b''.join(digests)).hexdigest()}-3",
        "versionId": None,
        "location": f"{sandbox.endpoint}/bucket/key",
        "size": 600_000,
        "partSize": 204_800,
        "parts": 3,
        "sentParts": 3,
        "sentBytes": 600_000,
        "verified": "etag",
        "checksum": None,
        "lock": None,
        "sseKms": None,
        "sseKmsKey": None,
        "sseC": None,
        "sseCKeyMd5": None,
    }


def test_the_file_name_is_appended_to_a_target_that_ends_in_a_slash(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Like cp."""
    make_file(1000, name="dump.sql")
    assert shell.run("upload", "dump.sql", "bucket/2026/").code == 0
    assert sandbox.object_path("bucket", "2026/dump.sql").exists()


def test_after_kill_9_only_missing_parts_are_sent(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """The same command resumes: only parts that were in flight are sent again."""
    source = make_file(3_000_000)
    sandbox.add_fault("slow=400000,op=part,times=always")
    arguments = ("upload", "bigfile", "bucket/key", "--parts", "10", "-j", "2")
    with shell.begin(*arguments) as process:
        wait_for(
            lambda: sum(r.status == 200 for r in sandbox.requests if r.operation == "part") >= 4,
            process=process,
        )
        process.send_signal(signal.SIGKILL)
    stored_before = [number for upload in sandbox.uploads() for number in upload.parts]
    assert len(stored_before) >= 4
    sandbox.clear_faults()
    before = len(sandbox.requests)
    outcome = shell.run(*arguments, "--json")
    assert outcome.code == 0
    resent = [r.part_number for r in sandbox.requests[before:] if r.operation == "part"]
    assert not set(resent) & set(stored_before)
    # Parts in flight when the process died may have been stored after the check above; only they may be sent again.
    assert 10 - len(stored_before) - 2 <= outcome.json["sentParts"] <= 10 - len(stored_before)
    assert stored(sandbox) == source.read_bytes()
    assert operations(sandbox).count("initiate") == 1
    assert sandbox.uploads() == []


def test_the_checkpoint_records_parts_while_they_are_sent(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """It is next to the source, readable only by its owner, and contains no secret."""
    make_file(1_000_000)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=5,times=always")
    outcome = shell.run("upload", "bigfile", "bucket/key", "--parts", "5", "-j", "1")
    assert outcome.code == 77
    (path,) = shell.folder.glob("bigfile.????????.obsup.json")
    assert path.stat().st_mode & 0o777 == 0o600
    checkpoint = json.loads(path.read_text())
    assert [part["partNumber"] for part in checkpoint["parts"]] == [1, 2, 3, 4]
    assert checkpoint["partSize"] == 200_000
    assert sandbox.secret_key not in path.read_text()


def test_obsup_runs_against_its_own_sandbox(shell: Shell, make_file: MakeFile) -> None:
    """``obsup sandbox -- sh -c 'obsup upload FILE b/k --parts 5'`` stores the same bytes, and returns the exit code."""
    source = make_file(5_000_000)
    program = f"{sys.executable} -m obsup"
    bare = Shell(shell.folder)
    outcome = bare.run(
        "sandbox", "--dir", "store", "--", "sh", "-c", f"{program} upload bigfile b/k --parts 5"
    )
    assert outcome.code == 0, outcome.err
    assert (shell.folder / "store/b/k").read_bytes() == source.read_bytes()
    assert bare.run("sandbox", "--", "sh", "-c", "exit 75").code == 75


def test_retried_parts_are_reported_with_v(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """A temporary fault is not a failure, and is reported only with -v."""
    source = make_file(1_000_000)
    sandbox.add_fault("error=500:InternalError,op=part,part=3,times=1")
    outcome = shell.run("upload", "bigfile", "bucket/key", "--parts", "5", "-v")
    assert outcome.code == 0
    assert "500 InternalError" in outcome.err
    assert stored(sandbox) == source.read_bytes()


def test_restart_does_not_abort_an_upload_to_another_target(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """A wrong --checkpoint must not destroy the parts of another upload."""
    make_file(1_000_000)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=5,times=always")
    arguments = ("--parts", "5", "--checkpoint", "state.json")
    assert shell.run("upload", "bigfile", "bucket/key", *arguments).code == 77
    outcome = shell.run("upload", "bigfile", "bucket/other", *arguments, "--restart")
    assert outcome.code == 2
    assert "belongs to bucket/key" in outcome.err
    assert "abort" not in operations(sandbox)
    assert len(sandbox.uploads()) == 1


def test_restart_aborts_the_recorded_upload(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Only abort, --restart and gc ever abort."""
    make_file(1_000_000)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=5,times=always")
    assert shell.run("upload", "bigfile", "bucket/key", "--parts", "5").code == 77
    assert "abort" not in operations(sandbox)
    sandbox.clear_faults()
    assert shell.run("upload", "bigfile", "bucket/key", "--parts", "5", "--restart").code == 0
    assert operations(sandbox).count("abort") == 1
    assert sandbox.uploads() == []

"""``… | obsup upload - bucket/key``: the object is the stream, whatever its size and the state of the network."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from obsup.units import KIB
from tests.support.pipes import Bash
from tests.support.shell import Shell
from tests.support.waiting import wait_for

MakeFile = Callable[..., Path]
PART = 100 * KIB


@pytest.fixture
def bash(shell: Shell, tmp_path: Path) -> Bash:
    """Bash with obsup in it."""
    return Bash.with_folder(shell, tmp_path / "bin")


@pytest.fixture
def few_parts() -> Iterator[Sandbox]:
    """A store that accepts 40 parts per upload and keeps no bodies."""
    with Sandbox(limits={"parts": 40}, discard=True) as running:
        yield running


def operations(sandbox: Sandbox) -> list[str]:
    """Return the operations requested from the store, in order."""
    return [record.operation for record in sandbox.requests]


def start_piped(shell: Shell, *arguments: str) -> subprocess.Popen[bytes]:
    """Start obsup with a pipe of this test as its standard input."""
    return subprocess.Popen(
        [sys.executable, "-m", "obsup", *arguments],
        cwd=shell.folder,
        env={**os.environ, **shell.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_for_parts(sandbox: Sandbox, count: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the store has confirmed *count* parts."""
    wait_for(
        lambda: sum(one.status == 200 for one in sandbox.requests if one.operation == "part") >= count,
        process=process,
    )


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART, 350_000])
def test_a_pipe_becomes_the_object(bash: Bash, sandbox: Sandbox, make_file: MakeFile, size: int) -> None:
    """Empty, small, exactly one part, many parts: one request if one is enough, and exactly these bytes."""
    source = make_file(size)
    outcome = bash.run("cat bigfile | obsup upload - bucket/key --part-size 100K --json")
    assert outcome.code == 0, outcome.err
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    sent = [name for name in operations(sandbox) if name in ("put", "part")]
    assert sent == (["put"] if size <= PART else ["part"] * (-(-size // PART)))
    assert (outcome.json["size"], outcome.json["parts"]) == (size, len(sent))
    assert sandbox.uploads() == []


@pytest.mark.parametrize(("scheme", "verified"), [("obs", "etag"), ("s3", "crc64nvme"), ("oss", "crc64")])
def test_every_provider(
    bash: Bash, sandbox: Sandbox, make_file: MakeFile, scheme: str, verified: str
) -> None:
    """In one request and in parts, verified like a file."""
    make_file(12_000_000)
    for size, parts in ((0, 1), (1000, 1), (12_000_000, 2)):
        command = f"obsup upload - {scheme}://bucket/key --region region --json"
        outcome = bash.run(f"head -c {size} bigfile | {command}")
        assert outcome.code == 0, outcome.err
        assert (outcome.json["verified"], outcome.json["parts"]) == (verified, parts)
        assert sandbox.object_metadata("bucket", "key").size == size


def test_the_receipt_of_a_stream(bash: Bash, make_file: MakeFile) -> None:
    """It lists the parts with their sizes."""
    make_file(350_000)
    arguments = "--part-size 100K --receipt receipt.json"
    assert bash.run(f"cat bigfile | obsup upload - bucket/key {arguments}").code == 0
    receipt = json.loads((bash.shell.folder / "receipt.json").read_text())
    assert [one["size"] for one in receipt["parts"]] == [PART, PART, PART, 350_000 - 3 * PART]
    assert bash.run("obsup verify bigfile bucket/key --receipt receipt.json").code == 0


def test_object_options_apply_to_a_stream(bash: Bash, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Content type and metadata, in one request and in parts."""
    make_file(3 * PART)
    for amount in (1000, 3 * PART):
        arguments = "--content-type text/plain --metadata host=db1 --part-size 100K --content-md5"
        assert bash.run(f"head -c {amount} bigfile | obsup upload - bucket/key {arguments}").code == 0
        attributes = sandbox.object_metadata("bucket", "key").attributes
        assert attributes.headers["content-type"] == "text/plain"
        assert attributes.metadata["host"] == "db1"


@pytest.mark.parametrize(
    "fault",
    [
        "drop-request=50000,op=part,part=2",
        "error-after=500:InternalError,op=part,part=3",
        "flip-bit,op=part,part=1",
        "error=503:SlowDown,op=part,times=2",
    ],
)
def test_a_network_failure_does_not_end_a_pipe(
    bash: Bash, sandbox: Sandbox, make_file: MakeFile, fault: str
) -> None:
    """A pipe cannot be read twice: parts are resent from memory."""
    source = make_file(4 * PART)
    sandbox.add_fault(fault)
    outcome = bash.run("cat bigfile | obsup upload - bucket/key --part-size 100K")
    assert outcome.code == 0, outcome.err
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert operations(sandbox).count("part") > 4


def test_a_single_request_is_resent_from_memory(bash: Bash, sandbox: Sandbox) -> None:
    """The first part stays in memory until the store has it."""
    sandbox.add_fault("drop-request=1,op=put")
    assert bash.run("printf hello | obsup upload - bucket/key").code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == b"hello"
    assert operations(sandbox) == ["put", "put"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("obsup upload - bucket/key <&-", "standard input is closed"),
        ("obsup upload - bucket/key 0>out", "cannot be read"),
    ],
    ids=["closed", "for writing"],
)
def test_unreadable_standard_input(bash: Bash, sandbox: Sandbox, script: str, message: str) -> None:
    """It is an error, not an empty object."""
    outcome = bash.run(script)
    assert outcome.code == 66
    assert message in outcome.err
    assert sandbox.requests == []


def test_an_empty_stream_makes_an_empty_object_and_a_note(bash: Bash, sandbox: Sandbox) -> None:
    """The program that should have written into the pipe may have failed, which obsup cannot see."""
    outcome = bash.run("obsup upload - bucket/key < /dev/null")
    assert (outcome.code, outcome.err) == (0, "Note:  the stream was empty, and so is the object.\n")
    assert sandbox.object_path("bucket", "key").read_bytes() == b""


def test_a_producer_gets_sigpipe_when_obsup_fails(bash: Bash, tmp_path: Path) -> None:
    """The process that writes into the pipe ends when the upload does."""
    with Sandbox(buckets=["bucket"]) as strict:
        outcome = Bash(Shell.against(strict, tmp_path), bash.bin).run(
            "yes | obsup upload - missing/key --part-size 100K; echo ${PIPESTATUS[@]}"
        )
    assert outcome.out.split() == [str(128 + signal.SIGPIPE), "69"]


def test_a_closed_stdout_does_not_fail_the_upload(bash: Bash, sandbox: Sandbox) -> None:
    """The reader of the result may be gone."""
    outcome = bash.run("printf hello | obsup upload - bucket/key --json | true; echo ${PIPESTATUS[@]}")
    assert outcome.out.split() == ["0", "0", "0"]
    assert sandbox.object_path("bucket", "key").read_bytes() == b"hello"


def test_a_fixed_part_size_that_is_too_small(
    bash: Bash, few_parts: Sandbox, make_file: MakeFile, tmp_path: Path
) -> None:
    """If the stream has too many parts of --part-size, the error names a sufficient size; nothing is published."""
    make_file(41 * PART)
    limited = Bash(Shell.against(few_parts, tmp_path), bash.bin)
    command = "cat bigfile | obsup upload - bucket/key --max-parts 40 --part-size"
    outcome = limited.run(f"{command} 100K")
    assert outcome.code == 65
    assert "can have 40 parts of 100K" in outcome.err
    assert "--part-size 200K" in outcome.err
    assert max(one.part_number or 0 for one in few_parts.requests) <= 40
    assert "complete" not in operations(few_parts)
    abort_command = re.search("obsup abort .* --upload-id [0-9A-F]+", outcome.err)
    assert abort_command
    assert limited.run(abort_command[0]).code == 0
    assert few_parts.uploads() == []
    assert limited.run(f"{command} 200K").code == 0


def test_by_default_the_parts_grow_to_stay_within_the_limit(
    bash: Bash, few_parts: Sandbox, tmp_path: Path
) -> None:
    """40 parts of 9 MiB are 378 MB: a longer stream has larger parts in a store that accepts 40."""
    limited = Bash(Shell.against(few_parts, tmp_path), bash.bin)
    outcome = limited.run("head -c 400000000 /dev/zero | obsup upload - bucket/key --max-parts 40 --json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["size"] == few_parts.object_metadata("bucket", "key").size == 400_000_000
    assert outcome.json["parts"] <= 40


def test_progress_has_no_total(bash: Bash, sandbox: Sandbox, make_file: MakeFile) -> None:
    """The size of a stream is unknown: total and parts are null until the last event."""
    make_file(3 * PART)
    outcome = bash.run("cat bigfile | obsup upload - bucket/key --part-size 100K --progress json")
    lines = [json.loads(line) for line in outcome.err.splitlines()]
    assert {(one["total"], one["parts"]) for one in lines} == {(None, None)}
    assert lines[-1]["transferred"] == 3 * PART
    assert lines[-1]["partsDone"] == 3


def test_an_expected_size_is_the_total(bash: Bash, sandbox: Sandbox, make_file: MakeFile) -> None:
    """--expect-size announces the size."""
    make_file(3 * PART)
    arguments = f"--part-size 100K --progress json --expect-size {3 * PART}"
    outcome = bash.run(f"cat bigfile | obsup upload - bucket/key {arguments}")
    last = json.loads(outcome.err.splitlines()[-1])
    assert (last["total"], last["parts"]) == (3 * PART, 3)


def test_ctrl_c_while_the_producer_writes_nothing(shell: Shell, sandbox: Sandbox) -> None:
    """An idle pipe does not block obsup; half a stream is not published."""
    with start_piped(shell, "upload", "-", "bucket/key", "--part-size", "100K") as process:
        assert process.stdin is not None
        process.stdin.write(b"x" * (2 * PART + 1000))
        process.stdin.flush()
        wait_for_parts(sandbox, 2, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    assert "complete" not in operations(sandbox)
    assert [one.parts for one in sandbox.uploads()] == [{1: PART, 2: PART}]


def test_a_deadline_while_the_producer_writes_nothing(shell: Shell, sandbox: Sandbox) -> None:
    """--max-time ends an endless stream, and the message names the way to resume."""
    with start_piped(shell, "upload", "-", "bucket/key", "--max-time", "0.5s") as process:
        _, err = process.communicate(timeout=20) if process.wait(20) else (b"", b"")
    assert process.returncode == 75
    assert b"Run the whole pipe again" in err
    assert sandbox.requests == []


def test_the_terminal_can_be_a_source(shell: Shell, sandbox: Sandbox) -> None:
    """Typed text is sent, and obsup notes that it waits for it."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "obsup", "upload", "-", "bucket/key"],
        env={**os.environ, **shell.environment},
        stdin=theirs,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        assert "reading from the terminal" in process.stderr.readline()
        os.write(ours, b"typed\n\x04")
        process.stderr.read()
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == b"typed\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("- bucket/folder/", "ends in /"),
        ("- bucket/key --parts 3", "--parts cannot split a stream"),
        ("- bucket/key --part-size 1K", "--part-size 100K"),
        ("- bucket/key --executor processes", "cannot send a stream"),
        ("- bucket/key --skip-identical", "--skip-identical needs the content"),
        ("- bucket/key --expect-md5 123", "32 hexadecimal digits"),
        ("--from-command bucket/key", "--from-command TARGET -- CMD"),
    ],
)
def test_invalid_options_fail_before_anything_is_read(
    bash: Bash, sandbox: Sandbox, arguments: str, message: str
) -> None:
    """One clear error, exit 2, nothing sent."""
    outcome = bash.run(f"yes | obsup upload {arguments}")
    assert outcome.code == 2
    assert message in outcome.err
    assert sandbox.requests == []


def test_settings_for_files_in_the_environment_do_not_apply_to_a_stream(bash: Bash, sandbox: Sandbox) -> None:
    """They are meant for other uploads; only options on the command line are errors."""
    settings = "OBSUP_SKIP_IDENTICAL=1 OBSUP_VERIFY_SOURCE=1 OBSUP_ON_CHANGE=resend OBSUP_RECURSIVE=1 OBSUP_EXCLUDE=x"
    settings += " OBSUP_PARTS=3 OBSUP_EXECUTOR=processes OBSUP_PRESIGN=1"
    outcome = bash.run(f"printf pipe | {settings} obsup upload - bucket/key")
    assert (outcome.code, outcome.err) == (0, "")
    assert sandbox.object_path("bucket", "key").read_bytes() == b"pipe"


def test_a_command_without_from_command(bash: Bash, sandbox: Sandbox) -> None:
    """The error contains the command to run; a file after -- is a file."""
    outcome = bash.run("obsup upload bucket/key -- printf 'a b'")
    assert outcome.code == 2
    assert outcome.err.endswith(
        "add --from-command: obsup upload --from-command bucket/key -- printf 'a b'\n"
    )
    assert sandbox.requests == []
    assert bash.run("printf file > ./-x; obsup upload -- -x bucket/key").code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == b"file"


def test_a_file_named_minus(bash: Bash, sandbox: Sandbox) -> None:
    """./- is a file."""
    assert bash.run("printf file > ./-; printf pipe | obsup upload ./- bucket/key").code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == b"file"

"""A checkpoint that was copied to another machine, which continues the same upload."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import wait_for_requests
from tests.support.in_process import Inside
from tests.support.shell import Shell
from tests.support.waiting import wait_for

MakeFile = Callable[..., Path]
ARGUMENTS = ("upload", "bigfile", "bucket/key", "--parts", "3")


@pytest.mark.parametrize("options", [(), ("--sse-c-key-file", "key")], ids=["plain", "SSE-C"])
def test_the_object_of_the_other_machine_is_not_taken_for_this_source(
    options: tuple[str, ...], shell: Shell, sandbox: Sandbox, make_file: MakeFile, tmp_path: Path
) -> None:
    """It has the recorded upload id and the right size, but this machine has sent no part of it."""
    source = make_file(600_000)
    other = tmp_path / "other"
    other.mkdir()
    for folder in (shell.folder, other):
        (folder / "key").write_bytes(bytes(32))
        (folder / "key").chmod(0o600)
    assert shell.run("init", "bigfile", "bucket/key", "--parts", "3", *options).code == 0
    (checkpoint,) = shell.folder.glob("*.obsup.json")
    shutil.copy2(checkpoint, other)
    (other / "bigfile").write_bytes(bytes(600_000))
    state = {"OBSUP_STATE_DIR": str(tmp_path / "state")}
    elsewhere = Shell(other, {**shell.environment, **state})
    assert elsewhere.run(*ARGUMENTS, *options, "--on-change", "resend").code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == bytes(600_000)
    outcome = shell.run(*ARGUMENTS, *options)
    assert outcome.code == 0, outcome.err
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def machine_with_a_copy(shell: Shell, folder: Path, *, age_s: float = 0.0) -> Shell:
    """Return another machine, which has had copies of the source and of the checkpoint for *age_s* seconds."""
    folder.mkdir()
    for path in shell.folder.glob("bigfile*"):
        shutil.copy2(path, folder)
    (checkpoint,) = folder.glob("*.obsup.json")
    os.utime(checkpoint, (time.time() - age_s,) * 2)
    return Shell(folder, {**shell.environment, "OBSUP_STATE_DIR": str(folder.parent / "state")})


def test_a_machine_whose_copy_of_the_checkpoint_is_behind_notes_the_other_sender(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, tmp_path: Path
) -> None:
    """They share nothing, so only the list of parts, before the missing ones are sent, shows that both send.

    A run with this checkpoint that was killed a moment ago leaves the same, so that is no reason to stop.
    """
    source = make_file(600_000)
    assert shell.run("init", "bigfile", "bucket/key", "--parts", "3").code == 0
    elsewhere = machine_with_a_copy(shell, tmp_path / "other")
    sandbox.add_fault("stall=60,op=part,part=2")
    with shell.begin(*ARGUMENTS, "-j", "1") as process:
        try:
            wait_for_requests(sandbox, "part", 1)
            outcome = elsewhere.run(*ARGUMENTS)
        finally:
            process.kill()
    assert outcome.code == 0, outcome.err
    assert (
        "part 1 is not in the checkpoint, but stored less than a minute ago: unless a run on this machine ended"
        in outcome.err
    )
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_a_machine_that_sends_the_same_upload_counts_as_running(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, tmp_path: Path
) -> None:
    """As --if-running says: no run with the older checkpoint has sent the new parts. The dates are the store's."""
    source = make_file(600_000)
    sandbox.add_fault("skew=-400")
    assert shell.run("init", "bigfile", "bucket/key", "--parts", "3").code == 0
    elsewhere = machine_with_a_copy(shell, tmp_path / "other", age_s=120)
    sandbox.add_fault("stall=60,op=part,part=2")
    with shell.begin(*ARGUMENTS, "-j", "1") as process:
        try:
            wait_for_requests(sandbox, "part", 1)
            before = len(sandbox.requests)
            busy = elsewhere.run(*ARGUMENTS)
            assert busy.code == 75
            assert "Part 1 is not in the checkpoint, but stored less than 5 minutes ago" in busy.err
            assert elsewhere.run(*ARGUMENTS, "--if-running", "skip").code == 0
            stopped = elsewhere.run(*ARGUMENTS, "--if-running", "wait", "--max-time", "1s")
            assert (stopped.code, "the time limit is reached" in stopped.err) == (75, True), stopped.err
            assert {r.operation for r in list(sandbox.requests)[before:]} == {"parts"}
        finally:
            process.kill()
    with elsewhere.begin(*ARGUMENTS, "--if-running", "wait") as waiting:
        try:
            lists = len(sandbox.requests)
            wait_for(lambda: len(sandbox.requests) > lists, process=waiting)
            restarted = shell.run(*ARGUMENTS, "--if-running", "skip")
            assert restarted.code == 0, restarted.err
            _, notes = waiting.communicate(timeout=60)
        finally:
            waiting.kill()
    assert (waiting.returncode, "another machine is at work on bucket/key: waiting" in notes) == (0, True), (
        notes
    )
    sent = Counter(r.part_number for r in sandbox.requests if r.operation == "part" and r.status == 200)
    assert sent == Counter([1, 2, 3])
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_init_returns_the_upload_that_another_machine_sends(
    inside: Inside, sandbox: Sandbox, make_file: MakeFile, tmp_path: Path
) -> None:
    """It sends no parts itself, so that no machine must wait for another one."""
    source = make_file(600_000)
    begun = inside.run("init", source, *ARGUMENTS[2:])
    part = ("--upload-id", begun.out.strip(), "--part-number", "1", "--checkpoint", str(tmp_path / "none"))
    assert inside.run("part", source, *ARGUMENTS[2:], *part).code == 0
    (checkpoint,) = source.parent.glob("*.obsup.json")
    os.utime(checkpoint, (time.time() - 120,) * 2)
    again = inside.run("init", source, *ARGUMENTS[2:])
    assert (again.code, again.out, again.err) == (0, begun.out, "")

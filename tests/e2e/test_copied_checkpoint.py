"""A checkpoint that was copied to another machine, which continues the same upload."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import wait_for_requests
from tests.support.shell import Shell

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


def test_a_machine_whose_copy_of_the_checkpoint_is_behind_notes_the_other_sender(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, tmp_path: Path
) -> None:
    """They share nothing, so only the list of parts, before the missing ones are sent, shows that both send."""
    source, other = make_file(600_000), tmp_path / "other"
    other.mkdir()
    assert shell.run("init", "bigfile", "bucket/key", "--parts", "3").code == 0
    for path in shell.folder.glob("bigfile*"):
        shutil.copy2(path, other)
    sandbox.add_fault("stall=60,op=part,part=2")
    elsewhere = Shell(other, {**shell.environment, "OBSUP_STATE_DIR": str(tmp_path / "state")})
    with shell.begin(*ARGUMENTS, "-j", "1") as process:
        try:
            wait_for_requests(sandbox, "part", 1)
            outcome = elsewhere.run(*ARGUMENTS)
        finally:
            process.kill()
    assert outcome.code == 0, outcome.err
    assert "part 1 is not in the checkpoint, but stored less than a minute ago" in outcome.err
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()

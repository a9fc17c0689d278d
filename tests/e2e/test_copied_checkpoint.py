"""A checkpoint that was copied to another machine, which completed the upload from another version of the source."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
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

"""``--dry-run`` prints the plan and sends nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from obsup.sandbox import Sandbox
from tests.shell import Shell

MakeFile = Callable[..., Path]


def test_the_plan_of_a_file(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """The same parts that an upload would send; not one request, no state."""
    make_file(5_000_001)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--parts", "5", "--dry-run")
    assert outcome.code == 0
    assert "5000001 bytes in 5 parts of 1000001 bytes" in outcome.out
    planned = shell.run("upload", "bigfile", "bucket/key", "--parts", "5", "-n", "--json").json
    assert (planned["status"], planned["parts"], planned["partSize"]) == ("planned", 5, 1_000_001)
    assert sandbox.requests == []
    assert [path.name for path in shell.folder.iterdir()] == ["bigfile"]


def test_what_upload_would_refuse_is_refused(shell: Shell, make_file: MakeFile) -> None:
    """A plan that cannot be is no plan."""
    make_file(1000)
    assert shell.run("upload", "bigfile", "bucket/key", "--parts", "5", "--dry-run").code == 2
    assert shell.run("upload", "missing", "bucket/key", "--dry-run").code == 66


def test_what_is_recorded_is_said(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """A run that was cut off left a checkpoint."""
    make_file(1_000_000)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=5,times=always")
    words = ("upload", "bigfile", "bucket/key", "--parts", "5", "-j", "1")
    assert shell.run(*words).code == 77
    assert "4 parts are recorded" in shell.run(*words, "--dry-run").out


def test_many_sources_are_refused_and_not_sent(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """What cannot be planned must not be uploaded instead."""
    make_file(1000)
    make_file(1000, name="other")
    assert shell.run("upload", "bigfile", "other", "bucket/", "--dry-run").code == 2
    assert shell.run("upload", "-r", ".", "bucket/", "--dry-run").code == 2
    assert sandbox.requests == []


def test_a_command_is_not_run(shell: Shell, sandbox: Sandbox) -> None:
    """Nor is standard input read."""
    outcome = shell.run("upload", "--from-command", "--dry-run", "bucket/key", "--", "touch", "made")
    assert outcome.code == 0
    assert "9.0 MiB at first" in outcome.out
    assert not (shell.folder / "made").exists()
    assert sandbox.requests == []

"""``--dry-run`` prints the plan and sends nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import make_files
from tests.support.shell import Shell

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]


def test_the_plan_of_a_file_is_that_of_an_upload(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """It has the same parts; no request is sent and no file is written."""
    make_file(5_000_001)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--parts", "5", "--dry-run")
    assert outcome.code == 0
    assert "5000001 bytes in 5 parts of 1000001 bytes" in outcome.out
    planned = shell.run("upload", "bigfile", "bucket/key", "--parts", "5", "-n", "--json").json
    assert (planned["status"], planned["parts"], planned["partSize"]) == ("planned", 5, 1_000_001)
    assert sandbox.requests == []
    assert [path.name for path in shell.folder.iterdir()] == ["bigfile"]


def test_an_invalid_upload_is_refused(shell: Shell, make_file: MakeFile) -> None:
    """The exit codes are those of upload."""
    make_file(1000)
    assert shell.run("upload", "bigfile", "bucket/key", "--parts", "5", "--dry-run").code == 2
    assert shell.run("upload", "missing", "bucket/key", "--dry-run").code == 66


def test_recorded_parts_are_counted(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """An interrupted run left a checkpoint."""
    make_file(1_000_000)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=5,times=always")
    arguments = ("upload", "bigfile", "bucket/key", "--parts", "5", "-j", "1")
    assert shell.run(*arguments).code == 77
    assert "recorded in the checkpoint: 4 parts" in shell.run(*arguments, "--dry-run").out


def test_the_plan_of_many_files_comes_from_the_journal(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """One line per file, without a request; neither journal nor list is written."""
    tree = shell.folder / "tree"
    tree.mkdir()
    for number in range(5):
        make_file(1000 + number, name=f"tree/{number}")
    make_file(10_000_000, name="tree/large")
    arguments = ("upload", "-r", "tree", "bucket/p/", "--failed-list", "failed")
    before = sorted(shell.folder.rglob("*"))
    outcome = shell.run(*arguments, "--dry-run")
    assert (outcome.code, outcome.err) == (0, "")
    assert "send tree/3 → bucket/p/tree/3: 1003 bytes in one request" in outcome.out
    assert "10000000 bytes in 2 parts of 9437184 bytes" in outcome.out
    assert outcome.out.splitlines()[-1] == "6 files to send (9.5 MiB), 0 to skip, 0 refused"
    assert sandbox.requests == []
    assert sorted(shell.folder.rglob("*")) == before
    assert shell.run(*arguments).code == 0
    make_file(2000, name="tree/3", seed=2)
    make_file(10, name="tree/new")
    sent = len(sandbox.requests)
    *files, batch = [json.loads(line) for line in shell.run(*arguments, "-n", "--json").out.splitlines()]
    by_key = {result["key"]: result["status"] for result in files}
    assert {key for key, status in by_key.items() if status == "planned"} == {"p/tree/3", "p/tree/new"}
    assert (batch["status"], batch["planned"], batch["plannedBytes"], batch["skipped"]) == (
        "planned",
        2,
        2010,
        5,
    )
    assert len(sandbox.requests) == sent
    assert shell.run(*arguments, "-n", "--restart").out.splitlines()[-1].startswith("7 files to send")


@pytest.mark.slow
def test_refused_files_are_listed(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Each has its reason; the exit code is that of the upload."""
    (shell.folder / "tree").mkdir()
    make_file(1000, name="tree/good")
    make_file(1000, name=os.fsdecode(b"tree/caf\xe9"))
    (shell.folder / "tree/gone").symlink_to("nowhere")
    os.mkfifo(shell.folder / "tree/pipe")
    outcome = shell.run("upload", "-r", "tree", "bucket/p/", "--dry-run")
    assert outcome.code == 66
    assert "not valid UTF-8" in outcome.err
    assert "Refused: tree/gone: " in outcome.err
    assert "skip tree/pipe: a named pipe" in outcome.out
    assert outcome.out.splitlines()[-1] == "1 files to send (1000 B), 1 to skip, 2 refused"
    *_, batch = [
        json.loads(line)
        for line in shell.run("upload", "-r", "tree", "bucket/p/", "-n", "--json").out.splitlines()
    ]
    assert (batch["failed"], batch["exitCode"]) == (2, 66)
    assert shell.run("upload", "-r", "tree", "bucket/p/").code == 66
    make_file(1000, name="good")
    twice = shell.run("upload", "-r", "tree/", "good", "bucket/p/", "--dry-run")
    assert (twice.code, "two sources for one key" in " ".join(twice.err.split())) == (2, True)
    assert shell.run("upload", "-r", "tree", "bucket/p", "--dry-run").code == 2


def test_the_command_is_not_run(shell: Shell, sandbox: Sandbox) -> None:
    """The plan of a stream starts with the smallest part size."""
    outcome = shell.run("upload", "--from-command", "--dry-run", "bucket/key", "--", "touch", "made")
    assert outcome.code == 0
    assert "9.0 MiB at first" in outcome.out
    assert not (shell.folder / "made").exists()
    assert sandbox.requests == []


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_plan_that_nobody_reads_ends_at_once(options: tuple[str, ...], shell: Shell) -> None:
    """``--dry-run | head`` does not go on to the file that would be refused."""
    make_files(shell, "tree/a", "tree/b")
    (shell.folder / "tree" / "z").symlink_to("nowhere")
    arguments = ("upload", "-r", "tree", "bucket/p/", "--dry-run", "--links", "refuse", *options)
    whole = shell.run(*arguments)
    assert whole.code == 66
    assert "tree/z" in whole.out + whole.err
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "obsup", *arguments],
            cwd=shell.folder,
            env={**os.environ, **shell.environment},
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")

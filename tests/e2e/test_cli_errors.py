"""A failure, followed to the end: the command that the last line names is run, as a new user would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Outcome, Shell

MakeFile = Callable[..., Path]


def next_command(outcome: Outcome) -> str:
    """The command line at the end of the third line."""
    what, why, following = outcome.err.splitlines()
    assert what.startswith("Error: ")
    assert why.startswith("Why:   ")
    found = re.search(r": (obsup .+)$", following)
    assert found, following
    return found[1]


def follow(shell: Shell, command: str) -> int:
    """Paste *command* into a shell; return its exit code."""
    return subprocess.run(
        ["sh", "-c", command],
        cwd=shell.folder,
        env={
            **os.environ,
            **shell.environment,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    ).returncode


def is_there(sandbox: Sandbox, source: Path) -> bool:
    """Whether the object is the file."""
    return sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("reset,op=part,part=4,times=always", 75),
        ("error=503:SlowDown,op=part,part=4,times=always", 75),
        ("error=403:AccessDenied,op=part,part=4,times=always", 77),
        ("error=500:InternalError,op=complete,times=always", 75),
        ("error=404:NoSuchBucket,op=part,part=4,times=always", 69),
    ],
)
def test_what_broke_in_the_middle_is_mended_by_the_line_that_is_shown(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, fault: str, code: int
) -> None:
    """A name with a blank in it, an option before it: the command is ready to be pasted."""
    source = make_file(1_000_000, "my dump")
    sandbox.add_fault(fault)
    words = ("upload", "--parts", "5", "-j", "1", "--retry-for", "0s", "my dump", "bucket/key")
    outcome = shell.run(*words)
    assert outcome.code == code
    assert " parts are stored and not sent again" in outcome.err
    sandbox.clear_faults()
    assert follow(shell, next_command(outcome)) == 0
    assert is_there(sandbox, source)
    stored = [one.part_number for one in sandbox.requests if one.operation == "part" and one.status == 200]
    assert sorted(number for number in stored if number is not None) == [1, 2, 3, 4, 5]


def test_a_part_size_that_cannot_be_is_mended_by_the_line_that_is_shown(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """The nearest that works is in the command."""
    source = make_file(1_000_000)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--part-size", "5K")
    assert outcome.code == 2
    assert next_command(outcome) == "obsup upload bigfile bucket/key --part-size 100K"
    assert follow(shell, next_command(outcome)) == 0
    assert is_there(sandbox, source)


def test_a_source_that_changed_is_mended_by_the_line_that_is_shown(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """--restart is the user's decision: it is said, and not done."""
    make_file(1_000_000)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=4,times=always")
    shell.run("upload", "bigfile", "bucket/key", "--parts", "5", "-j", "1")
    sandbox.clear_faults()
    source = make_file(900_000, seed=2)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--parts", "5")
    assert outcome.code == 65
    assert next_command(outcome) == "obsup upload bigfile bucket/key --parts 5 --restart"
    assert follow(shell, next_command(outcome)) == 0
    assert is_there(sandbox, source)


def test_a_script_finds_the_same_command_in_json(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """resumeCommand goes on with the work."""
    source = make_file(1_000_000)
    sandbox.add_fault("reset,op=part,part=4,times=always")
    outcome = shell.run(
        "upload", "bigfile", "bucket/key", "--parts", "5", "-j", "1", "--retry-for", "0s", "--json"
    )
    told = json.loads(outcome.out)
    assert (told["status"], told["exitCode"], told["retryable"]) == ("incomplete", 75, True)
    sandbox.clear_faults()
    assert follow(shell, told["resumeCommand"]) == 0
    assert is_there(sandbox, source)


@pytest.mark.parametrize(("skew", "way"), [(3600, "behind"), (-3600, "ahead of")])
def test_a_clock_that_is_off_is_told_by_how_much(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, skew: int, way: str
) -> None:
    """A store that does not take its own time either: the third line is for whoever sets the clock."""
    sandbox.add_fault(f"skew={skew}")
    sandbox.add_fault("error=403:RequestTimeTooSkewed,op=part,times=always")
    outcome = shell.run("upload", make_file(1_000_000), "bucket/key", "--parts", "2")
    assert outcome.code == 77
    told = re.search(rf"Why:   this computer's clock is (1 h 0 min|59 min 5\d s) {way} 127", outcome.err)
    assert told, outcome.err
    assert outcome.err.splitlines()[2].startswith("Next:  set the clock, then run the same command again")

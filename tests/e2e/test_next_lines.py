"""The command of the "Next:" line, run after the failure that prints it, leads where it says."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.matrix import mostly_slow
from tests.support.shell import Outcome, Shell

MakeFile = Callable[..., Path]


class Case(NamedTuple):
    """A command that fails with *code*, after the commands and actions of *before*; *then* is the code of "Next:".

    ``{id}`` is the upload id that the last ``init`` printed. ``fault RULE`` makes the store fail until the command ran.
    """

    before: str
    command: str
    code: int
    then: int = 0


CASES = {
    "part size": Case("", "upload bigfile bucket/key --part-size 1K", 2),
    "too many parts": Case("", "upload bigfile bucket/key --parts 20000", 2),
    "progress interval": Case("", "upload bigfile bucket/key --progress-interval 0.01s", 2),
    "stall timeout": Case("", "upload bigfile bucket/key --stall-timeout 0s", 2),
    "until": Case("", "upload bigfile bucket/key --until 25:00", 2),
    "exists": Case("upload bigfile bucket/key", "upload bigfile s3://bucket/key --no-overwrite", 69),
    "other split": Case("broken 2", "upload bigfile bucket/key --parts 3", 2),
    "source changed": Case("broken 2; rewrite", "upload bigfile bucket/key --parts 2", 65),
    "source grew": Case("broken 2; grow", "upload bigfile bucket/key --parts 2", 65),
    "touched without parts": Case(
        "init bigfile bucket/key; touch", "part bigfile bucket/key --part-number 1", 65
    ),
    "part and --parts": Case(
        "init bucket/key", "part bigfile bucket/key --upload-id {id} --part-number 1 --offset 0 --parts 2", 2
    ),
    "another split of a part": Case(
        "init bigfile bucket/key --parts 2", "part bigfile bucket/key --part-number 1 --part-size 1M", 2
    ),
    "no upload of a part": Case("", "part bigfile bucket/key --part-number 1", 2),
    "no upload to complete": Case("", "complete bigfile bucket/key", 2),
    "no upload id": Case("init bucket/key", "complete bucket/key", 2),
    "which abort": Case("init bucket/key", "abort bucket/key", 2),
    "no option of the provider": Case("", "upload bigfile bucket/key --no-overwrite", 2),
    "missing object": Case("", "verify bigfile bucket/key", 65),
    "other object": Case("upload bigfile bucket/key; rewrite", "verify bigfile bucket/key", 65),
    "presign and workers": Case(
        "", "upload bigfile bucket/key --parts 2 --executor processes --presign --content-md5", 2
    ),
    "dropped options": Case(
        "fault ignore-options", "upload bigfile bucket/key --metadata a=b --strict-options", 69
    ),
    "busy network": Case(
        "fault reset,op=part,times=always", "upload bigfile bucket/key --parts 2 --retry-for 0s", 75
    ),
    "no permission": Case(
        "fault error=403:AccessDenied,op=part,times=always", "upload bigfile bucket/key --parts 2", 77
    ),
    "a busy list": Case(
        "fault error=503:SlowDown,op=uploads,times=always", "uploads bucket --retry-for 0s", 75
    ),
    "a verification that cannot connect": Case(
        "upload bigfile bucket/key; fault reset,op=head,times=always",
        "verify bigfile bucket/key --retry-for 0s",
        75,
    ),
}


class World:
    """The folder and the store of one case."""

    def __init__(self, shell: Shell, sandbox: Sandbox, source: Path) -> None:
        self._shell, self._sandbox, self._source = shell, sandbox, source
        self._id = ""

    def do(self, step: str) -> None:
        """Carry out one step before the failure."""
        word, _, rest = step.partition(" ")
        actions: dict[str, Callable[[], object]] = {
            "fault": lambda: self._sandbox.add_fault(rest),
            "rewrite": lambda: self._source.write_bytes(os.urandom(self._source.stat().st_size)),
            "grow": lambda: self._source.write_bytes(bytes(500_000)),
            "touch": lambda: os.utime(self._source),
            "broken": lambda: self._break_off(rest),
        }
        if word in actions:
            actions[word]()
            return
        outcome = self.run(step)
        assert outcome.code == 0, outcome.err
        self._id = outcome.out.strip() or self._id

    def _break_off(self, parts: str) -> None:
        self._sandbox.add_fault("error=403:AccessDenied,op=part,part=2,times=always")
        assert self.run(f"upload bigfile bucket/key --parts {parts} -j 1").code == 77
        self._sandbox.clear_faults()

    def run(self, line: str) -> Outcome:
        """Run a command line."""
        return self._shell.run(*shlex.split(line.replace("{id}", self._id)))


@pytest.mark.parametrize("name", mostly_slow(CASES, "touched without parts", "missing object"))
def test_the_next_command_leads_where_it_says(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, name: str
) -> None:
    """As a user would run it."""
    case = CASES[name]
    world = World(shell, sandbox, make_file(300_000))
    for step in filter(None, case.before.split("; ")):
        world.do(step)
    failed = world.run(case.command)
    assert failed.code == case.code, failed.err
    sandbox.clear_faults()
    [line] = [line for line in failed.err.splitlines() if line.startswith("Next:")]
    match = re.search(r"(?:: |Run: )obsup (.*)$", line)
    assert match, line
    done = world.run(match[1])
    assert done.code == case.then, (line, done.err)

"""``--jobs auto`` against a store that takes each body slowly: counted are connections, not seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.engine.job.request import INITIAL_JOBS, MAX_JOBS
from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Shell

MakeFile = Callable[..., Path]

SLOW = "slow=600K,op=part"


def test_connections_grow_where_each_is_slow(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Half a second a part, whatever the number in flight: it pays to have more, and nothing is lost by it."""
    source = make_file(90 * 300 * 1024)
    sandbox.add_fault(SLOW)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--part-size", "300K")
    assert outcome.code == 0, outcome.err
    assert 2 * INITIAL_JOBS < sandbox.connections <= MAX_JOBS + 1
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    parts = sorted(r.part_number for r in sandbox.requests if r.operation == "part" and r.part_number)
    assert parts == list(range(1, 91))


@pytest.mark.parametrize("jobs", [1, 5])
def test_a_number_is_what_it_says(jobs: int, shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """No more connections than jobs, and each of them is used again for every part."""
    make_file(16 * 100 * 1024)
    sandbox.add_fault("slow=2M,op=part")
    assert shell.run("upload", "bigfile", "bucket/key", "--part-size", "100K", "-j", str(jobs)).code == 0
    assert sandbox.connections == jobs


def test_few_parts_need_few_connections(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """It begins with five: a file of three parts opens no more connections than that takes."""
    make_file(300 * 1024)
    sandbox.add_fault("slow=300K,op=part")
    assert shell.run("upload", "bigfile", "bucket/key", "--part-size", "100K").code == 0
    assert sandbox.connections == 3


def test_a_store_that_asks_to_slow_down_is_heard(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """It refuses while ten are tried: there are never more than these ten."""
    source = make_file(40 * 300 * 1024)
    sandbox.add_fault(SLOW)
    sandbox.add_fault("error=503:SlowDown,op=part,times=2,after=9")
    outcome = shell.run("upload", "bigfile", "bucket/key", "--part-size", "300K")
    assert outcome.code == 0, outcome.err
    assert sandbox.connections <= 2 * INITIAL_JOBS
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("words", ["0", "-3", "1001", "many", "Auto"])
def test_what_is_no_number_of_jobs_is_refused(words: str, shell: Shell, make_file: MakeFile) -> None:
    """Exit 2, and the vendors' taskNum=0 sends nothing and says 200."""
    make_file(1000)
    outcome = shell.run("upload", "bigfile", "bucket/key", f"--jobs={words}")
    assert outcome.code == 2
    assert "--jobs" in outcome.err

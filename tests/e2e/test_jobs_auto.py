"""``--jobs auto`` with a store that receives bodies slowly; the tests count connections instead of seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.engine.plan.file_plan import INITIAL_JOBS, MAX_JOBS
from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Shell

MakeFile = Callable[..., Path]

SLOW = "slow=600K,op=part"


def test_slow_connections_increase_the_number_of_jobs(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Each part takes half a second at any concurrency, so more connections are opened; each part is sent once."""
    source = make_file(90 * 300 * 1024)
    sandbox.add_fault(SLOW)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--part-size", "300K")
    assert outcome.code == 0, outcome.err
    assert 2 * INITIAL_JOBS < sandbox.connections <= MAX_JOBS + 1
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    parts = sorted(r.part_number for r in sandbox.requests if r.operation == "part" and r.part_number)
    assert parts == list(range(1, 91))


@pytest.mark.parametrize("jobs", [1, 5])
def test_a_fixed_number_of_jobs(jobs: int, shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """One connection per job, reused for every part."""
    make_file(16 * 100 * 1024)
    sandbox.add_fault("slow=2M,op=part")
    assert shell.run("upload", "bigfile", "bucket/key", "--part-size", "100K", "-j", str(jobs)).code == 0
    assert sandbox.connections == jobs


def test_few_parts_open_few_connections(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """A file of three parts opens three connections, although the initial number is five."""
    make_file(300 * 1024)
    sandbox.add_fault("slow=300K,op=part")
    assert shell.run("upload", "bigfile", "bucket/key", "--part-size", "100K").code == 0
    assert sandbox.connections == 3


@pytest.mark.slow
def test_a_throttling_store_gets_no_more_connections(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """The store throttles most of the ten parts of a trial, so that it cannot be measured: no more are opened."""
    source = make_file(40 * 300 * 1024)
    sandbox.add_fault(SLOW)
    sandbox.add_fault("error=503:SlowDown,op=part,times=6,after=5")
    outcome = shell.run("upload", "bigfile", "bucket/key", "--part-size", "300K")
    assert outcome.code == 0, outcome.err
    assert sandbox.connections <= 2 * INITIAL_JOBS
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("arguments", ["0", "-3", "10001", "many", "Auto"])
def test_an_invalid_number_of_jobs(arguments: str, shell: Shell, make_file: MakeFile) -> None:
    """Exit 2. With taskNum=0 the vendor's client sends nothing and returns 200."""
    make_file(1000)
    outcome = shell.run("upload", "bigfile", "bucket/key", f"--jobs={arguments}")
    assert outcome.code == 2
    assert "--jobs" in outcome.err

"""Parts and small files sent by the ranks of an MPI job. Needs tests/servers/install-mpi.sh."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import LARGE_SIZE, assert_stored, count_operations, json_results, make_files
from tests.support.shell import Outcome, Shell

pytestmark = pytest.mark.mpi

MakeFile = Callable[..., Path]


def mpiexec(shell: Shell, *arguments: str | Path, ranks: int = 3, with_futures: bool = True) -> Outcome:
    """Run obsup under mpiexec: one rank is the driver, the others are its workers."""
    # Allow root in a container, and more ranks than cores.
    options = ["--allow-run-as-root", "--oversubscribe"]
    futures = ("-m", "mpi4py.futures") if with_futures else ()
    done = subprocess.run(
        [
            *("mpiexec", *options, "-n", str(ranks)),
            *(sys.executable, "-P", *futures, "-m", "obsup"),
            *arguments,
        ],
        cwd=shell.folder,
        env={**os.environ, **shell.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_ranks_send_each_part_once(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """The exit code passes through mpiexec, and the parts come from more than one connection."""
    source = make_file(2_000_000)
    arguments = ("upload", source, "bucket/key", "--parts", "10", "--executor", "mpi", "--json")
    outcome = mpiexec(shell, *arguments)
    assert (outcome.code, outcome.json["sentParts"]) == (0, 10), outcome.err
    sent = [r for r in sandbox.requests if r.operation == "part"]
    assert Counter(r.part_number for r in sent) == Counter(range(1, 11))
    assert len({r.connection for r in sent}) > 1
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_the_exit_code_passes_through_mpiexec_and_progress_is_kept(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """A rejected part ends the job with 77; the same command resumes."""
    source = make_file(2_000_000)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=7,times=always")
    arguments = ("upload", source, "bucket/key", "--parts", "10", "--executor", "mpi", "--json")
    refused = mpiexec(shell, *arguments)
    assert refused.code == 77, refused.err
    assert "on host" in refused.err
    sandbox.clear_faults()
    outcome = mpiexec(shell, *arguments)
    assert (outcome.code, outcome.json["parts"]) == (0, 10), outcome.err
    assert outcome.json["sentParts"] < 10
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_the_checksum_of_the_object_is_confirmed(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """The ranks send the checksums that the driver agreed on with the store, and the store returns their sum."""
    arguments = ("upload", make_file(11_000_000), "bucket/key", "--provider", "s3", "--part-size", "5M")
    outcome = mpiexec(shell, *arguments, "--executor", "mpi", "--json")
    assert (outcome.code, outcome.json["verified"]) == (0, "crc64nvme"), outcome.err
    assert outcome.json["checksum"]
    headers = [
        {name.lower() for name, _ in one.headers} for one in sandbox.requests if one.operation == "part"
    ]
    assert all("x-amz-checksum-crc64nvme" in names for names in headers)


@pytest.mark.parametrize("ranks", [1, 3])
def test_without_workers_the_error_names_the_command(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, ranks: int
) -> None:
    """Without mpi4py.futures, or with a single rank, nothing is sent. Of several ranks, one reports it."""
    arguments = ("upload", make_file(1000), "bucket/key", "--parts", "1", "--executor", "mpi", "--json")
    outcome = mpiexec(shell, *arguments, ranks=ranks, with_futures=ranks == 1)
    assert (outcome.code, outcome.json["exitCode"]) == (2, 2)
    assert outcome.err.count("mpiexec -n 5 python3 -P -m mpi4py.futures -m obsup") == 1
    assert outcome.err.count("Error:") == 1
    assert sandbox.requests == []


def test_ranks_send_small_files_and_parts_of_a_batch(shell: Shell, sandbox: Sandbox) -> None:
    """The driver writes the journal, and sends nothing next time."""
    names = [f"tree/{number % 4}/{number:03}" for number in range(60)]
    make_files(shell, *names)
    make_files(shell, "tree/large", size=LARGE_SIZE)
    arguments = ("upload", "-r", "tree", "bucket/p/", "--executor", "mpi", "--json")
    outcome = mpiexec(shell, *arguments)
    assert outcome.code == 0, outcome.err
    files, batch = json_results(outcome)
    assert set(files) == {*names, "tree/large"}
    assert (batch["sent"], batch["failed"], batch["sentParts"]) == (61, 0, 62)
    assert_stored(shell, sandbox, "p/", [*names, "tree/large"])
    sent = [r for r in sandbox.requests if r.operation in ("put", "part")]
    assert Counter(r.operation for r in sent) == {"put": 60, "part": 2}
    assert len({r.connection for r in sent}) > 1
    before = len(sandbox.requests)
    again = mpiexec(shell, *arguments)
    assert (again.code, json_results(again)[1]["skipped"]) == (0, 61)
    assert count_operations(sandbox, before) == {"list": 1}


def test_a_file_that_fails_on_a_rank_does_not_stop_the_others(shell: Shell, sandbox: Sandbox) -> None:
    """The error names the host, and the exit code passes through mpiexec."""
    names = [f"tree/{number:02}" for number in range(30)]
    make_files(shell, *names)
    sandbox.add_fault("error=403:AccessDenied,op=put,key=p/tree/07,times=always")
    arguments = ("upload", "-r", "tree", "bucket/p/", "--executor", "mpi", "--failed-list", "failed")
    outcome = mpiexec(shell, *arguments)
    assert outcome.code == 77, outcome.err
    assert f"on host {os.uname().nodename}" in outcome.err
    sandbox.clear_faults()
    again = mpiexec(shell, "upload", "--from-list", "failed", "bucket/p/", "--executor", "mpi")
    assert again.code == 0, again.err
    assert_stored(shell, sandbox, "p/", names)

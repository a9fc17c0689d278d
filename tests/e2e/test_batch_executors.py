"""A batch with every executor: whole small files and parts are sent by the same workers."""

from __future__ import annotations

import os

import pytest
from distributed import LocalCluster

from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import LARGE_SIZE, assert_stored, count_operations, json_results, make_files
from tests.support.shell import Shell

pytestmark = pytest.mark.slow

SMALL = [f"tree/{number:02}" for number in range(30)]


def upload_and_check(shell: Shell, sandbox: Sandbox, *arguments: str) -> None:
    """Upload a tree with *arguments*; assert that each file is stored and reported once and no upload is left open."""
    make_files(shell, *SMALL)
    make_files(shell, "tree/large", size=LARGE_SIZE)
    outcome = shell.run("upload", "-r", "tree", "bucket/p/", "--json", *arguments)
    assert outcome.code == 0, outcome.err
    files, batch = json_results(outcome)
    assert set(files) == {*SMALL, "tree/large"}
    assert (batch["sent"], batch["failed"], batch["sentParts"]) == (31, 0, 32)
    assert_stored(shell, sandbox, "p/", [*SMALL, "tree/large"])
    assert sandbox.uploads() == []


@pytest.mark.parametrize("spec", ["inline", "threads", "processes"])
def test_every_local_executor(spec: str, shell: Shell, sandbox: Sandbox) -> None:
    """One request per small file; a second run sends nothing."""
    upload_and_check(shell, sandbox, "--executor", spec, "-j", "2")
    assert count_operations(sandbox)["put"] == len(SMALL)
    before = len(sandbox.requests)
    assert shell.run("upload", "-r", "tree", "bucket/p/", "--executor", spec, "-j", "2").code == 0
    assert count_operations(sandbox, before) == {"list": 1}


def test_a_dask_cluster(shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers find their own credentials."""
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", host="127.0.0.1"
    ) as cluster:
        upload_and_check(shell, sandbox, "--executor", f"dask:{cluster.scheduler_address}")
    assert count_operations(sandbox)["put"] == len(SMALL)


def test_presigned_small_files_need_no_credentials_in_the_workers(shell: Shell, sandbox: Sandbox) -> None:
    """A small file is one signed request, as without --presign."""
    upload_and_check(shell, sandbox, "--executor", "processes", "--presign", "-j", "2")
    assert count_operations(sandbox)["put"] == len(SMALL)
    assert count_operations(sandbox)["part"] == 2


def test_presigned_files_that_must_replace_nothing(shell: Shell, sandbox: Sandbox) -> None:
    """Each attempt looks for the object, and finds its own if a response was lost: a worker with a URL cannot."""
    make_files(shell, "tree/a")
    sandbox.add_fault("drop-answer,op=put")
    options = (
        "--provider",
        "s3",
        "--region",
        "us-east-1",
        "--no-overwrite",
        "--executor",
        "processes",
        "--presign",
    )
    outcome = shell.run("upload", "-r", "tree", "bucket/p/", *options, "-j", "1")
    assert outcome.code == 0, outcome.err
    assert count_operations(sandbox)["put"] == 1


def test_a_failure_in_a_worker_names_the_host(shell: Shell, sandbox: Sandbox) -> None:
    """It does not stop the other files."""
    make_files(shell, *SMALL)
    sandbox.add_fault("error=400:InvalidRequest,op=put,key=p/tree/07,times=always")
    arguments = ("upload", "-r", "tree", "bucket/p/", "--executor", "processes", "-j", "2")
    outcome = shell.run(*arguments)
    assert outcome.code == 69
    assert f"on host {os.uname().nodename}" in outcome.err
    sandbox.clear_faults()
    assert shell.run(*arguments).code == 0
    assert_stored(shell, sandbox, "p/", SMALL)

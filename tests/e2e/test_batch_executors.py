"""A batch over every executor: small files and parts are units of its work alike."""

from __future__ import annotations

import os

import pytest
from distributed import LocalCluster

from obsup.sandbox.sandbox import Sandbox
from tests.e2e.test_batch import LARGE, check_stored, make, objects, operations
from tests.support.shell import Shell

SMALL = [f"tree/{number:02}" for number in range(30)]


def check(shell: Shell, sandbox: Sandbox, *words: str) -> None:
    """Have a tree sent with *words*: every object is its file, told of once, and nothing is left open."""
    make(shell, *SMALL)
    make(shell, "tree/large", size=LARGE)
    outcome = shell.run("upload", "-r", "tree", "bucket/p/", "--json", *words)
    assert outcome.code == 0, outcome.err
    files, batch = objects(outcome)
    assert set(files) == {*SMALL, "tree/large"}
    assert (batch["sent"], batch["failed"], batch["sentParts"]) == (31, 0, 32)
    check_stored(shell, sandbox, "p/", [*SMALL, "tree/large"])
    assert sandbox.uploads() == []


@pytest.mark.parametrize("spec", ["inline", "threads", "processes"])
def test_every_local_executor(spec: str, shell: Shell, sandbox: Sandbox) -> None:
    """One request a small file, wherever it is sent from; then a run that has nothing to do."""
    check(shell, sandbox, "--executor", spec, "-j", "2")
    assert operations(sandbox)["put"] == len(SMALL)
    before = len(sandbox.requests)
    assert shell.run("upload", "-r", "tree", "bucket/p/", "--executor", spec, "-j", "2").code == 0
    assert operations(sandbox, before) == {"list": 1}


def test_a_dask_cluster(shell: Shell, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its workers find their own credentials."""
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", host="127.0.0.1"
    ) as cluster:
        check(shell, sandbox, "--executor", f"dask:{cluster.scheduler_address}")
    assert operations(sandbox)["put"] == len(SMALL)


def test_presigned_small_files_need_no_keys(shell: Shell, sandbox: Sandbox) -> None:
    """A signed URL is that of a part: a small file goes as its only one."""
    check(shell, sandbox, "--executor", "processes", "--presign", "-j", "2")
    assert operations(sandbox)["put"] == 0
    assert operations(sandbox)["part"] == len(SMALL) + 2


def test_a_file_that_fails_elsewhere_names_its_host(shell: Shell, sandbox: Sandbox) -> None:
    """And does not stop the others."""
    make(shell, *SMALL)
    sandbox.add_fault("error=400:InvalidRequest,op=put,key=p/tree/07,times=always")
    words = ("upload", "-r", "tree", "bucket/p/", "--executor", "processes", "-j", "2")
    outcome = shell.run(*words)
    assert outcome.code == 69
    assert f"on host {os.uname().nodename}" in outcome.err
    sandbox.clear_faults()
    assert shell.run(*words).code == 0
    check_stored(shell, sandbox, "p/", SMALL)

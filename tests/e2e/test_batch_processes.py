"""The extra processes of a batch with many small files behave like a single process."""

from __future__ import annotations

import contextlib
import os
import signal
from base64 import b64encode
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.mutating_relay import Answer, MutatingRelay
from tests.support.batch import (
    assert_stored,
    count_operations,
    json_results,
    make_files,
    stored_keys,
    wait_for_requests,
)
from tests.support.shell import Shell
from tests.support.waiting import wait_for

NAMES = [f"tree/{number % 9}/{number:04}" for number in range(1500)]
NO_OVERWRITE = ("--provider", "s3", "--region", "us-east-1", "--no-overwrite")
COMMAND = ("upload", "-r", "tree", "bucket/p/")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores"),
]


def children(pid: int) -> list[int]:
    """Return the child processes of *pid*."""
    pids: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended in between
            pids += map(int, (task / "children").read_text().split())
    return pids


def wait_for_end(pids: list[int]) -> None:
    """Return once all these processes have ended."""
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), within_s=10)


def wait_for_children(pid: int) -> list[int]:
    """Return the child processes once there are two."""
    return wait_for(lambda: pids if len(pids := children(pid)) >= 2 else [])


def test_each_file_is_sent_once(shell: Shell, sandbox: Sandbox, home: Path) -> None:
    """One request, one object and one line of the journal per file; a second run sends nothing."""
    make_files(shell, *NAMES)
    with shell.begin(*COMMAND) as process:
        wait_for_children(process.pid)
        _out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    (journal,) = home.rglob("*.obsup.journal")
    assert len(journal.read_text().splitlines()) == 1 + len(NAMES)
    assert_stored(shell, sandbox, "p/", NAMES)
    assert count_operations(sandbox) == {"list": 1, "put": len(NAMES)}
    before = len(sandbox.requests)
    assert shell.run(*COMMAND).code == 0
    assert count_operations(sandbox, before) == {"list": 2}


def test_a_customer_key_file_that_gets_another_key(shell: Shell, sandbox: Sandbox) -> None:
    """It does when the first file was stored, before the extra processes read it: all objects have the first key."""
    make_files(shell, *NAMES)
    key = shell.folder / "key"
    key.write_bytes(b"a" * 32)
    key.chmod(0o600)

    def write_another(answer: Answer) -> None:
        if answer.operation == "put":
            key.write_bytes(b"b" * 32)

    with MutatingRelay(sandbox.port, write_another) as relay:
        options = ("--sse-c-key-file", key, "--endpoint", relay.endpoint)
        outcome = shell.run(*COMMAND, *options)
    assert outcome.code == 0, outcome.err
    sent = {value for one in sandbox.requests for name, value in one.headers if name.endswith("customer-key")}
    assert sent == {b64encode(b"a" * 32).decode()}
    assert len(stored_keys(sandbox)) == len(NAMES)


def test_the_output_does_not_depend_on_the_process_that_sends_a_file(shell: Shell, sandbox: Sandbox) -> None:
    """The objects of --json, failures with their reasons, and with -v every request."""
    make_files(shell, *NAMES)
    sandbox.add_fault("error=403:AccessDenied,op=put,key=p/tree/3/0[0-4]*,times=always")
    outcome = shell.run(*COMMAND, "--json", "-v")
    files, batch = json_results(outcome)
    assert outcome.code == 77
    failed = [name for name in NAMES if name.startswith("tree/3/0") and name[8] in "01234"]
    assert batch["failed"] == len(failed) > 20
    assert {name for name, result in files.items() if result["status"] != "completed"} == set(failed)
    kinds = {tuple(sorted(result)) for result in files.values() if result["status"] == "completed"}
    assert len(kinds) == 1
    assert outcome.err.count("PutObject") >= len(NAMES)


def test_files_of_a_killed_process_are_sent_by_others(shell: Shell, sandbox: Sandbox) -> None:
    """The batch succeeds, and a second run sends nothing."""
    make_files(shell, *NAMES)
    sandbox.add_fault("delay=0.005,op=put,times=always")
    with shell.begin(*COMMAND) as process:
        workers = wait_for_children(process.pid)
        wait_for_requests(sandbox, "put", 700)
        os.kill(workers[0], signal.SIGKILL)
        _out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert_stored(shell, sandbox, "p/", NAMES)
    before = len(sandbox.requests)
    assert shell.run(*COMMAND).code == 0
    assert count_operations(sandbox, before) == {"list": 2}


def test_the_processes_end_with_their_driver(shell: Shell, sandbox: Sandbox) -> None:
    """Even after SIGKILL. SIGINT ends all of them in order, without a traceback."""
    make_files(shell, *NAMES)
    sandbox.add_fault("delay=0.01,op=put,times=always")
    for number, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
        with shell.begin(*COMMAND) as process:
            workers = wait_for_children(process.pid)
            wait_for_requests(sandbox, "put", 100 if code < 0 else 600)
            if code < 0:
                process.send_signal(number)
            else:
                for pid in (process.pid, *workers):  # as Ctrl-C in a terminal does
                    os.kill(pid, number)
            _out, err = process.communicate(timeout=60)
        assert process.returncode == code
        assert code < 0 or "Traceback" not in err, err
        wait_for_end(workers)
    assert len(stored_keys(sandbox)) < len(NAMES)
    sandbox.clear_faults()
    before = len(sandbox.requests)
    assert shell.run(*COMMAND).code == 0
    assert_stored(shell, sandbox, "p/", NAMES)
    again = [r.key for r in sandbox.requests[before:] if r.operation == "put"]
    first = {r.key for r in sandbox.requests[:before] if r.operation == "put" and r.status == 200}
    assert first.isdisjoint(again)


def test_a_deadline_stops_the_processes(shell: Shell, sandbox: Sandbox) -> None:
    """Exit 75; verified files are in the journal, and the others are not started."""
    make_files(shell, *NAMES)
    sandbox.add_fault("delay=0.05,op=put,times=always")
    outcome = shell.run(*COMMAND, "-j", "4", "--max-time", "4s")
    assert outcome.code == 75, outcome.err
    sent = count_operations(sandbox)["put"]
    assert 0 < sent < len(NAMES)
    sandbox.clear_faults()
    assert shell.run(*COMMAND).code == 0
    assert count_operations(sandbox)["put"] == len(NAMES)
    assert_stored(shell, sandbox, "p/", NAMES)


def test_throttled_files_are_retried(shell: Shell, sandbox: Sandbox) -> None:
    """Whichever process was throttled; all files arrive."""
    make_files(shell, *NAMES)
    sandbox.add_fault("error=503:SlowDown,op=put,times=20,after=800")
    outcome = shell.run(*COMMAND, "-v")
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("status=503") == 20
    assert_stored(shell, sandbox, "p/", NAMES)


@pytest.mark.parametrize(
    "arguments", [("-j", "1"), ("--limit-rate", "1G"), ("--executor", "inline"), NO_OVERWRITE], ids=" ".join
)
def test_no_processes_are_started_if_they_cannot_help(
    arguments: tuple[str, ...], shell: Shell, sandbox: Sandbox
) -> None:
    """One file at a time, a rate limit, the inline executor, or --no-overwrite."""
    make_files(shell, *NAMES)
    with shell.begin(*COMMAND, *arguments) as process:
        wait_for_requests(sandbox, "put", 1000)
        assert children(process.pid) == []
        process.communicate(timeout=100)
    assert process.returncode == 0

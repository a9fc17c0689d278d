"""Many small files are carried by other interpreters too, and all that holds of one interpreter holds of them."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.e2e.test_batch import check_stored, keys, make, objects, operations
from tests.e2e.test_batch_survives import wait_for_puts
from tests.support.shell import Shell
from tests.support.waiting import wait_for

NAMES = [f"tree/{number % 9}/{number:04}" for number in range(1500)]
ONCE = ("--provider", "s3", "--region", "us-east-1", "--no-overwrite")
WORDS = ("upload", "-r", "tree", "bucket/p/")
pytestmark = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="one core has no use for two interpreters"
)


def children(pid: int) -> list[int]:
    """Return the interpreters that the process *pid* started, without Python's own tracker of resources."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended while it was looked at
            for child in map(int, (task / "children").read_text().split()):
                if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(child)
    return found


def wait_for_end(pids: list[int]) -> None:
    """Return once none of these processes is there."""
    wait_for(lambda: not any(Path(f"/proc/{one}").exists() for one in pids), within_s=10)


def wait_for_children(pid: int) -> list[int]:
    """Return the interpreters once there are two."""
    return wait_for(lambda: found if len(found := children(pid)) >= 2 else [])


def test_each_file_once_whoever_carries_it(shell: Shell, sandbox: Sandbox, home: Path) -> None:
    """One request a file, one object and one line of the journal; then there is nothing to do."""
    make(shell, *NAMES)
    with shell.begin(*WORDS) as process:
        wait_for_children(process.pid)
        _out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    (journal,) = home.rglob("*.obsup.journal")
    assert len(journal.read_text().splitlines()) == 1 + len(NAMES)
    check_stored(shell, sandbox, "p/", NAMES)
    assert operations(sandbox) == {"list": 1, "put": len(NAMES)}
    before = len(sandbox.requests)
    assert shell.run(*WORDS).code == 0
    assert operations(sandbox, before) == {"list": 2}


def test_what_is_told_of_a_file_is_the_same_from_anywhere(shell: Shell, sandbox: Sandbox) -> None:
    """The objects of --json, a failure and its reason, and with -v every request."""
    make(shell, *NAMES)
    sandbox.add_fault("error=403:AccessDenied,op=put,key=p/tree/3/0[0-4]*,times=always")
    outcome = shell.run(*WORDS, "--json", "-v")
    files, batch = objects(outcome)
    assert outcome.code == 77
    failed = [name for name in NAMES if name.startswith("tree/3/0") and name[8] in "01234"]
    assert batch["failed"] == len(failed) > 20
    assert {name for name, one in files.items() if one["status"] != "completed"} == set(failed)
    kinds = {tuple(sorted(one)) for one in files.values() if one["status"] == "completed"}
    assert len(kinds) == 1
    assert outcome.err.count("PutObject") >= len(NAMES)


def test_an_interpreter_that_dies_takes_no_file_with_it(shell: Shell, sandbox: Sandbox) -> None:
    """Its files are sent by those that are left."""
    make(shell, *NAMES)
    sandbox.add_fault("delay=0.005,op=put,times=always")
    with shell.begin(*WORDS) as process:
        found = wait_for_children(process.pid)
        wait_for_puts(sandbox, 700)
        os.kill(found[0], signal.SIGKILL)
        _out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    check_stored(shell, sandbox, "p/", NAMES)
    before = len(sandbox.requests)
    assert shell.run(*WORDS).code == 0
    assert operations(sandbox, before) == {"list": 2}


def test_they_end_with_their_driver(shell: Shell, sandbox: Sandbox) -> None:
    """Were it by SIGKILL; a signal that it can hear ends all in order, at once with no trace of another's stack."""
    make(shell, *NAMES)
    sandbox.add_fault("delay=0.01,op=put,times=always")
    for number, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
        with shell.begin(*WORDS) as process:
            found = wait_for_children(process.pid)
            wait_for_puts(sandbox, 100 if code < 0 else 600)
            if code < 0:
                process.send_signal(number)
            else:
                for one in (process.pid, *found):  # as a terminal does
                    os.kill(one, number)
            _out, err = process.communicate(timeout=60)
        assert process.returncode == code
        assert code < 0 or "Traceback" not in err, err
        wait_for_end(found)
    assert len(keys(sandbox)) < len(NAMES)
    sandbox.clear_faults()
    before = len(sandbox.requests)
    assert shell.run(*WORDS).code == 0
    check_stored(shell, sandbox, "p/", NAMES)
    again = [r.key for r in sandbox.requests[before:] if r.operation == "put"]
    first = {r.key for r in sandbox.requests[:before] if r.operation == "put" and r.status == 200}
    assert first.isdisjoint(again)


def test_a_deadline_is_theirs_too(shell: Shell, sandbox: Sandbox) -> None:
    """Exit 75, what is proved is kept, and the others are not begun."""
    make(shell, *NAMES)
    sandbox.add_fault("delay=0.05,op=put,times=always")
    outcome = shell.run(*WORDS, "-j", "4", "--max-time", "4s")
    assert outcome.code == 75, outcome.err
    sent = operations(sandbox)["put"]
    assert 0 < sent < len(NAMES)
    sandbox.clear_faults()
    assert shell.run(*WORDS).code == 0
    assert operations(sandbox)["put"] == len(NAMES)
    check_stored(shell, sandbox, "p/", NAMES)


def test_a_store_that_asks_to_slow_down_is_heard(shell: Shell, sandbox: Sandbox) -> None:
    """Whoever was told; all files arrive."""
    make(shell, *NAMES)
    sandbox.add_fault("error=503:SlowDown,op=put,times=20,after=800")
    outcome = shell.run(*WORDS, "-v")
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("status=503") == 20
    check_stored(shell, sandbox, "p/", NAMES)


@pytest.mark.parametrize(
    "words", [("-j", "1"), ("--limit-rate", "1G"), ("--executor", "inline"), ONCE], ids=" ".join
)
def test_where_they_are_of_no_use_there_are_none(
    words: tuple[str, ...], shell: Shell, sandbox: Sandbox
) -> None:
    """One file at a time needs no company, and a rate is kept by one alone."""
    make(shell, *NAMES)
    with shell.begin(*WORDS, *words) as process:
        wait_for_puts(sandbox, 1000)
        assert children(process.pid) == []
        process.communicate(timeout=100)
    assert process.returncode == 0

"""Signals, deadlines and two runs at once, with real processes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Shell
from tests.support.waiting import wait_for

MakeFile = Callable[..., Path]
WORDS = ("upload", "bigfile", "bucket/key", "--part-size", "100K", "-j", "2")
PARTS = 10


@pytest.fixture
def slow(sandbox: Sandbox, make_file: MakeFile) -> Sandbox:
    """A store that takes half a second a part, and a source of ten parts."""
    make_file(PARTS * 102_400)
    sandbox.add_fault("slow=200000,op=part")
    return sandbox


def stored(sandbox: Sandbox) -> int:
    """Return how many parts have been stored."""
    return sum(r.status == 200 for r in sandbox.requests if r.operation == "part")


def sent(sandbox: Sandbox, since: int = 0) -> list[int]:
    """Return the parts that were sent, in order of number."""
    return sorted(r.part_number or 0 for r in sandbox.requests[since:] if r.operation == "part")


@contextmanager
def running(shell: Shell, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Start the upload; whatever becomes of the test, the process is gone after it."""
    process = shell.begin(*WORDS, *more)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for_the_lock(waiting: subprocess.Popen[str]) -> None:
    """Return once *waiting* says that it waits for another run."""
    assert waiting.stderr is not None
    assert "another obsup is at work on bucket/key: waiting" in waiting.stderr.readline()


def is_whole(sandbox: Sandbox, shell: Shell) -> bool:
    """Return whether the object is the source."""
    path = sandbox.object_path("bucket", "key")
    return path.exists() and path.read_bytes() == (shell.folder / "bigfile").read_bytes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_lets_parts_end_and_says_how_to_go_on(
    number: signal.Signals, code: int, slow: Sandbox, shell: Shell
) -> None:
    """What is in flight is stored and recorded; the command that is printed finishes, and sends the rest."""
    with running(shell) as process:
        wait_for(lambda: stored(slow) >= 3, process=process)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    (upload,) = slow.uploads()
    there = set(upload.parts)
    assert sent(slow) == sorted(there)
    slow.clear_faults()
    since = len(slow.requests)
    command = shlex.split(err.strip().splitlines()[-1].partition("obsup ")[2])
    assert tuple(command) == WORDS
    again = shell.run(*command)
    assert again.code == 0, again.err
    assert sent(slow, since) == sorted(set(range(1, PARTS + 1)) - there)
    assert is_whole(slow, shell)
    assert slow.uploads() == []


def test_the_second_signal_ends_at_once(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """Though the store says nothing, and the parts in flight have seconds left."""
    make_file(PARTS * 102_400)
    sandbox.add_fault("stall=60,op=part,times=always")
    with running(shell) as process:
        wait_for(sandbox.uploads, process=process)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=4)
    assert process.returncode == 130


def test_a_signal_ends_a_wait_for_complete(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """The store may think about Complete for minutes; the next run finds what came of it."""
    make_file(PARTS * 102_400)
    sandbox.add_fault("stall=60,op=complete")
    with running(shell) as process:
        wait_for(lambda: stored(sandbox) == PARTS, process=process)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert shell.run(*WORDS).code == 0
    assert len(sent(sandbox)) == PARTS
    assert is_whole(sandbox, shell)


def test_a_signal_ends_a_backoff(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """130, not 75: the user knows best why it ended."""
    make_file(PARTS * 102_400)
    sandbox.add_fault("error=503:SlowDown,retry-after=600,op=initiate,times=always")
    with running(shell) as process:
        wait_for(lambda: any(r.operation == "initiate" for r in sandbox.requests), process=process)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err


def test_max_time_keeps_what_is_stored(slow: Sandbox, shell: Shell) -> None:
    """75 and the same command; each run gets further."""
    outcome = shell.run(*WORDS, "--max-time", "1s", "--json")
    assert outcome.code == 75, outcome.err
    assert outcome.json["reason"] == "deadline"
    assert outcome.json["status"] == "incomplete"
    assert outcome.json["retryable"] is True
    (upload,) = slow.uploads()
    assert 0 < len(upload.parts) < PARTS
    slow.clear_faults()
    assert shell.run(*WORDS).code == 0
    assert len(sent(slow)) == PARTS
    assert is_whole(slow, shell)


def test_until_is_a_time_of_day(slow: Sandbox, shell: Shell) -> None:
    """The next minute that begins is the deadline."""
    soon = datetime.now() + timedelta(minutes=1)
    assert shell.run(*WORDS, "--until", soon.strftime("%H:%M")).code in (0, 75)
    past = (datetime.now() - timedelta(minutes=5)).strftime("%H:%M")
    slow.clear_faults()
    assert shell.run(*WORDS, "--until", past).code == 0
    assert is_whole(slow, shell)


def test_two_runs_at_once_send_each_part_once(slow: Sandbox, shell: Shell) -> None:
    """The second is told to come again, leaves it to the first, or waits and finds it done."""
    with running(shell) as first:
        wait_for(lambda: stored(slow) >= 1, process=first)
        first.send_signal(signal.SIGSTOP)
        failed = shell.run(*WORDS, "--json")
        skipped = shell.run(*WORDS, "--if-running", "skip")
        with running(shell, "--if-running", "wait") as waiting:
            wait_for_the_lock(waiting)
            first.send_signal(signal.SIGCONT)
            first.communicate(timeout=60)
            waiting.communicate(timeout=60)
    assert (failed.code, failed.json["reason"]) == (75, "running")
    assert "another obsup is at work on bucket/key" in failed.err
    assert skipped.code == 0
    assert (first.returncode, waiting.returncode) == (0, 0)
    assert sent(slow) == [*range(1, PARTS + 1)]
    assert is_whole(slow, shell)
    assert slow.uploads() == []


def test_who_waits_for_another_run_can_be_stopped(slow: Sandbox, shell: Shell) -> None:
    """By a signal with 130, by --max-time with 75 and its reason."""
    with running(shell) as first:
        wait_for(lambda: stored(slow) >= 1, process=first)
        first.send_signal(signal.SIGSTOP)
        with running(shell, "--if-running", "wait") as waiting:
            wait_for_the_lock(waiting)
            waiting.send_signal(signal.SIGINT)
            waiting.communicate(timeout=30)
        late = shell.run(*WORDS, "--if-running", "wait", "--max-time", "0.5s", "--json")
        first.kill()
    assert waiting.returncode == 130
    assert (late.code, late.json["reason"]) == (75, "deadline")


def test_a_killed_run_holds_nothing(slow: Sandbox, shell: Shell) -> None:
    """The lock is the kernel's: it goes with the process."""
    with running(shell) as first:
        wait_for(lambda: stored(slow) >= 1, process=first)
        os.kill(first.pid, signal.SIGKILL)
    slow.clear_faults()
    assert shell.run(*WORDS).code == 0


def test_a_stopped_run_is_still_running(slow: Sandbox, shell: Shell) -> None:
    """SIGSTOP: a process that cannot answer still holds its upload."""
    with running(shell) as first:
        wait_for(lambda: stored(slow) >= 1, process=first)
        first.send_signal(signal.SIGSTOP)
        assert shell.run(*WORDS).code == 75
        first.send_signal(signal.SIGCONT)
        first.communicate(timeout=60)
    assert first.returncode == 0

"""Signals, deadlines and concurrent runs of one upload, with real processes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.matrix import mostly_slow
from tests.support.shell import Shell
from tests.support.waiting import wait_for

MakeFile = Callable[..., Path]
ARGUMENTS = ("upload", "bigfile", "bucket/key", "--part-size", "100K", "-j", "2")
PARTS = 10


@pytest.fixture
def slow(sandbox: Sandbox, make_file: MakeFile) -> Sandbox:
    """A store that takes half a second per part, and a source of ten parts."""
    make_file(PARTS * 102_400)
    sandbox.add_fault("slow=200000,op=part")
    return sandbox


CTRL_C_DURING_IMPORTS = """
import builtins, os, signal
imported = builtins.__import__
def interrupted(name, *rest):
    if name == "click":
        os.kill(os.getpid(), signal.SIGINT)
    return imported(name, *rest)
from obsup.__main__ import main
builtins.__import__ = interrupted
main()
"""


def test_ctrl_c_while_obsup_starts_is_silent() -> None:
    """Python would print a traceback before the command line handles signals."""
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C_DURING_IMPORTS, "upload", "bigfile", "bucket/key"],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def count_stored(sandbox: Sandbox) -> int:
    """Return how many parts have been stored."""
    return sum(r.status == 200 for r in sandbox.requests if r.operation == "part")


def sent_parts(sandbox: Sandbox, since: int = 0) -> list[int]:
    """Return the part numbers of the requests since number *since*, sorted."""
    return sorted(r.part_number or 0 for r in sandbox.requests[since:] if r.operation == "part")


@contextmanager
def running(shell: Shell, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Start the upload, and kill the process at the end of the block."""
    process = shell.begin(*ARGUMENTS, *more)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for_lock_message(process: subprocess.Popen[str]) -> None:
    """Return once *process* reports that it waits for another run."""
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "bucket/key" in line
    assert "wait" in line


def is_ended_by_signal(process: subprocess.Popen[str]) -> bool:
    """Send another SIGINT, because signals that arrive together count once; return whether the process has ended."""
    process.send_signal(signal.SIGINT)
    return process.poll() is not None


def is_uploaded(sandbox: Sandbox, shell: Shell) -> bool:
    """Return whether the object has the content of the source."""
    path = sandbox.object_path("bucket", "key")
    return path.exists() and path.read_bytes() == (shell.folder / "bigfile").read_bytes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_completes_parts_in_flight_and_prints_how_to_resume(
    number: signal.Signals, code: int, slow: Sandbox, shell: Shell
) -> None:
    """Parts in flight are stored and recorded; the printed command sends the rest and completes the upload."""
    with running(shell) as process:
        wait_for(lambda: count_stored(slow) >= 3, process=process)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    (upload,) = slow.uploads()
    stored = set(upload.parts)
    assert sent_parts(slow) == sorted(stored)
    slow.clear_faults()
    since = len(slow.requests)
    command = shlex.split(err.strip().splitlines()[-1].partition("obsup ")[2])
    assert tuple(command) == ARGUMENTS
    rerun = shell.run(*command)
    assert rerun.code == 0, rerun.err
    assert sent_parts(slow, since) == sorted(set(range(1, PARTS + 1)) - stored)
    assert is_uploaded(slow, shell)
    assert slow.uploads() == []


def test_the_second_signal_exits_at_once(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """The store does not respond, and the grace period of the parts in flight is five seconds."""
    make_file(PARTS * 102_400)
    sandbox.add_fault("stall=60,op=part,times=always")
    with running(shell) as process:
        wait_for(lambda: sandbox.injected_faults >= 2, process=process)
        process.send_signal(signal.SIGINT)
        wait_for(lambda: is_ended_by_signal(process), within_s=4)
        assert process.stderr is not None
        lines = process.stderr.read().strip().splitlines()
    assert process.returncode == 130
    assert lines[0] == "Error: stopped by SIGINT."
    assert lines[-1].startswith("Next:  Run the same command again: obsup upload bigfile")
    assert not list(shell.folder.glob("*.upload.lock"))


def test_signals_that_arrive_together_are_one(slow: Sandbox, shell: Shell) -> None:
    """``timeout`` sends SIGTERM to the process and to its group: the parts in flight are still completed."""
    with running(shell) as process:
        wait_for(lambda: count_stored(slow) >= 3, process=process)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode in (130, 143)  # the order of pending signals is that of their numbers
    assert err.startswith("Error: stopped by SIG")
    assert len(err.strip().splitlines()) == 3
    (upload,) = slow.uploads()
    assert sent_parts(slow) == sorted(upload.parts)


def test_a_signal_that_is_ignored_at_the_start_stays_ignored(slow: Sandbox, shell: Shell) -> None:
    """A shell without job control ignores SIGINT for its background jobs; so does ``trap '' TERM``."""
    command = f"exec {sys.executable} -m obsup {shlex.join(ARGUMENTS)}"
    with subprocess.Popen(
        ["sh", "-c", f"trap '' INT TERM; {command}"],
        cwd=shell.folder,
        env={**os.environ, **shell.environment},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for(lambda: count_stored(slow) >= 2, process=process)
        for number in (signal.SIGINT, signal.SIGTERM):
            process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert is_uploaded(slow, shell)


@pytest.mark.slow
def test_a_signal_ends_a_wait_for_complete(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """Complete may take the store minutes; the next run finds the outcome."""
    make_file(PARTS * 102_400)
    sandbox.add_fault("stall=60,op=complete")
    with running(shell) as process:
        wait_for(lambda: sandbox.injected_faults, process=process)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143, err
    assert shell.run(*ARGUMENTS).code == 0
    assert len(sent_parts(sandbox)) == PARTS
    assert is_uploaded(sandbox, shell)


def test_a_signal_ends_a_backoff(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """The exit code is 130, not 75: the signal is the cause."""
    make_file(PARTS * 102_400)
    sandbox.add_fault("error=503:SlowDown,retry-after=600,op=initiate,times=always")
    with running(shell) as process:
        wait_for(lambda: any(r.operation == "initiate" for r in sandbox.requests), process=process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err


def test_max_time_keeps_what_is_stored(slow: Sandbox, shell: Shell) -> None:
    """The exit code is 75; the same command resumes."""
    outcome = shell.run(*ARGUMENTS, "--max-time", "1s", "--json")
    assert outcome.code == 75, outcome.err
    assert outcome.json["reason"] == "deadline"
    assert outcome.json["status"] == "incomplete"
    assert outcome.json["retryable"] is True
    (upload,) = slow.uploads()
    assert 0 < len(upload.parts) < PARTS
    slow.clear_faults()
    assert shell.run(*ARGUMENTS).code == 0
    assert len(sent_parts(slow)) == PARTS
    assert is_uploaded(slow, shell)


@pytest.mark.parametrize(
    "command",
    mostly_slow(
        [
            "upload bigfile",
            "verify bigfile",
            "uploads",
            "gc --older-than 1d",
            "doctor",
            "parts --upload-id u",
        ],
        "upload bigfile",
    ),
)
def test_max_time_ends_every_command_during_a_request(
    command: str, sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """A store that does not respond: exit 75, within the timeout of the shell and not after --stall-timeout."""
    make_file(10)
    name, *arguments = command.split()
    target = "bucket" if name in ("uploads", "gc", "doctor") else "bucket/key"
    sandbox.add_fault("delay=60,times=always")
    outcome = shell.run(name, *arguments, target, "--max-time", "1s", "--json")
    assert outcome.code == 75, outcome.err
    assert outcome.json["reason"] == "deadline"
    assert "--max-time" in outcome.err


@pytest.mark.parametrize(
    "command", [("upload",), ("upload", "--parts", "2"), ("verify",), ("upload", "-r")], ids=str
)
def test_a_stop_names_the_failure_that_was_retried(
    command: tuple[str, ...], sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """More time would not help, so it is not advised."""
    make_file(300_000)
    sandbox.add_fault("error=503:SlowDown,times=always")
    outcome = shell.run(*command, "bigfile", "bucket/key/", "--max-time", "0.5s")
    assert outcome.code == 75
    assert "--max-time or --until ended the run; the last attempt had failed" in outcome.err
    assert "503" in outcome.err.partition("the last attempt had failed")[2]
    assert outcome.err.endswith("--max-time 0.5s\n")


def test_until_is_a_time_of_day(slow: Sandbox, shell: Shell) -> None:
    """The deadline is the next time that the clock shows it, today or tomorrow."""
    soon = datetime.now() + timedelta(minutes=1)
    assert shell.run(*ARGUMENTS, "--until", soon.strftime("%H:%M")).code in (0, 75)
    past = (datetime.now() - timedelta(minutes=5)).strftime("%H:%M")
    slow.clear_faults()
    assert shell.run(*ARGUMENTS, "--until", past).code == 0
    assert is_uploaded(slow, shell)


def test_an_invalid_time_of_day_is_reported_as_json_too(shell: Shell, make_file: MakeFile) -> None:
    """The command line is wrong: exit code 2."""
    make_file(10)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--until", "25:00", "--json")
    assert (outcome.code, outcome.json["reason"]) == (2, "usage")
    assert "--until '25:00' is not a valid time of day" in outcome.err


def test_two_concurrent_runs_send_each_part_once(slow: Sandbox, shell: Shell) -> None:
    """The second run exits with 75, exits with 0, or waits and finds the upload completed."""
    with running(shell) as first:
        wait_for(lambda: count_stored(slow) >= 1, process=first)
        first.send_signal(signal.SIGSTOP)
        failed = shell.run(*ARGUMENTS, "--json")
        skipped = shell.run(*ARGUMENTS, "--if-running", "skip")
        with running(shell, "--if-running", "wait") as waiting:
            wait_for_lock_message(waiting)
            first.send_signal(signal.SIGCONT)
            first.communicate(timeout=60)
            waiting.communicate(timeout=60)
    assert (failed.code, failed.json["reason"]) == (75, "running")
    assert failed.json["resumeCommand"] in failed.err
    assert "another obsup is " in failed.err
    assert skipped.code == 0
    assert (first.returncode, waiting.returncode) == (0, 0)
    assert sent_parts(slow) == [*range(1, PARTS + 1)]
    assert is_uploaded(slow, shell)
    assert slow.uploads() == []


def test_a_run_that_waits_for_another_can_be_stopped(slow: Sandbox, shell: Shell) -> None:
    """A signal ends it with 130, --max-time with 75 and the reason."""
    with running(shell) as first:
        wait_for(lambda: count_stored(slow) >= 1, process=first)
        first.send_signal(signal.SIGSTOP)
        with running(shell, "--if-running", "wait") as waiting:
            wait_for_lock_message(waiting)
            waiting.send_signal(signal.SIGINT)
            waiting.communicate(timeout=30)
        late = shell.run(*ARGUMENTS, "--if-running", "wait", "--max-time", "0.5s", "--json")
        first.kill()
    assert waiting.returncode == 130
    assert (late.code, late.json["reason"]) == (75, "deadline")


def test_a_killed_run_holds_no_lock(slow: Sandbox, shell: Shell) -> None:
    """The kernel releases the lock with the process."""
    with running(shell) as first:
        wait_for(lambda: count_stored(slow) >= 1, process=first)
        os.kill(first.pid, signal.SIGKILL)
    slow.clear_faults()
    assert shell.run(*ARGUMENTS).code == 0


def test_a_stopped_run_still_holds_its_lock(slow: Sandbox, shell: Shell) -> None:
    """A process that SIGSTOP suspends cannot respond, but it is still running."""
    with running(shell) as first:
        wait_for(lambda: count_stored(slow) >= 1, process=first)
        first.send_signal(signal.SIGSTOP)
        assert shell.run(*ARGUMENTS).code == 75
        first.send_signal(signal.SIGCONT)
        first.communicate(timeout=60)
    assert first.returncode == 0

"""Signals that arrive while obsup waits for input or has lost its terminal: the same lines, codes and state."""

from __future__ import annotations

import array
import fcntl
import os
import shlex
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import count_operations
from tests.support.shell import Shell
from tests.support.terminal import Terminal
from tests.support.waiting import wait_for

MakeFile = Callable[..., Path]
SLOW = pytest.mark.slow
ARGUMENTS = ("upload", "bigfile", "bucket/key", "--part-size", "100K", "-j", "2")


def is_read(pipe: int) -> bool:
    """Return whether everything that was written to *pipe* has been read."""
    unread = array.array("i", [1])
    fcntl.ioctl(pipe, termios.FIONREAD, unread)
    return unread[0] == 0


@pytest.mark.parametrize(
    ("arguments", "number", "code"),
    [
        ("upload --from-list - bucket/p/", signal.SIGTERM, 143),
        ("upload --from-list - bucket/p/ --metrics existing", signal.SIGINT, 130),
        pytest.param("upload --from-list - bucket/p/ --failed-list failed", signal.SIGINT, 130, marks=SLOW),
        pytest.param("upload --from-list fifo bucket/p/", signal.SIGTERM, 143, marks=SLOW),
        pytest.param("upload - bucket/key", signal.SIGHUP, 129, marks=SLOW),
        pytest.param("part - bucket/key --upload-id u --part-number 1", signal.SIGTERM, 143, marks=SLOW),
        pytest.param("complete bucket/key --upload-id u --etags-from -", signal.SIGHUP, 129, marks=SLOW),
    ],
)
def test_a_signal_ends_the_wait_for_input_that_never_comes(
    arguments: str, number: int, code: int, shell: Shell, make_file: MakeFile
) -> None:
    """A list, a stream, a part and a list of ETags, from a program that hangs; also before anything is connected."""
    make_file(10, "name")
    (shell.folder / "existing").touch()
    os.mkfifo(shell.folder / "fifo")
    with subprocess.Popen(
        [sys.executable, "-m", "obsup", *arguments.split()],
        cwd=shell.folder,
        env={**os.environ, **shell.environment},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"name\n")
        process.stdin.flush()
        pipe, threads = process.stdin.fileno(), Path(f"/proc/{process.pid}/task")
        # A thread opens the FIFO, which takes until somebody writes to it.
        wait_for(
            lambda: len(list(threads.iterdir())) > 1 if "fifo" in arguments else is_read(pipe),
            process=process,
        )
        process.send_signal(number)
        assert process.wait(30) == code
        lines = process.stderr.read().decode().strip().splitlines()
    lines = [line for line in lines if not line.startswith("Note:")]
    assert [line.partition(":")[0] for line in lines] == ["Error", "Why", "Next"], lines
    assert f"stopped by {signal.Signals(number).name}" in lines[0]


def test_a_failure_ends_the_wait_for_a_list(shell: Shell) -> None:
    """--fail-fast: the program that writes the list may hang, or write more names for hours."""
    with subprocess.Popen(
        [sys.executable, "-m", "obsup", "upload", "--from-list", "-", "bucket/p/", "--fail-fast"],
        cwd=shell.folder,
        env={**os.environ, **shell.environment},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b"missing\n")
        process.stdin.flush()
        assert process.wait(30) == 66


@pytest.mark.parametrize("executor", ["threads", pytest.param("processes", marks=SLOW)])
def test_a_closed_terminal_stops_the_upload_in_order(
    executor: str, shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """SIGHUP: parts in flight are stored and recorded, exit 129, and the same command sends the rest."""
    make_file(10 * 102_400)
    sandbox.add_fault("slow=200000,op=part")
    command = [sys.executable, "-m", "obsup", *ARGUMENTS, "--executor", executor]
    with Terminal(command, folder=shell.folder, environment=shell.environment) as terminal:
        terminal.wait_for(lambda: count_operations(sandbox)["part"] >= 3)
        terminal.hang_up()
        assert terminal.process.wait(30) == 129
    (upload,) = sandbox.uploads()
    sent = [one.part_number or 0 for one in sandbox.requests if one.operation == "part"]
    assert sorted(sent) == sorted(upload.parts)
    sandbox.clear_faults()
    assert shell.run(*ARGUMENTS).code == 0
    assert count_operations(sandbox)["part"] == 10


def test_an_upload_that_ignores_the_end_of_its_terminal_goes_on(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """nohup: the upload completes, although every line that it prints fails."""
    path = make_file(5 * 102_400)
    sandbox.add_fault("slow=400000,op=part")
    script = f"trap '' HUP; exec {sys.executable} -m obsup {shlex.join(ARGUMENTS)}"
    with Terminal(["sh", "-c", script], folder=shell.folder, environment=shell.environment) as terminal:
        terminal.wait_for(lambda: count_operations(sandbox)["part"] >= 2)
        terminal.hang_up()
        assert terminal.process.wait(30) == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == path.read_bytes()

"""``--from-command`` on a terminal: the command may ask there, and Ctrl-C ends both."""

from __future__ import annotations

import sys
from pathlib import Path

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Shell
from tests.support.terminal import Terminal
from tests.support.waiting import wait_for

ASK = 'printf "Password: " > /dev/tty; read word < /dev/tty; printf "%s" "$word"'
WAIT = 'trap "echo told > told; exit 1" INT; echo $$ > pid; while :; do sleep 0.05; done'


def on_terminal(shell: Shell, script: str) -> Terminal:
    """Run obsup with a command that does *script*, on a terminal of its own."""
    words = [
        sys.executable,
        "-m",
        "obsup",
        "upload",
        "--from-command",
        "bucket/key",
        "--",
        "sh",
        "-c",
        script,
    ]
    return Terminal(words, folder=shell.folder, environment=shell.environment)


def test_a_command_may_ask_for_a_password(shell: Shell, sandbox: Sandbox) -> None:
    """It shares the terminal, as in a pipe of the shell."""
    with on_terminal(shell, ASK) as terminal:
        terminal.wait_for(lambda: terminal.shows("Password:"))
        terminal.type("hunter2\n")
        assert terminal.finish() == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == b"hunter2"


def test_ctrl_c_ends_both(shell: Shell, sandbox: Sandbox, tmp_path: Path) -> None:
    """130, not the command's own end; nothing is published, nothing is left running."""
    with on_terminal(shell, WAIT) as terminal:
        wait_for((tmp_path / "pid").exists, process=terminal.process)
        terminal.type("\x03")
        assert terminal.finish() == 130
    assert (tmp_path / "told").exists()
    assert sandbox.requests == []

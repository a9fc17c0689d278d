"""``--from-command`` on a terminal: the command may prompt there, and Ctrl-C ends both."""

from __future__ import annotations

import sys
from pathlib import Path

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Shell
from tests.support.terminal import Terminal
from tests.support.waiting import wait_for

PROMPT = 'printf "Password: " > /dev/tty; read word < /dev/tty; printf "%s" "$word"'
WAIT = 'trap "echo interrupted > interrupted; exit 1" INT; echo $$ > pid; while :; do sleep 0.05; done'


def on_terminal(shell: Shell, script: str) -> Terminal:
    """Run obsup with a command that runs *script*, on a new terminal."""
    arguments = [
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
    return Terminal(arguments, folder=shell.folder, environment=shell.environment)


def test_a_command_may_prompt_for_a_password(shell: Shell, sandbox: Sandbox) -> None:
    """It shares the terminal, as in a shell pipe."""
    with on_terminal(shell, PROMPT) as terminal:
        terminal.wait_for(lambda: terminal.shows("Password:"))
        terminal.type("hunter2\n")
        assert terminal.finish() == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == b"hunter2"


def test_ctrl_c_ends_both(shell: Shell, sandbox: Sandbox, tmp_path: Path) -> None:
    """The exit code is 130; nothing is published and no process stays."""
    with on_terminal(shell, WAIT) as terminal:
        wait_for((tmp_path / "pid").exists, process=terminal.process)
        terminal.type("\x03")
        assert terminal.finish() == 130
    assert (tmp_path / "interrupted").exists()
    assert sandbox.requests == []

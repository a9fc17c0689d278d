"""Run obsup's commands in this process: faster, for tests that do not need a separate one."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import click
import pytest

from obsup.cli.main import cli
from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Outcome, Shell


class Inside:
    """Runs ``obsup ARGUMENTS`` in *folder* with the sandbox in the environment, as the console script does."""

    def __init__(self, sandbox: Sandbox, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        for name, value in Shell.against(sandbox, folder).environment.items():
            monkeypatch.setenv(name, value)
        self._monkeypatch = monkeypatch

    def run(self, *arguments: str | Path) -> Outcome:
        """Run a command to its end."""
        argv = [str(argument) for argument in arguments]
        self._monkeypatch.setattr("sys.argv", ["obsup", *argv])
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                code = cli.main(argv, prog_name="obsup", standalone_mode=False)
            except click.ClickException as exc:
                exc.show()
                code = exc.exit_code
        return Outcome(code, out.getvalue(), err.getvalue())

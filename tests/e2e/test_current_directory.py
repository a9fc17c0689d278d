"""obsup imports nothing from the current directory, in none of the processes that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import count_operations, make_files
from tests.support.shell import Outcome, Shell

SCRIPT = """
import sys
from obsup.__main__ import main
if __name__ == "__main__":
    main()
"""
MODULES = ("types", "struct", "random", "json", "multiprocessing", "obsup")


@pytest.fixture
def planted(shell: Shell) -> Path:
    """Plant modules in the current directory; each writes its name to the returned file if it is executed."""
    executed = shell.folder / "executed"
    for name in MODULES:
        text = f"open({str(executed)!r}, 'a').write('{name} ')\nraise ImportError('planted')\n"
        (shell.folder / f"{name}.py").write_text(text)
    return executed


def run(shell: Shell, tmp_path: Path, *arguments: str) -> Outcome:
    """Run obsup by a console script as pip writes it, so that Python itself does not search the current directory."""
    script = tmp_path / "bin" / "obsup"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script, *arguments],
        cwd=shell.folder,
        env={**os.environ, **shell.environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_worker_processes_import_nothing_from_the_current_directory(
    executor: str, shell: Shell, sandbox: Sandbox, planted: Path, tmp_path: Path
) -> None:
    """1,000 small files use the extra processes of a batch, or those of ``--executor processes``."""
    names = [f"tree/{number:04}" for number in range(1000 if executor == "threads" else 20)]
    make_files(shell, *names)
    outcome = run(shell, tmp_path, "upload", "-r", "tree", "bucket/p/", "--executor", executor, "-j", "4")
    assert outcome.code == 0, outcome.err
    assert count_operations(sandbox)["put"] == len(names)
    assert not planted.exists(), planted.read_text()


def test_the_sandbox_imports_nothing_from_the_current_directory(
    shell: Shell, planted: Path, tmp_path: Path
) -> None:
    """The sandbox command replaces its process with another Python."""
    outcome = run(shell, tmp_path, "sandbox", "--", "true")
    assert outcome.code == 0, outcome.err
    assert not planted.exists(), planted.read_text()


def test_workers_pass_no_safe_path_on(shell: Shell, sandbox: Sandbox, tmp_path: Path) -> None:
    """A credential process that a worker starts gets the user's environment, without PYTHONSAFEPATH."""
    seen = tmp_path / "seen"
    helper = tmp_path / "helper"
    keys = f'{{"Version":1,"AccessKeyId":"{sandbox.access_key}","SecretAccessKey":"{sandbox.secret_key}"}}'
    helper.write_text(f"#!/bin/sh\necho \"${{PYTHONSAFEPATH-unset}}\" >> {seen}\necho '{keys}'\n")
    helper.chmod(0o700)
    config = tmp_path / "config.toml"
    config.write_text(f'[profiles.p]\ncredential_process = "{helper}"\n')
    config.chmod(0o600)
    names = [f"tree/{number}" for number in range(4)]
    make_files(shell, *names)
    arguments = ("upload", "-r", "tree", "bucket/p/", "--executor", "processes", "-j", "2", "--profile", "p")
    outcome = shell.run(*arguments, "--config", config, AccessKeyID="", SecretAccessKey="")
    assert outcome.code == 0, outcome.err
    assert set(seen.read_text().split()) == {"unset"}
    assert len(seen.read_text().split()) >= 2

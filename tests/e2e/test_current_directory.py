"""obsup imports nothing from the current directory, in none of the processes that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import count_operations, make_files
from tests.support.shell import Outcome, Shell

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
from obsup.__main__ import main
if __name__ == "__main__":
    main()
"""
MODULES = ("types", "struct", "random", "json", "pickle", "sitecustomize", "obsup")

MORE = (("threads", ("-E",)), ("processes", ()), ("threads", ("-I",)), ("processes", ("-I",)))


@pytest.fixture
def planted(shell: Shell) -> Path:
    """Plant modules in the current directory; each writes its name to the returned file if it is executed."""
    executed = shell.folder / "executed"
    for name in MODULES:
        text = f"open({str(executed)!r}, 'a').write('{name} ')\nraise ImportError('planted')\n"
        (shell.folder / f"{name}.py").write_text(text)
    return executed


def run(
    shell: Shell,
    tmp_path: Path,
    *arguments: str,
    flags: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
) -> Outcome:
    """Run obsup by a console script as pip writes it, so that Python itself does not search the current directory.

    *flags* are those of Python, as in the first line of the script.
    """
    script = tmp_path / "bin" / "obsup"
    script.parent.mkdir(exist_ok=True)
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, *flags, script, *arguments],
        cwd=shell.folder,
        env={**os.environ, **shell.environment, **(variables or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("executor", "flags"),
    [
        ("threads", ()),
        ("processes", ("-E",)),
        *(pytest.param(*pair, marks=pytest.mark.slow) for pair in MORE),
    ],
)
def test_worker_processes_import_nothing_from_the_current_directory(
    executor: str, flags: tuple[str, ...], shell: Shell, sandbox: Sandbox, planted: Path, tmp_path: Path
) -> None:
    """1,000 small files use the extra processes of a batch, or those of ``--executor processes``.

    With -E, as in the first line of scripts of some distributions, Python ignores PYTHONSAFEPATH.
    """
    names = [f"tree/{number:04}" for number in range(1000 if executor == "threads" else 20)]
    make_files(shell, *names)
    arguments = ("upload", "-r", "tree", "bucket/p/", "--executor", executor, "-j", "4")
    outcome = run(shell, tmp_path, *arguments, flags=flags)
    assert (outcome.code, outcome.err) == (0, "")
    assert count_operations(sandbox)["put"] == len(names)
    assert not planted.exists(), planted.read_text()


@pytest.mark.parametrize("command", ["upload", "sandbox"])
def test_children_start_without_the_variables_of_python(
    command: str, shell: Shell, sandbox: Sandbox, tmp_path: Path
) -> None:
    """PYTHONPATH names modules that only obsup's own process, which the user started with it, imports."""
    folder = tmp_path / "modules"
    folder.mkdir()
    executed = tmp_path / "executed"
    text = f"import os\nopen({str(executed)!r}, 'a').write(f'{{os.getpid()}} ')\n"
    (folder / "sitecustomize.py").write_text(text)
    startup = tmp_path / "startup.py"
    startup.write_text(text)
    variables = {"PYTHONPATH": str(folder), "PYTHONSTARTUP": str(startup), "PYTHONINSPECT": "1"}
    make_files(shell, "tree/1", "tree/2")
    commands = {
        "upload": ("upload", "-r", "tree", "bucket/p/", "--executor", "processes", "-j", "2"),
        "sandbox": ("sandbox", "--", "true"),
    }
    outcome = run(shell, tmp_path, *commands[command], variables=variables)
    assert (outcome.code, outcome.err) == (0, "")
    assert len(executed.read_text().split()) == 1
    if command == "upload":
        assert count_operations(sandbox)["put"] == 2


def test_the_sandbox_imports_nothing_from_the_current_directory(
    shell: Shell, planted: Path, tmp_path: Path
) -> None:
    """The sandbox command replaces its process with another Python."""
    outcome = run(shell, tmp_path, "sandbox", "--", "true")
    assert outcome.code == 0, outcome.err
    assert not planted.exists(), planted.read_text()


@pytest.mark.parametrize("start", ["-m", "PYTHONPATH"])
def test_the_driver_imports_nothing_from_the_current_directory(
    start: str, shell: Shell, tmp_path: Path
) -> None:
    """Python searches it first after -m, and if PYTHONPATH has an empty entry."""
    executed = tmp_path / "executed"
    for name in ("click", "requests", "msgspec", "rich"):
        (shell.folder / f"{name}.py").write_text(f"open({str(executed)!r}, 'a').write('{name} ')\n")
    if start == "-m":
        outcome = shell.run("version")
    else:
        outcome = run(shell, tmp_path, "version", variables={"PYTHONPATH": f":{tmp_path}/none"})
    assert outcome.code == 0, outcome.err
    assert not executed.exists(), executed.read_text()


def test_programs_of_workers_get_the_environment_of_the_user(
    shell: Shell, sandbox: Sandbox, tmp_path: Path
) -> None:
    """A credential process that a worker starts gets all variables of obsup, and no others."""
    seen = tmp_path / "seen"
    helper = tmp_path / "helper"
    keys = f'{{"Version":1,"AccessKeyId":"{sandbox.access_key}","SecretAccessKey":"{sandbox.secret_key}"}}'
    helper.write_text(f"#!/bin/sh\nenv | grep -e PYTHON -e MINE >> {seen}\necho '{keys}'\n")
    helper.chmod(0o700)
    config = tmp_path / "config.toml"
    config.write_text(f'[profiles.p]\ncredential_process = "{helper}"\n')
    config.chmod(0o600)
    names = [f"tree/{number}" for number in range(4)]
    make_files(shell, *names)
    arguments = ("upload", "-r", "tree", "bucket/p/", "--executor", "processes", "-j", "2", "--profile", "p")
    outcome = shell.run(
        *arguments, "--config", config, AccessKeyID="", SecretAccessKey="", MINE="1", PYTHONPATH="/mine"
    )
    assert outcome.code == 0, outcome.err
    given = {f"{name}={value}" for name, value in os.environ.items() if name.startswith("PYTHON")}
    given = {one for one in given if not one.startswith("PYTHONPATH=")}
    assert set(seen.read_text().splitlines()) == {*given, "MINE=1", "PYTHONPATH=/mine"}
    assert seen.read_text().splitlines().count("MINE=1") >= 2

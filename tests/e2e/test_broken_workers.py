"""Worker processes that die or cannot start: stderr has the lines of obsup, and no traceback of theirs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import obsup
from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import count_operations, make_files
from tests.support.matrix import mostly_slow
from tests.support.shell import Outcome, Shell
from tests.support.waiting import wait_for

# What the modules of a half-installed version do.
BROKEN = """
import sys
if any("serve_calls" in word for word in sys.orig_argv):
    raise RuntimeError("half installed")
"""


def run_broken(shell: Shell, tmp_path: Path, module: str, *arguments: str) -> Outcome:
    """Run a copy of obsup whose *module* cannot be imported by worker processes."""
    package = tmp_path / "copy" / "obsup"
    shutil.copytree(Path(obsup.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / module).write_text(BROKEN + (package / module).read_text().partition("annotations\n")[2])
    done = subprocess.run(
        [sys.executable, "-m", "obsup", *arguments],
        cwd=shell.folder,
        env={**os.environ, **shell.environment, "PYTHONPATH": str(package.parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


SLOW = pytest.mark.slow


@pytest.mark.parametrize("module", mostly_slow(["engine/batch/group_worker.py", "local/processes/worker.py"]))
def test_a_batch_needs_no_extra_processes(
    module: str, shell: Shell, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The driver sends all files itself, silently."""
    names = [f"tree/{number:04}" for number in range(900)]
    make_files(shell, *names)
    outcome = run_broken(shell, tmp_path, module, "upload", "-r", "tree", "bucket/p/")
    assert (outcome.code, outcome.err) == (0, "")
    assert count_operations(sandbox)["put"] == len(names)


@pytest.mark.parametrize(
    ("module", "code"),
    [("engine/send/part.py", 78), pytest.param("local/processes/worker.py", 75, marks=SLOW)],
)
def test_without_any_worker_the_three_lines_are_printed(
    module: str, code: int, shell: Shell, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Progress is kept, and the command that is advised finishes the upload."""
    (shell.folder / "bigfile").write_bytes(os.urandom(300_000))
    arguments = (
        "upload",
        "bigfile",
        "bucket/key",
        "--part-size",
        "100K",
        "--executor",
        "processes",
        "-j",
        "2",
    )
    outcome = run_broken(shell, tmp_path, module, *arguments)
    assert outcome.code == code, outcome.err
    assert [line.partition(":")[0] for line in outcome.err.splitlines() if line[0] != " "] == [
        *("Error", "Why", "Next")
    ]
    assert len(sandbox.uploads()) == 1
    assert "--executor threads" in outcome.err
    assert run_broken(shell, tmp_path / "again", module, *arguments, "--executor", "threads").code == 0


@pytest.mark.parametrize(
    "number",
    [signal.SIGKILL, *(pytest.param(number, marks=SLOW) for number in (signal.SIGTERM, signal.SIGINT))],
)
def test_the_end_of_a_worker_is_silent(number: int, shell: Shell, sandbox: Sandbox) -> None:
    """Another one sends its part."""
    (shell.folder / "bigfile").write_bytes(os.urandom(1_000_000))
    sandbox.add_fault("delay=0.2,op=part,times=always")
    arguments = (
        "upload",
        "bigfile",
        "bucket/key",
        "--part-size",
        "100K",
        "--executor",
        "processes",
        "-j",
        "2",
    )
    with shell.begin(*arguments) as process:
        wait_for(lambda: count_operations(sandbox)["part"] > 1, process=process)
        threads = Path(f"/proc/{process.pid}/task").glob("*/children")
        workers = [int(pid) for path in threads for pid in path.read_text().split()]
        os.kill(workers[0], number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
    assert sandbox.object_path("bucket", "key").read_bytes() == (shell.folder / "bigfile").read_bytes()

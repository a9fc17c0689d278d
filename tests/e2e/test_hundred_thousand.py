"""A hundred thousand files through the command, in memory that does not grow with them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from obsup.units import KIB, MIB
from tests.support.shell import Shell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

FOLDER = 1000
FEW, MANY = 10_000, 100_000
# What a tenth of the files may take less: what waits to be sent is at most 10,000 either way, and SQLite has its cache.
GROWTH = 24 * MIB


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A store that hashes bodies and keeps none, and lets nobody list: what is known is what the journal says."""
    with Sandbox(discard=True) as running:
        running.add_fault("error=403:AccessDenied,op=list,times=always")
        yield running


def grow(tree: Path, numbers: range) -> None:
    """Make files of a few bytes, each with its own content."""
    for number in numbers:
        folder = tree / f"{number // FOLDER:03}"
        if number % FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"{number % FOLDER:03}").write_bytes(b"%d" % number)


def run(shell: Shell, *words: str) -> tuple[int, int, str]:
    """Run obsup; return its exit code, the peak of the driver's memory in bytes, and what it said last."""
    with (shell.folder / "said").open("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "obsup", *words],
            cwd=shell.folder,
            env={**os.environ, **shell.environment},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, _peak_of(process.pid))
            time.sleep(0.05)
        said.seek(0)
        return process.returncode, peak, said.read()[-500:]


def _peak_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) * KIB for line in lines if line.startswith("VmHWM")), 0)


def test_a_hundred_thousand_files(shell: Shell, sandbox: Sandbox, home: Path) -> None:
    """Each is sent once and stands in the journal; the next run sends nothing and asks for none; nor does a plan."""
    tree = shell.folder / "tree"
    words = ("upload", "-r", "tree", "bucket/p/")
    grow(tree, range(FEW))
    code, few, said = run(shell, *words)
    assert code == 0, said
    grow(tree, range(FEW, MANY))
    code, many, said = run(shell, *words)
    assert code == 0, said
    puts = Counter(r.key for r in sandbox.requests if r.operation == "put")
    assert len(puts) == MANY
    assert set(puts.values()) == {1}
    (journal,) = home.rglob("*.obsup.journal")
    with journal.open("rb") as lines:
        assert sum(1 for _ in lines) == 1 + MANY
    asked = len(sandbox.requests)
    code, again, said = run(shell, *words)
    assert code == 0, said
    assert {r.operation for r in sandbox.requests[asked:]} == {"list"}
    asked = len(sandbox.requests)
    code, planned, said = run(shell, *words, "--dry-run")
    assert (code, said.splitlines()[-1]) == (0, "0 files to send (0 B), 100,000 to skip, 0 refused")
    assert len(sandbox.requests) == asked
    assert max(many, again, planned) - few < GROWTH

"""A hundred thousand files, and a plan of a million names: memory does not grow with their number."""

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

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

FOLDER = 1000
FEW, MANY = 10_000, 100_000
# The memory that a tenth of the files may save. At most 10,000 files wait in both cases, and SQLite has a cache.
MAX_GROWTH_BYTES = 24 * MIB


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A store that discards bodies and rejects list requests, so that each recorded object is looked up."""
    with Sandbox(discard=True) as running:
        running.add_fault("error=403:AccessDenied,op=list,times=always")
        yield running


def make_numbered_files(tree: Path, numbers: range) -> None:
    """Make files of a few bytes with distinct content."""
    for number in numbers:
        folder = tree / f"{number // FOLDER:03}"
        if number % FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"{number % FOLDER:03}").write_bytes(b"%d" % number)


def run(shell: Shell, *arguments: str) -> tuple[int, int, str]:
    """Run obsup; return its exit code, the driver's peak memory in bytes, and the end of its output."""
    with (
        (shell.folder / "output").open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "obsup", *arguments],
            cwd=shell.folder,
            env={**os.environ, **shell.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        peak = 0
        try:
            while process.poll() is None:
                peak = max(peak, _peak_of(process.pid))
                time.sleep(0.05)
        finally:
            process.kill()
        return (
            process.returncode,
            peak,
            (shell.folder / "output").read_bytes()[-500:].decode(errors="replace"),
        )


def _peak_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) * KIB for line in lines if line.startswith("VmHWM")), 0)


def test_a_hundred_thousand_files(shell: Shell, sandbox: Sandbox, home: Path) -> None:
    """Each is sent once and recorded in the journal; a second run looks each up once, a dry run sends no request."""
    tree = shell.folder / "tree"
    arguments = ("upload", "-r", "tree", "bucket/p/")
    make_numbered_files(tree, range(FEW))
    code, few, output = run(shell, *arguments)
    assert code == 0, output
    code, few_again, output = run(shell, *arguments)
    assert code == 0, output
    make_numbered_files(tree, range(FEW, MANY))
    code, many, output = run(shell, *arguments)
    assert code == 0, output
    puts = Counter(r.key for r in sandbox.requests if r.operation == "put")
    assert len(puts) == MANY
    assert set(puts.values()) == {1}
    (journal,) = home.rglob("*.obsup.journal")
    with journal.open("rb") as lines:
        assert sum(1 for _ in lines) == 1 + MANY
    before = len(sandbox.requests)
    code, again, output = run(shell, *arguments)
    assert code == 0, output
    counts = Counter(r.operation for r in sandbox.requests[before:])
    assert (counts.pop("head"), set(counts)) == (MANY, {"list"})
    before = len(sandbox.requests)
    code, planned, output = run(shell, *arguments, "--dry-run")
    assert (code, output.splitlines()[-1]) == (0, "0 files to send (0 B), 100,000 to skip, 0 refused")
    assert len(sandbox.requests) == before
    assert max(many, planned) - few < MAX_GROWTH_BYTES
    assert again - few_again < MAX_GROWTH_BYTES


def test_a_plan_of_a_million_names(shell: Shell) -> None:
    """Each folder is a link to the same files. What is planned is printed at once."""
    tree, real = shell.folder / "tree", shell.folder / "real"
    make_numbered_files(real, range(FOLDER))
    tree.mkdir()
    peaks = []
    for first, count in ((0, 10), (10, 1000)):
        for number in range(first, count):
            (tree / f"{number:03}").symlink_to(real / "000")
        code, peak, output = run(shell, "upload", "-r", "tree/", "bucket/p/", "--dry-run")
        assert (code, f"{count * FOLDER:,} files to send" in output) == (0, True), output
        peaks.append(peak)
    assert peaks[1] - peaks[0] < MAX_GROWTH_BYTES

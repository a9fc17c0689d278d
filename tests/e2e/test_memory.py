"""However long the source: so much memory and no more; and a stream is read no faster than the store takes it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from obsup import events
from obsup.api import upload_file
from obsup.model import Credentials
from obsup.sandbox.sandbox import Sandbox
from obsup.units import KIB, MIB
from tests.benchmarks.cost import measure

PART = 100 * KIB
JOBS = 5
# What the allocator and the sockets may take beside the parts.
SLACK = 24 * MIB
# Of a file, whatever its size, with five parts in flight.
OF_A_FILE = 80_000_000


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """A store in a process of its own that hashes what it gets and keeps nothing; the variables that lead to it."""
    with subprocess.Popen(
        [sys.executable, "-m", "obsup.sandbox", "--discard"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        variables = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
        yield {name: value.strip("'") for name, value in variables.items()}
        process.terminate()


def peak_memory(
    environment: dict[str, str],
    folder: Path,
    source: str | Path,
    *words: str,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
) -> int:
    """Upload *source*; return the most memory that the command had, in bytes."""
    command = [sys.executable, "-m", "obsup", "upload", str(source), "bucket/key", "-j", str(JOBS), *words]
    return measure(command, environ=environment, folder=folder, log=folder / "log", stdin=stdin).peak_bytes


def peak_of_stream(environment: dict[str, str], folder: Path, size: int, *words: str) -> int:
    """Pipe *size* bytes into ``obsup upload -``; return the most memory that it had, in bytes."""
    with subprocess.Popen(["head", "-c", str(size), "/dev/zero"], stdout=subprocess.PIPE) as producer:
        assert producer.stdout is not None
        with producer.stdout as pipe:
            return peak_memory(environment, folder, "-", *words, stdin=pipe)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param((), id="parts of 9 MiB", marks=pytest.mark.slow),
        pytest.param(
            ("--parts", "10000"), id="10,000 parts", marks=[pytest.mark.slow, pytest.mark.timeout(600)]
        ),
    ],
)
def test_of_a_file_it_holds_a_few_blocks(
    environment: dict[str, str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Not its parts, and not its size: a gigabyte takes what a megabyte takes, and a little for each part's receipt."""
    source = tmp_path / "bigfile"
    with source.open("wb") as file:
        file.truncate(10_000 * PART)
    assert peak_memory(environment, tmp_path, source, *words) <= OF_A_FILE


@pytest.mark.slow
def test_a_gigabyte_takes_the_memory_of_six_parts(environment: dict[str, str], tmp_path: Path) -> None:
    """(Parts in flight + 1) × part size, as --help says."""
    bare = peak_of_stream(environment, tmp_path, 1)
    peak = peak_of_stream(environment, tmp_path, 10**9)
    assert 9 * MIB < peak - bare <= (JOBS + 1) * 9 * MIB + SLACK


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("words", "parts"),
    [((), 256 * MIB), (("--part-size", "9M"), (JOBS + 1) * 9 * MIB)],
    ids=["grown", "fixed"],
)
def test_ten_gigabytes(
    environment: dict[str, str], tmp_path: Path, words: tuple[str, ...], parts: int
) -> None:
    """Grown parts are fewer at a time: 256 MiB for 10 GB; parts of a fixed size take what they took for 1 GB."""
    bare = peak_of_stream(environment, tmp_path, 1)
    assert peak_of_stream(environment, tmp_path, 10**10, *words) - bare <= parts + SLACK


class Endless:
    """A producer that is always ready, and remembers how far it was ahead of the store."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._read = 0
        self._stored = 0
        self.ahead = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return as much as is asked for."""
        taken = min(size, self._left)
        self._left -= taken
        self._read += taken
        self.ahead = max(self.ahead, self._read - self._stored)
        return b"x" * taken

    def observe(self, event: events.Event) -> None:
        """Hear what is stored."""
        if isinstance(event, events.PartStored):
            self._stored += event.size


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_slow_store_stops_the_reader(sandbox: Sandbox, jobs: int) -> None:
    """What is read and not stored is what is in memory: the parts in flight, one more, and a look ahead."""
    sandbox.add_fault("slow=600K,op=part")
    source = Endless(10 * PART)
    upload_file(
        source,
        "bucket/key",
        endpoint=sandbox.endpoint,
        credentials=Credentials(sandbox.access_key, sandbox.secret_key),
        part_size=PART,
        jobs=jobs,
        observer=source.observe,
    )
    assert jobs * PART < source.ahead <= (jobs + 2) * PART

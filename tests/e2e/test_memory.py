"""Peak memory does not depend on the source size, and a stream is not read faster than it is stored."""

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
# What the allocator and the sockets may use in addition to the parts.
SLACK = 24 * MIB
# For a file of any size, with five parts in flight.
MAX_FILE_UPLOAD_BYTES = 80_000_000


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """The variables of a store in a separate process, which hashes bodies and discards them."""
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
    """Upload *source*; return the peak memory of the command in bytes."""
    command = [sys.executable, "-m", "obsup", "upload", str(source), "bucket/key", "-j", str(JOBS), *words]
    return measure(command, environ=environment, folder=folder, log=folder / "log", stdin=stdin).peak_bytes


def peak_of_stream(environment: dict[str, str], folder: Path, size: int, *words: str) -> int:
    """Pipe *size* bytes into ``obsup upload -``; return its peak memory in bytes."""
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
def test_a_file_is_read_in_small_blocks(
    environment: dict[str, str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Memory depends neither on the part size nor on the file size, except for the receipt of each part."""
    source = tmp_path / "bigfile"
    with source.open("wb") as file:
        file.truncate(10_000 * PART)
    assert peak_memory(environment, tmp_path, source, *words) <= MAX_FILE_UPLOAD_BYTES


@pytest.mark.slow
def test_a_stream_of_a_gigabyte_needs_the_memory_of_six_parts(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """(Parts in flight + 1) × part size, as --help documents."""
    baseline = peak_of_stream(environment, tmp_path, 1)
    peak = peak_of_stream(environment, tmp_path, 10**9)
    assert 9 * MIB < peak - baseline <= (JOBS + 1) * 9 * MIB + SLACK


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("words", "parts"),
    [((), 256 * MIB), (("--part-size", "9M"), (JOBS + 1) * 9 * MIB)],
    ids=["grown", "fixed"],
)
def test_a_stream_of_ten_gigabytes(
    environment: dict[str, str], tmp_path: Path, words: tuple[str, ...], parts: int
) -> None:
    """If parts grow, fewer are in flight: 256 MiB for 10 GB. With a fixed size, memory is the same as for 1 GB."""
    baseline = peak_of_stream(environment, tmp_path, 1)
    assert peak_of_stream(environment, tmp_path, 10**10, *words) - baseline <= parts + SLACK


class FastProducer:
    """A producer that is always ready and records how many bytes it was ahead of the store at most."""

    def __init__(self, size: int) -> None:
        self._remaining = size
        self._read = 0
        self._stored = 0
        self.ahead = 0

    def read(self, size: int = -1, /) -> bytes:
        """Return up to *size* bytes."""
        count = min(size, self._remaining)
        self._remaining -= count
        self._read += count
        self.ahead = max(self.ahead, self._read - self._stored)
        return b"x" * count

    def observe(self, event: events.Event) -> None:
        """Count stored bytes."""
        if isinstance(event, events.PartStored):
            self._stored += event.size


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_slow_store_stops_the_reader(sandbox: Sandbox, jobs: int) -> None:
    """At most the parts in flight, the next part and a look-ahead are read but not stored yet."""
    sandbox.add_fault("slow=600K,op=part")
    source = FastProducer(10 * PART)
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

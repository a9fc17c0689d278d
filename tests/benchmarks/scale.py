"""Measure whether memory and journal stay flat and update obsup-benchmarks(7): ``python -m tests.benchmarks.scale``.

Needs gcc and the OpenSSL headers for the sink, and Linux. Takes five minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import many_cost, races, sinks
from tests.benchmarks.cost import Cost
from tests.benchmarks.many import log
from tests.benchmarks.peers import ROOT
from tests.benchmarks.second_run import MIB, make_tree
from tests.benchmarks.tables import table
from tests.support.readme import BENCHMARKS_PAGE, with_section

FILES = (10_000, 100_000, 300_000)
# The largest object of the vendors, as a sparse file: other file systems of Linux do not have files of this size.
LARGEST_BYTES = 488 * 10**11
MEMORY_FOLDER = "/dev/shm"


@dataclass(frozen=True)
class Row:
    """An upload of ``files`` files: its cost, and the size of its journal in bytes."""

    files: int
    cost: Cost
    journal_bytes: int


def run(folder: Path, home: Path, endpoint: str, *words: str) -> Cost:
    """Return the cost of ``obsup upload`` with *words*, of all its processes. Its output is in the file ``log``."""
    command = [sys.executable, "-P", "-m", "obsup", "upload", *words]
    keys = {"AccessKeyID": "access", "SecretAccessKey": "secret", "OBSUP_ENDPOINT": endpoint}
    environ = {"HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "", **keys}
    return many_cost.measure(command, environ=environ, folder=folder, log=folder / "log")


def upload_files(sink: sinks.Sinks, folder: Path, count: int) -> Row:
    """Upload a tree of *count* files of a few bytes. Raises Failed, and ValueError if there is not one journal."""
    tree, home = make_tree(folder, count), folder / f"home-{count}"
    home.mkdir()
    with sinks.serve(sink, None, record=folder / "record") as store:
        cost = run(folder, home, store.endpoint, "-r", f"{tree}/", "bucket/p/", "-q")
    [journal] = home.rglob("*.obsup.journal")
    return Row(count, cost, journal.stat().st_size)


def plan_largest(folder: Path) -> tuple[Cost, int]:
    """Return the cost of a plan for the largest object, and its number of parts."""
    with tempfile.NamedTemporaryFile(dir=MEMORY_FOLDER) as file:
        file.truncate(LARGEST_BYTES)
        cost = run(folder, folder, "http://127.0.0.1:9", "--dry-run", file.name, "bucket/key")
    return cost, int((folder / "log").read_text().partition(" bytes in ")[2].split()[0])


def section(rows: list[Row], plan: Cost, parts: int) -> str:
    """Return the Markdown between the markers of the page."""
    head = [
        "files of a few bytes",
        "CPU ms per file",
        "peak MiB of all processes",
        "bytes of journal per file",
    ]
    cells = [
        [
            f"{row.files:,}",
            f"{row.cost.cpu_s / row.files * 1000:.2f}",
            f"{row.cost.peak_bytes / MIB:.0f}",
            f"{row.journal_bytes / row.files:.0f}",
        ]
        for row in rows
    ]
    words = (
        f"Measured with `python -m tests.benchmarks.scale` on {races.describe_machine()}, to a test server on the "
        "loopback interface that hashes the bodies: one run each, with start-up and journal."
    )
    largest = (
        f"A plan (`--dry-run`) for a file of 48.8 TB, the vendors' largest object, has {parts:,} parts and takes "
        f"{plan.cpu_s:.2f} s of CPU and {plan.peak_bytes / MIB:.0f} MiB."
    )
    return "\n\n".join([words, table(head, cells), largest])


def main() -> None:
    """Measure, and write the section or print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "benchmarks")
    parser.add_argument("--print", action="store_true", dest="is_printed", help="do not write the page")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    sink = sinks.build(options.work)
    rows = []
    with tempfile.TemporaryDirectory(dir=options.work) as name:
        folder = Path(name)
        plan, parts = plan_largest(folder)
        for count in FILES:
            rows.append(upload_files(sink, folder, count))
            log(str(rows[-1]))
    page = section(rows, plan, parts)
    if options.is_printed:
        print(page)
        return
    BENCHMARKS_PAGE.write_text(with_section(BENCHMARKS_PAGE.read_text(), "scale", page))


if __name__ == "__main__":
    main()

"""Compare the executors on many small files and update obsup-benchmarks(7): ``python -m tests.benchmarks.fleet``.

Needs gcc, distributed, and a few minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.request import Request, urlopen

from tests.benchmarks import many_cost, races, sinks
from tests.benchmarks.cost import Cost
from tests.benchmarks.fleet_simulation import ETAG
from tests.benchmarks.many import log
from tests.benchmarks.many_trees import Tree, find_differences, make_tree
from tests.benchmarks.peers import ROOT
from tests.benchmarks.tables import table
from tests.support.readme import BENCHMARKS_PAGE, with_section

# With bytecode, as an installed obsup has it: otherwise each process compiles all modules.
COMMON = {
    "AccessKeyID": "access",
    "SecretAccessKey": "secret",
    "PYTHONPATH": str(ROOT),
    "PYTHONDONTWRITEBYTECODE": "",
}
WORKERS = 4
# Of each file of the tree.
SIZE = 4096
# Many threads that sleep stand for many machines.
SLEEPERS = 100
SHARES = (10, 1)
"""The driver's cost per file is the difference between a tenth of the tree and the tree."""


@contextmanager
def dask_cluster(folder: Path, *, threads: int) -> Iterator[str]:
    """Run a scheduler and WORKERS workers with *threads* threads each while inside; yield the executor."""
    file = folder / f"scheduler-{threads}.json"
    dask = [sys.executable, "-m", "dask"]
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    one_each = ["--nworkers", str(WORKERS), "--nthreads", str(threads)]
    environ = {**os.environ, **COMMON}
    with (folder / "dask.log").open("w") as output:
        started = [
            subprocess.Popen([*dask, *words, *common], env=environ, stdout=output, stderr=output, cwd=folder)
            for words in (["scheduler", "--host", "127.0.0.1", "--port", "0"], ["worker", *one_each])
        ]
    try:
        while not file.exists() or not file.read_text().endswith("}"):
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        yield f"dask:{address},workers={WORKERS},wait=5m"
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def run_upload(sink: sinks.Sinks, folder: Path, tree: Tree, executor: Sequence[str]) -> Cost:
    """Return the cost of one upload with *executor*, without that of Dask's workers."""
    received = folder / "received"
    with tempfile.TemporaryDirectory(dir=folder) as home, sinks.serve(sink, None, record=received) as store:
        command = [sys.executable, "-m", "obsup", "upload", "-r", f"{tree.path}/", "bucket/p/"]
        environ = {**COMMON, "HOME": home, "OBSUP_ENDPOINT": store.endpoint}
        words = [*command, "--executor", *executor]
        spent = many_cost.measure(words, environ=environ, folder=Path(home), log=folder / "log")
    wrong = find_differences(tree, received)
    if wrong:
        raise SystemExit(f"the sink did not receive: {', '.join(wrong[:3])}")
    return spent


def compare_executors(sink: sinks.Sinks, folder: Path, runs: int) -> dict[str, list[float]]:
    """Return the files per second of each executor, in interleaved runs."""
    tree = make_tree(folder, "small")
    rates: dict[str, list[float]] = {}
    with dask_cluster(folder, threads=1) as dask:
        executors = {
            "threads": ("threads",),
            f"processes -j {WORKERS}": ("processes", "-j", str(WORKERS)),
            f"dask, {WORKERS} workers": (dask,),
        }
        for _ in range(runs):
            for name, executor in executors.items():
                spent = run_upload(sink, folder, tree, executor)
                rates.setdefault(name, []).append(tree.count / spent.wall_s)
                log(f"{name}: {rates[name][-1]:.0f} files/s, {spent}")
    return rates


def measure_driver(sink: sinks.Sinks, folder: Path, runs: int) -> tuple[float, ...]:
    """Return the CPU seconds of the driver per file if SLEEPERS workers only sleep, without and with --presign.

    The medians of *runs*.
    """
    few, many = (make_tree(folder, "small", share) for share in SHARES)
    per_file: dict[tuple[str, ...], list[float]] = {(): [], ("--presign",): []}
    with dask_cluster(folder, threads=SLEEPERS // WORKERS) as dask:
        for _ in range(runs):
            for options, measured in per_file.items():
                cost = [_simulate(sink, folder, tree, dask, *options) for tree in (few, many)]
                measured.append((cost[1] - cost[0]) / (many.count - few.count))
                log(f"driver {' '.join(options)}: {measured[-1] * 1e3:.3f} ms per file")
    return tuple(float(median(measured)) for measured in per_file.values())


def _simulate(sink: sinks.Sinks, folder: Path, tree: Tree, executor: str, *options: str) -> float:
    """Return the CPU seconds of the driver of one upload whose workers only sleep."""
    digests = folder / "digests"
    # The driver looks at one object of each worker.
    digests.write_text(f"object {SIZE} {ETAG} 0\nput {ETAG} 0\n")
    with tempfile.TemporaryDirectory(dir=folder) as home, sinks.serve(sink, digests) as store:
        with urlopen(Request(f"{store.endpoint}/bucket/object", b"", method="PUT")):
            pass
        simulation = [sys.executable, "-m", "tests.benchmarks.fleet_simulation"]
        done = subprocess.run(
            [*simulation, executor, str(tree.path), store.endpoint, *options],
            env={**os.environ, **COMMON, "HOME": home},
            stdout=subprocess.PIPE,
            check=True,
        )
    result = json.loads(done.stdout)
    if result["code"]:
        raise SystemExit(f"the upload failed with exit status {result['code']}")
    return float(result["cpu_s"])


def section(rates: dict[str, list[float]], driver_s: float, presigning_s: float) -> str:
    """Return the Markdown between the markers of the page. *rates* is empty if only the driver was measured."""
    medians = {name: median(one) for name, one in rates.items()}
    rows = [[name, f"{one:,.0f}", f"{one / medians['threads']:.2f}"] for name, one in medians.items()]
    words = (
        f"Measured with `python -m tests.benchmarks.fleet` on {races.describe_machine()}: 20,000 files of 4 KiB; "
        "driver, workers and test server on this one machine. Medians of interleaved runs."
    )
    driver = (
        f"Small files travel in groups of up to 64. With {SLEEPERS} workers that only sleep, the driver of a Dask "
        f"cluster needs {driver_s * 1e3:.3f} ms of CPU per file, for the walk, the groups, the outcomes and the "
        f"journal: one core can feed {1 / driver_s:,.0f} files per second to a fleet, for example "
        f"{1 / driver_s / 100:,.0f} to each of 100 machines. With `--presign`, for which it reads, hashes and signs "
        f"each file, it needs {presigning_s * 1e3:.3f} ms."
    )
    compared = [table(["", "files/s", "× threads"], rows)] if rows else []
    return "\n\n".join([words, *compared, driver])


def main() -> None:
    """Measure, and write the section or print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fleet", description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "benchmarks")
    parser.add_argument("--runs", type=int, default=3, help="number of runs of each executor")
    parser.add_argument(
        "--driver", action="store_true", help="measure only the driver, in CPU time: for a busy machine"
    )
    parser.add_argument("--print", action="store_true", dest="is_printed", help="do not write the page")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    sink = sinks.build(options.work)
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        rates = {} if options.driver else compare_executors(sink, Path(folder), options.runs)
        text = section(rates, *measure_driver(sink, Path(folder), options.runs))
    if options.is_printed:
        print(text)
        return
    BENCHMARKS_PAGE.write_text(with_section(BENCHMARKS_PAGE.read_text(), "fleet", text))


if __name__ == "__main__":
    main()

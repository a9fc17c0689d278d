"""Measure obsup beside its peers, and write README's section on speed: ``python -m tests.benchmarks``.

Needs bash's usual company: openssl for https, gcc for the fast sink, and the network for the peers' packages.
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

MIB = 1024 * 1024
PART = 16 * MIB
LINE_RATE = 25_000_000
LINE_SIZE = 1024 * MIB
SIZES = [MIB << shift for shift in range(0, 17, 4)]
PARTS = [1, 10, 100, 1000, 10_000]
BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"


def say(text: str) -> None:
    """Say how far it is."""
    print(text, file=sys.stderr, flush=True)


def read_words(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build" / "benchmarks", help="environments and files"
    )
    parser.add_argument("--size", type=parse_size, default=2 * GIB, help="of the file that all upload")
    parser.add_argument("--runs", type=int, default=3, help="of each, of which the median counts")
    parser.add_argument("--peers", default="", help="only these, by name: obsup,boto3")
    parser.add_argument("--largest", type=parse_size, default=64 * GIB, help="the largest sparse file")
    parser.add_argument("--no-readme", action="store_true", help="print the section instead of writing it")
    parser.add_argument(
        "--report", action="store_true", help="measure nothing: report what the last run measured"
    )
    return parser.parse_args(words)


def prepare(peers: Sequence[Peer], folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Return the environments of the peers that can be had, and why the others cannot."""
    homes, missing = {}, {}
    for peer in peers:
        try:
            homes[peer.name] = install(peer, folder)
        except Missing as exc:
            missing[peer.name] = str(exc)
        say(f"{peer.name}: {missing.get(peer.name, 'ready')}")
    return homes, missing


def measure(options: argparse.Namespace, kept: Path) -> Results:
    """Hold every race, keep in *kept* what is known after each, and return the results."""
    begun = time.monotonic()
    wanted = set(filter(None, options.peers.split(",")))
    peers = [peer for peer in PEERS if not wanted or peer.name in wanted or peer is OBSUP]
    options.work.mkdir(parents=True, exist_ok=True)
    homes, missing = prepare(peers, options.work / "environments")
    peers = [peer for peer in peers if peer.name in homes]
    built = sinks.build(options.work)
    start = races.StartingPoint(options.work, built, homes, options.runs, say)
    results = Results(
        machine=races.machine(),
        sink=built.language,
        size=options.size,
        runs=options.runs,
        line_size=min(LINE_SIZE, options.size),
        line_rate=LINE_RATE,
        versions={peer.name: version(peer, homes[peer.name]) for peer in peers},
        missing=missing,
    )
    for name in hold(start, peers, results, options.largest):
        results.save(kept)
        say(f"-- {name} after {(time.monotonic() - begun) / 60:.1f} min: kept, --report tells of it")
    return results


def hold(start: races.StartingPoint, peers: Sequence[Peer], results: Results, largest: int) -> Iterator[str]:
    """Hold the races one after the other, and yield the name of each when it has filled its rows of *results*."""
    floors: list[dict[str, float]] = []

    def look_at_floors() -> None:
        # More than once: what runs beside this machine slows it down and lets it go again.
        floors.append(races.floors(start, results.size, PART))
        results.floors.update({name: median(one[name] for one in floors) for name in floors[0]})

    look_at_floors()
    results.starts.extend(races.start(start))
    yield "start-up"
    results.rows.extend(races.entered(peers))
    for protocol in start.protocols:
        races.race(start, peers, results.rows, protocol, size=results.size, part_size=PART)
        look_at_floors()
        yield protocol
    results.lines.extend(races.race_on_line(start, peers, results.line_size, PART, results.line_rate))
    yield "the line"
    plans = [(size, PART) for size in SIZES if size <= largest] + [(GIB, -(-GIB // count)) for count in PARTS]
    for size, part_size in plans:
        results.sizes.extend(races.probe(start, size, part_size))
        yield f"{format_size(size)} in parts of {format_size(part_size)}"
    results.keeping.append(races.keeping(start, max(PARTS)))
    yield "the checkpoint"


def publish(results: Results, readme: Path, pictures: Path) -> None:
    """Write the section between README's markers, and its pictures."""
    (pictures / "speed.svg").write_text(plots.bars(results))
    (pictures / "size.svg").write_text(plots.lines(results))
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n{tables.section(results)}\n{END}{after}")


def main() -> None:
    """Measure, keep what was measured, and report."""
    options = read_words()
    kept = options.work / "results.json"
    results = load(kept) if options.report else measure(options, kept)
    if options.no_readme:
        print(tables.section(results))
    else:
        publish(results, ROOT / "README.md", ROOT / "man")
        say(f"README.md and man/ tell of {format_size(results.size)} by {len(results.rows)} ways")


if __name__ == "__main__":
    main()

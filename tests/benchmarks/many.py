"""Compare uploads of many files with other tools and update obsup-benchmarks(7): ``python -m tests.benchmarks.many``.

Needs gcc and the OpenSSL headers for the sink, and network access to install the peers. Takes ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.benchmarks import many_cost, races, sinks
from tests.benchmarks.cost import Cost, Failed, median
from tests.benchmarks.many_driver import ManyJob
from tests.benchmarks.many_peers import PEERS, ManyPeer
from tests.benchmarks.many_tables import section
from tests.benchmarks.many_trees import TREES, Tree, find_differences, make_tree
from tests.benchmarks.peers import ROOT, Missing, install, version
from tests.support.readme import BENCHMARKS_PAGE, with_section


@dataclass
class ManyResults:
    """The medians by tree and tool, and the number and size of the files that each tool uploaded."""

    machine: str
    runs: int
    costs: dict[str, dict[str, Cost]] = field(default_factory=dict)
    files: dict[str, dict[str, int]] = field(default_factory=dict)
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the results to *path*."""
        path.write_text(json.dumps(asdict(self), indent=1))


def load(path: Path) -> ManyResults:
    """Return the results that ``save`` wrote."""
    plain = json.loads(path.read_text())
    plain["costs"] = {
        tree: {name: Cost(**one) for name, one in costs.items()} for tree, costs in plain["costs"].items()
    }
    return ManyResults(**plain)


def log(text: str) -> None:
    """Report progress on standard error."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Setup:
    """What every benchmark needs: a folder, the sink, and the environment of each peer."""

    folder: Path
    sink: sinks.Sinks
    homes: dict[str, Path]


def run_upload(setup: Setup, peer: ManyPeer, tree: Tree) -> Cost:
    """Return the cost of one upload of the tree. Raises Failed if the sink did not receive every file unchanged."""
    received = setup.folder / "received"
    with tempfile.TemporaryDirectory(dir=setup.folder) as home:
        with sinks.serve(setup.sink, None, record=received) as sink:
            call = peer.call(setup.homes[peer.name], ManyJob(sink.endpoint, str(tree.path), home))
            environ = {"HOME": home, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "", **call.environ}
            spent = many_cost.measure(
                call.command, environ=environ, folder=Path(home), log=setup.folder / "log"
            )
        wrong = find_differences(tree, received)
    if wrong:
        raise Failed(f"the sink did not receive: {', '.join(wrong[:3])}")
    return spent


def schedule(runs: int, peers: Sequence[ManyPeer]) -> Iterator[ManyPeer]:
    """Yield the peers in interleaved rounds; slow peers run only once."""
    for round_number in range(runs):
        yield from (peer for peer in peers if not (peer.is_slow and round_number))


def measure(options: argparse.Namespace) -> ManyResults:
    """Have each peer upload each tree, and return the medians."""
    wanted = set(filter(None, options.peers.split(",")))
    peers = [peer for peer in PEERS if not wanted or peer.name in wanted]
    options.work.mkdir(parents=True, exist_ok=True)
    results = ManyResults(races.describe_machine(), options.runs)
    homes = {}
    for peer in peers:
        try:
            homes[peer.name] = install(peer.installed, options.work / "environments")
            results.versions[peer.name] = version(peer.installed, homes[peer.name])
        except Missing as exc:
            results.failures[peer.name] = str(exc)
        log(f"{peer.name}: {results.failures.get(peer.name, 'ready')}")
    setup = Setup(options.work, sinks.build(options.work), homes)
    peers = [peer for peer in peers if peer.name in homes]
    for kind in TREES:
        _measure_tree(setup, peers, kind.name, options, results)
    return results


def _measure_tree(
    setup: Setup, peers: list[ManyPeer], kind: str, options: argparse.Namespace, results: ManyResults
) -> None:
    spent: dict[str, list[Cost]] = {}
    trees = {slow: make_tree(setup.folder, kind, options.share, few=slow) for slow in (False, True)}
    for peer in schedule(options.runs, peers):
        tree = trees[peer.is_slow]
        if f"{kind} {peer.name}" in results.failures:
            continue
        try:
            spent.setdefault(peer.name, []).append(run_upload(setup, peer, tree))
        except Failed as exc:
            results.failures[f"{kind} {peer.name}"] = str(exc)
            log(f"{kind} {peer.name}: {exc}")
            continue
        one = spent[peer.name][-1]
        log(f"{kind} {peer.name}: {tree.count / one.wall_s:.0f} files/s, {one}")
    for peer in peers:
        if spent.get(peer.name) and f"{kind} {peer.name}" not in results.failures:
            results.costs.setdefault(kind, {})[peer.name] = median(spent[peer.name])
            results.files.setdefault(kind, {})[peer.name] = trees[peer.is_slow].count
            results.sizes.setdefault(kind, {})[peer.name] = trees[peer.is_slow].size


def main(words: Sequence[str] | None = None) -> None:
    """Measure, save the results, and report them."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.many", description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "benchmarks")
    parser.add_argument("--runs", type=int, default=3, help="number of runs of each tool; the median counts")
    parser.add_argument("--peers", default="", help="measure only these, for example obsup,boto3")
    parser.add_argument(
        "--share", type=int, default=1, help="use only one of this many files, for a quick trial"
    )
    parser.add_argument(
        "--print",
        action="store_true",
        dest="is_printed",
        help="print the section instead of writing the page",
    )
    parser.add_argument("--report", action="store_true", help="report the last run without measuring")
    options = parser.parse_args(words)
    saved = options.work / "many.json"
    if not options.report:
        measure(options).save(saved)
    text = section(load(saved))
    if options.is_printed:
        print(text)
        return
    BENCHMARKS_PAGE.write_text(with_section(BENCHMARKS_PAGE.read_text(), "many", text))


if __name__ == "__main__":
    main()

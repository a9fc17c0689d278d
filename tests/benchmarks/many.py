"""Measure obsup beside its peers over many files, and write README's section: ``python -m tests.benchmarks.many``.

Needs gcc and OpenSSL's headers for the sink, and the network for the peers' packages. Ten minutes on two cores.
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
from tests.benchmarks.many_trees import TREES, Tree, make, unlike
from tests.benchmarks.peers import ROOT, Missing, install, version

BEGIN, END = "<!-- many:begin -->", "<!-- many:end -->"


@dataclass
class ManyResults:
    """What was measured: by tree and by tool the medians, and how many files of the tree it was given."""

    machine: str
    runs: int
    costs: dict[str, dict[str, Cost]] = field(default_factory=dict)
    files: dict[str, dict[str, int]] = field(default_factory=dict)
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write everything to *path*."""
        path.write_text(json.dumps(asdict(self), indent=1))


def load(path: Path) -> ManyResults:
    """Return what ``save`` wrote."""
    plain = json.loads(path.read_text())
    plain["costs"] = {
        tree: {name: Cost(**one) for name, one in costs.items()} for tree, costs in plain["costs"].items()
    }
    return ManyResults(**plain)


def say(text: str) -> None:
    """Say how far it is."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class StartingPoint:
    """Where it all happens: a folder, the sink, and the environments of the peers."""

    folder: Path
    sink: sinks.Sinks
    homes: dict[str, Path]


def once(start: StartingPoint, peer: ManyPeer, tree: Tree) -> Cost:
    """Return what one upload of the tree costs, once the sink has every file as it is. Raises Failed."""
    kept = start.folder / "kept"
    with tempfile.TemporaryDirectory(dir=start.folder) as home:
        with sinks.serve(start.sink, None, kept=kept) as sink:
            call = peer.call(start.homes[peer.name], ManyJob(sink.endpoint, str(tree.path), home))
            environ = {"HOME": home, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "", **call.environ}
            spent = many_cost.measure(
                call.command, environ=environ, folder=Path(home), log=start.folder / "log"
            )
        wrong = unlike(tree, kept)
    if wrong:
        raise Failed(f"the sink has not what was sent: {', '.join(wrong[:3])}")
    return spent


def turns(runs: int, peers: Sequence[ManyPeer]) -> Iterator[ManyPeer]:
    """Yield the peers in turn, as often as each is to run: slow ones once."""
    for wait_a_little in range(runs):
        yield from (peer for peer in peers if not (peer.is_slow and wait_a_little))


def measure(options: argparse.Namespace) -> ManyResults:
    """Have every peer upload every tree, and return the medians."""
    wanted = set(filter(None, options.peers.split(",")))
    peers = [peer for peer in PEERS if not wanted or peer.name in wanted]
    options.work.mkdir(parents=True, exist_ok=True)
    results = ManyResults(races.machine(), options.runs)
    homes = {}
    for peer in peers:
        try:
            homes[peer.name] = install(peer.installed, options.work / "environments")
            results.versions[peer.name] = version(peer.installed, homes[peer.name])
        except Missing as exc:
            results.failures[peer.name] = str(exc)
        say(f"{peer.name}: {results.failures.get(peer.name, 'ready')}")
    start = StartingPoint(options.work, sinks.build(options.work), homes)
    peers = [peer for peer in peers if peer.name in homes]
    for kind in TREES:
        _race(start, peers, kind.name, options, results)
    return results


def _race(
    start: StartingPoint, peers: list[ManyPeer], kind: str, options: argparse.Namespace, results: ManyResults
) -> None:
    spent: dict[str, list[Cost]] = {}
    trees = {slow: make(start.folder, kind, options.share, few=slow) for slow in (False, True)}
    for peer in turns(options.runs, peers):
        tree = trees[peer.is_slow]
        if f"{kind} {peer.name}" in results.failures:
            continue
        try:
            spent.setdefault(peer.name, []).append(once(start, peer, tree))
        except Failed as exc:
            results.failures[f"{kind} {peer.name}"] = str(exc)
            say(f"{kind} {peer.name}: {exc}")
            continue
        one = spent[peer.name][-1]
        say(f"{kind} {peer.name}: {tree.count / one.wall_s:.0f} files/s, {one}")
    for peer in peers:
        if spent.get(peer.name) and f"{kind} {peer.name}" not in results.failures:
            results.costs.setdefault(kind, {})[peer.name] = median(spent[peer.name])
            results.files.setdefault(kind, {})[peer.name] = trees[peer.is_slow].count
            results.sizes.setdefault(kind, {})[peer.name] = trees[peer.is_slow].size


def main(words: Sequence[str] | None = None) -> None:
    """Measure, keep what was measured, and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.many", description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "benchmarks")
    parser.add_argument("--runs", type=int, default=3, help="of each, of which the median counts")
    parser.add_argument("--peers", default="", help="only these, by name: obsup,boto3")
    parser.add_argument("--share", type=int, default=1, help="only one file of so many: a rehearsal")
    parser.add_argument("--no-readme", action="store_true", help="print the section instead of writing it")
    parser.add_argument("--report", action="store_true", help="measure nothing: report the last run")
    options = parser.parse_args(words)
    kept = options.work / "many.json"
    if not options.report:
        measure(options).save(kept)
    text = section(load(kept))
    if options.no_readme:
        print(text)
        return
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()

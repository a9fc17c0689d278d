"""The races: who uploads what to which sink, how often, and in turn."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median as middle

from tests.benchmarks import cost
from tests.benchmarks.cost import Cost, Failed
from tests.benchmarks.drivers import Job
from tests.benchmarks.peers import OBSUP, ROOT, Peer, Way, library
from tests.benchmarks.results import Keeping, LineRow, Row, SizeRow, StartRow
from tests.benchmarks.sinks import Sinks, serve
from tests.benchmarks.sources import MIB, Source, make_random, make_sparse

JOBS = 5
GIB = 1024 * MIB


@dataclass(frozen=True)
class StartingPoint:
    """Where races are held: a folder for files, the sinks, the environments by peer, and how often each one runs."""

    folder: Path
    sinks: Sinks
    homes: dict[str, Path]
    runs: int
    say: Callable[[str], None] = print

    @property
    def protocols(self) -> list[str]:
        """What the sink speaks here."""
        return ["http", "https"] if self.sinks.certificate else ["http"]


def once(
    start: StartingPoint, peer: Peer, way: Way, source: Source, *, https: bool, rate: float, jobs: int
) -> tuple[Cost, int]:
    """Return what one upload costs, and the most bodies that the sink received at once.

    Raises Failed, also where the sink did not receive the bytes of the source, once each.
    """
    with serve(start.sinks, source.digests, https=https, rate=rate) as sink:
        ca = str(start.sinks.certificate) if https else None
        job = Job(sink.endpoint, str(source.path), source.part_size, jobs, way.hashed, ca)
        call = way.call(start.homes[peer.name], job)
        with tempfile.TemporaryDirectory(dir=start.folder) as home:
            # A home of its own, so that nothing of this machine's is read, and bytecode as an installation has it.
            environ = {"HOME": home, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "", **call.environ}
            spent = cost.measure(call.command, environ=environ, folder=Path(home), log=start.folder / "log")
    if sink.content != source.size:
        raise Failed(f"the sink received {sink.content} bytes of {source.size}")
    return spent, sink.at_once


def entered(peers: Sequence[Peer]) -> list[Row]:
    """Return a row, empty yet, for every way of every peer."""
    return [Row(way.title, peer.name, way.hashed) for peer in peers for way in peer.ways]


def race(
    start: StartingPoint,
    peers: Sequence[Peer],
    rows: Sequence[Row],
    protocol: str,
    *,
    size: int,
    part_size: int,
) -> None:
    """Have every way of every peer upload the same file: in turn, as many rounds as wanted. Fills *rows*."""
    source = make_random(start.folder, size, part_size)
    entries = [
        (row, peer, way) for row in rows for peer in peers for way in peer.ways if way.title == row.title
    ]
    spent: dict[str, list[Cost]] = {}
    for wait_a_little in range(start.runs):
        for row, peer, way in entries:
            if protocol in row.failures:
                continue
            try:
                one, _ = once(start, peer, way, source, https=protocol == "https", rate=0, jobs=JOBS)
            except Failed as exc:
                row.failures[protocol] = str(exc)
                start.say(f"{protocol} {way.title}: {exc}")
                continue
            spent.setdefault(row.title, []).append(one)
            used = one.cpu_s * GIB / size
            start.say(f"{protocol} {wait_a_little + 1} {row.title}: {used:.2f} CPU s/GiB, {one.wall_s:.1f} s")
    for row in rows:
        if row.title in spent:
            row.costs[protocol] = cost.median(spent[row.title])


def race_on_line(
    start: StartingPoint, peers: Sequence[Peer], size: int, part_size: int, rate: int
) -> list[LineRow]:
    """Have one way of every peer upload over a line that grants each connection *rate*, and obsup by two."""
    source = make_random(start.folder, size, part_size)
    entries = [(peer, peer.ways[0], peer.ways[0].title, JOBS) for peer in peers if peer is not OBSUP]
    if OBSUP in peers:
        way = OBSUP.ways[0]
        entries = [(OBSUP, way, "obsup --jobs auto", 0), (OBSUP, way, "obsup --jobs 5", JOBS), *entries]
    found: dict[str, list[tuple[Cost, int]]] = {}
    for wait_a_little in range(start.runs):
        for peer, way, title, jobs in entries:
            try:
                one, at_once = once(start, peer, way, source, https=False, rate=rate, jobs=jobs)
            except Failed as exc:
                start.say(f"line {title}: {exc}")
                continue
            found.setdefault(title, []).append((one, at_once))
            start.say(f"line {wait_a_little + 1} {title}: {one.wall_s:.1f} s, {at_once} at once")
    rows = []
    for _, way, title, _ in entries:
        costs = found.get(title, [])
        if costs:
            most = max(count for _, count in costs)
            rows.append(LineRow(title, way.title, cost.median([one for one, _ in costs]), most))
    return rows


def probe(start: StartingPoint, size: int, part_size: int) -> list[SizeRow]:
    """Measure obsup, without a digest and with MD5, on a file that is one hole."""
    rows = []
    source = make_sparse(start.folder, size, part_size)
    for way in OBSUP.ways[:2]:
        runs = start.runs if size <= GIB else 1
        costs = [once(start, OBSUP, way, source, https=False, rate=0, jobs=JOBS)[0] for _ in range(runs)]
        rows.append(SizeRow(size, source.parts, way.hashed, cost.median(costs)))
        start.say(
            f"{size / MIB:.0f} MiB in {source.parts} parts, {way.title}: {rows[-1].cost.cpu_s:.2f} CPU s"
        )
    source.path.unlink()
    return rows


def start(start: StartingPoint, runs: int = 15) -> list[StartRow]:
    """Measure commands that are over soon against a bare interpreter of the same environment, in turn."""
    home = start.homes[OBSUP.name]
    source = make_random(start.folder, MIB, MIB)
    text = source.digests.read_text()
    md5, crc = text.splitlines()[0].split()[1:]
    source.digests.write_text(f"{text}put {md5} {crc}\n")
    obsup = str(home / "bin" / "obsup")
    commands = {
        "a bare interpreter (`python -c pass`)": [str(home / "bin" / "python"), "-c", "pass"],
        "`obsup --version`": [obsup, "--version"],
        "`obsup --help`": [obsup, "--help"],
        "`obsup upload`, 1 MiB to a local server": [obsup, "upload", str(source.path), "bucket/key"],
    }
    spent: dict[str, list[float]] = {}
    with serve(start.sinks, source.digests) as sink:
        keys = {"AccessKeyID": "access", "SecretAccessKey": "secret", "OBSUP_ENDPOINT": sink.endpoint}
        environ = {**keys, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "", "HOME": str(start.folder)}
        for _ in range(runs):
            for title, command in commands.items():
                one = cost.measure(command, environ=environ, folder=start.folder, log=start.folder / "log")
                spent.setdefault(title, []).append(one.cpu_s)
    bare = middle(next(iter(spent.values())))
    return [StartRow(title, middle(costs), middle(costs) / bare) for title, costs in spent.items()]


def keeping(start: StartingPoint, parts: int) -> Keeping:
    """Return what the checkpoint of so many parts takes, kept on the disk of the ground: the median of its runs."""
    found = []
    for _ in range(start.runs):
        with tempfile.TemporaryDirectory(dir=start.folder) as home:
            command = [sys.executable, "-m", "tests.benchmarks.checkpoint", home, str(parts)]
            environ = {**os.environ, "HOME": home, "XDG_STATE_HOME": home}
            done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
        found.append(Keeping(parts, **json.loads(done.stdout)))
    return sorted(found, key=lambda one: one.cpu_s)[len(found) // 2]


def floors(start: StartingPoint, size: int, part_size: int) -> dict[str, float]:
    """Return the CPU seconds a GiB of the work itself, by what it is, without any tool: as this machine is just now."""
    source = make_random(start.folder, size, part_size)
    found = {"MD5": _md5_alone()}
    ways = [
        ("sendfile", False, False),
        ("reading and sending", True, False),
        ("the same through Python's TLS", True, True),
    ]
    for name, comes_by, https in ways:
        if https and "https" not in start.protocols:
            continue
        way = Way(name, comes_by, library("bare"))
        bare = Peer(name, None, (way,))
        here = replace(start, homes={name: Path(sys.prefix)})
        spent, _ = once(here, bare, way, source, https=https, rate=0, jobs=JOBS)
        found[name] = spent.cpu_s * GIB / size
    return found


def _md5_alone() -> float:
    """Return the CPU seconds that MD5 takes for a GiB in memory."""
    block = os.urandom(MIB)
    whole, begun = hashlib.md5(usedforsecurity=False), time.process_time()
    for _ in range(GIB // MIB):
        whole.update(block)
    return time.process_time() - begun


def machine() -> str:
    """Return what this machine is, in a few words."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else "an unknown CPU"
    kernel = subprocess.run(["uname", "-sr"], capture_output=True, text=True, check=False).stdout.strip()
    return f"{model}, {os.cpu_count()} cores, {kernel}, Python {sys.version.split()[0]}"

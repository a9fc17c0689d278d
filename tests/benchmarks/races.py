"""Run the benchmarks: each tool uploads the same file to a sink, in interleaved rounds."""

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
from tests.benchmarks.peers import MD5, NO_DIGEST, OBSUP, ROOT, S3, Peer, Way, library
from tests.benchmarks.results import CheckpointCost, LimitedRow, Row, SizeRow, StartRow
from tests.benchmarks.sinks import Sinks, serve
from tests.benchmarks.sources import MIB, Source, make_random, make_sparse

JOBS = 5
GIB = 1024 * MIB


@dataclass(frozen=True)
class Setup:
    """What every benchmark needs: a folder, the sink, the environment of each peer, and the number of runs."""

    folder: Path
    sinks: Sinks
    homes: dict[str, Path]
    runs: int
    log: Callable[[str], None] = print

    @property
    def protocols(self) -> list[str]:
        """The protocols that the sink supports on this machine."""
        return ["http", "https"] if self.sinks.certificate else ["http"]


def run_upload(
    setup: Setup, peer: Peer, way: Way, source: Source, *, https: bool, rate: float, jobs: int
) -> tuple[Cost, int]:
    """Return the cost of one upload, and the largest number of bodies that the sink received at once.

    Raises Failed if the command fails, or if the sink did not receive each byte of the source once.
    """
    with serve(setup.sinks, source.digests, https=https, rate=rate) as sink:
        ca = str(setup.sinks.certificate) if https else None
        job = Job(sink.endpoint, str(source.path), source.part_size, jobs, way.hashed, ca)
        call = way.call(setup.homes[peer.name], job)
        with tempfile.TemporaryDirectory(dir=setup.folder) as home:
            # An empty home, so that no settings of this machine are read; bytecode files as in an installation.
            environ = {"HOME": home, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "", **call.environ}
            spent = cost.measure(call.command, environ=environ, folder=Path(home), log=setup.folder / "log")
    if sink.content != source.size:
        raise Failed(f"the sink received {sink.content} bytes of {source.size}")
    return spent, sink.at_once


def empty_rows(peers: Sequence[Peer]) -> list[Row]:
    """Return an empty row for each variant of each peer."""
    return [Row(way.title, peer.name, way.hashed) for peer in peers for way in peer.ways]


def measure_costs(
    setup: Setup,
    peers: Sequence[Peer],
    rows: Sequence[Row],
    protocol: str,
    *,
    size: int,
    part_size: int,
) -> None:
    """Have each variant of each peer upload the same file, in interleaved rounds. Fills *rows*."""
    source = make_random(setup.folder, size, part_size)
    entries = [
        (row, peer, way) for row in rows for peer in peers for way in peer.ways if way.title == row.title
    ]
    spent: dict[str, list[Cost]] = {}
    for round_number in range(1, setup.runs + 1):
        for row, peer, way in entries:
            if protocol in row.failures:
                continue
            try:
                one, _ = run_upload(setup, peer, way, source, https=protocol == "https", rate=0, jobs=JOBS)
            except Failed as exc:
                row.failures[protocol] = str(exc)
                setup.log(f"{protocol} {way.title}: {exc}")
                continue
            spent.setdefault(row.title, []).append(one)
            used = one.cpu_s * GIB / size
            setup.log(f"{protocol} {round_number} {row.title}: {used:.2f} CPU s/GiB, {one.wall_s:.1f} s")
    for row in rows:
        if row.title in spent:
            row.costs[protocol] = cost.median(spent[row.title])


def measure_on_limited_network(
    setup: Setup, peers: Sequence[Peer], size: int, part_size: int, rate: int
) -> list[LimitedRow]:
    """Have each peer upload with *rate* bytes per second per connection; obsup with two settings of --jobs."""
    source = make_random(setup.folder, size, part_size)
    entries = [(peer, peer.ways[0], peer.ways[0].title, JOBS) for peer in peers if peer is not OBSUP]
    if OBSUP in peers:
        way = OBSUP.ways[0]
        entries = [(OBSUP, way, "obsup --jobs auto", 0), (OBSUP, way, "obsup --jobs 5", JOBS), *entries]
    found: dict[str, list[tuple[Cost, int]]] = {}
    for round_number in range(1, setup.runs + 1):
        for peer, way, title, jobs in entries:
            try:
                one, at_once = run_upload(setup, peer, way, source, https=False, rate=rate, jobs=jobs)
            except Failed as exc:
                setup.log(f"limited {title}: {exc}")
                continue
            found.setdefault(title, []).append((one, at_once))
            setup.log(f"limited {round_number} {title}: {one.wall_s:.1f} s, {at_once} at once")
    rows = []
    for _, way, title, _ in entries:
        costs = found.get(title, [])
        if costs:
            max_at_once = max(count for _, count in costs)
            rows.append(LimitedRow(title, way.title, cost.median([one for one, _ in costs]), max_at_once))
    return rows


def measure_size(setup: Setup, size: int, part_size: int) -> list[SizeRow]:
    """Measure obsup on a sparse file, without a digest and with MD5."""
    rows = []
    source = make_sparse(setup.folder, size, part_size)
    for way in (NO_DIGEST, MD5):
        runs = setup.runs if size <= GIB else 1
        costs = [
            run_upload(setup, OBSUP, way, source, https=False, rate=0, jobs=JOBS)[0] for _ in range(runs)
        ]
        rows.append(SizeRow(size, source.parts, way.hashed, cost.median(costs)))
        setup.log(
            f"{size / MIB:.0f} MiB in {source.parts} parts, {way.title}: {rows[-1].cost.cpu_s:.2f} CPU s"
        )
    source.path.unlink()
    return rows


def measure_startup(setup: Setup, runs: int = 15) -> list[StartRow]:
    """Compare short commands with a bare interpreter of the same environment, in interleaved rounds."""
    home = setup.homes[OBSUP.name]
    source = make_random(setup.folder, MIB, MIB)
    text = source.digests.read_text()
    digests = text.splitlines()[0].partition(" ")[2]
    source.digests.write_text(f"{text}put {digests}\n")
    obsup = str(home / "bin" / "obsup")
    commands = {
        "a bare interpreter (`python -c pass`)": [str(home / "bin" / "python"), "-c", "pass"],
        "`obsup --version`": [obsup, "--version"],
        "`obsup --help`": [obsup, "--help"],
        "`obsup upload`, 1 MiB to a local server": [obsup, "upload", str(source.path), "bucket/key"],
    }
    spent: dict[str, list[float]] = {}
    with serve(setup.sinks, source.digests) as sink:
        keys = {"AccessKeyID": "access", "SecretAccessKey": "secret", "OBSUP_ENDPOINT": sink.endpoint}
        environ = {**keys, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "", "HOME": str(setup.folder)}
        for _ in range(runs):
            for title, command in commands.items():
                one = cost.measure(command, environ=environ, folder=setup.folder, log=setup.folder / "log")
                spent.setdefault(title, []).append(one.cpu_s)
    bare = middle(next(iter(spent.values())))
    return [StartRow(title, middle(costs), middle(costs) / bare) for title, costs in spent.items()]


def measure_verify(setup: Setup, size: int, part_size: int) -> list[StartRow]:
    """Compare the two ways of ``obsup verify``: by the checksum of the object, and by its ETag."""
    source = make_random(setup.folder, size, part_size)
    text = source.digests.read_text()
    without = "".join(f"{line.rpartition(' ')[0]}\n" for line in text.splitlines())
    obsup = str(setup.homes[OBSUP.name] / "bin" / "obsup")
    spent: dict[str, list[float]] = {}
    for _ in range(setup.runs):
        for title, digests in (("CRC-64/NVME of the object", text), ("MD5 and the ETag", without)):
            source.digests.write_text(digests)
            with serve(setup.sinks, source.digests) as sink, tempfile.TemporaryDirectory() as home:
                keys = {"AccessKeyID": "access", "SecretAccessKey": "secret", "OBSUP_ENDPOINT": sink.endpoint}
                environ = {**keys, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "", "HOME": home}
                words = (str(source.path), "bucket/key", "--part-size", str(part_size), *S3)
                for verb in ("upload", "verify"):
                    one = cost.measure(
                        [obsup, verb, *words], environ=environ, folder=setup.folder, log=setup.folder / "log"
                    )
            spent.setdefault(title, []).append(one.cpu_s * GIB / size)
    first = middle(next(iter(spent.values())))
    return [StartRow(title, middle(costs), middle(costs) / first) for title, costs in spent.items()]


def measure_checkpoint(setup: Setup, parts: int) -> CheckpointCost:
    """Return the median cost of the checkpoint of an upload of *parts* parts."""
    found = []
    for _ in range(setup.runs):
        with tempfile.TemporaryDirectory(dir=setup.folder) as home:
            command = [sys.executable, "-m", "tests.benchmarks.checkpoint", home, str(parts)]
            environ = {**os.environ, "HOME": home, "XDG_STATE_HOME": home}
            done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
        found.append(CheckpointCost(parts, **json.loads(done.stdout)))
    return sorted(found, key=lambda one: one.cpu_s)[len(found) // 2]


def measure_floors(setup: Setup, size: int, part_size: int) -> dict[str, float]:
    """Return the CPU seconds per GiB of hashing and sending without any tool, by name of the operation."""
    source = make_random(setup.folder, size, part_size)
    found = {"MD5": _measure_md5()}
    ways = [
        ("sendfile", False, False),
        ("reading and sending", True, False),
        ("the same through Python's TLS", True, True),
    ]
    for name, is_copied, https in ways:
        if https and "https" not in setup.protocols:
            continue
        way = Way(name, is_copied, library("bare"))
        bare = Peer(name, None, (way,))
        bare_setup = replace(setup, homes={name: Path(sys.prefix)})
        spent, _ = run_upload(bare_setup, bare, way, source, https=https, rate=0, jobs=JOBS)
        found[name] = spent.cpu_s * GIB / size
    return found


def _measure_md5() -> float:
    """Return the CPU seconds of MD5 over 1 GiB in memory."""
    block = os.urandom(MIB)
    whole, started = hashlib.md5(usedforsecurity=False), time.process_time()
    for _ in range(GIB // MIB):
        whole.update(block)
    return time.process_time() - started


def describe_machine() -> str:
    """Return a short description of this machine."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else "an unknown CPU"
    kernel = subprocess.run(["uname", "-sr"], capture_output=True, text=True, check=False).stdout.strip()
    return f"{model}, {os.cpu_count()} cores, {kernel}, Python {sys.version.split()[0]}"

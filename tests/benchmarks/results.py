"""The results of a run, saved between measuring and reporting."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.benchmarks.cost import Cost

GIB = 1024**3


@dataclass(frozen=True)
class Row:
    """One variant of one tool: medians by protocol (``http``, ``https``), and why a protocol failed."""

    title: str
    peer: str
    hashed: bool
    costs: dict[str, Cost] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LimitedRow:
    """A tool on a network that limits each connection: its cost, and the largest number of bodies in flight.

    ``way`` is the title of the row of the same variant without a limit.
    """

    title: str
    way: str
    cost: Cost
    at_once: int


@dataclass(frozen=True)
class SizeRow:
    """obsup only: *size* bytes in *parts* parts, with MD5 if *hashed*."""

    size: int
    parts: int
    hashed: bool
    cost: Cost


@dataclass(frozen=True)
class StartRow:
    """A command: CPU seconds (per GiB for a verification), and the ratio to the first command of its table."""

    title: str
    cpu_s: float
    times: float


@dataclass(frozen=True)
class CheckpointCost:
    """The checkpoint of an upload of *parts* parts: total CPU seconds, and the number of writes."""

    parts: int
    cpu_s: float
    writes: int


@dataclass(frozen=True)
class Results:
    """The results of a run. Sizes are bytes, rates bytes per second, ``floors`` CPU seconds per GiB by operation."""

    machine: str
    sink: str
    size: int
    runs: int
    limited_size: int
    limited_rate: int
    rows: list[Row] = field(default_factory=list)
    limited: list[LimitedRow] = field(default_factory=list)
    sizes: list[SizeRow] = field(default_factory=list)
    starts: list[StartRow] = field(default_factory=list)
    verifications: list[StartRow] = field(default_factory=list)
    checkpoints: list[CheckpointCost] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    floors: dict[str, float] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the results to *path*."""
        path.write_text(json.dumps(asdict(self), indent=1))


def load(path: Path) -> Results:
    """Return the results that ``save`` wrote."""
    plain = json.loads(path.read_text())
    for row in plain["rows"]:
        row["costs"] = {name: Cost(**one) for name, one in row["costs"].items()}
    for row in plain["limited"] + plain["sizes"]:
        row["cost"] = Cost(**row["cost"])
    kinds = {
        "rows": Row,
        "limited": LimitedRow,
        "sizes": SizeRow,
        "starts": StartRow,
        "verifications": StartRow,
        "checkpoints": CheckpointCost,
    }
    for name, kind in kinds.items():
        plain[name] = [kind(**row) for row in plain[name]]
    return Results(**plain)

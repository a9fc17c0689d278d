"""What was measured, as it is kept between a run and its report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.benchmarks.cost import Cost

GIB = 1024**3


@dataclass(frozen=True)
class Row:
    """One way of one tool: medians by protocol (``http``, ``https``), and why one of them is not there."""

    title: str
    peer: str
    hashed: bool
    costs: dict[str, Cost] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LineRow:
    """A tool over the line that holds each connection back: its cost, and the most bodies in flight at once.

    ``way`` is the title of the row that tells of the same call without the line.
    """

    title: str
    way: str
    cost: Cost
    at_once: int


@dataclass(frozen=True)
class SizeRow:
    """obsup alone: *size* bytes in so many *parts*, with MD5 where *hashed*."""

    size: int
    parts: int
    hashed: bool
    cost: Cost


@dataclass(frozen=True)
class StartRow:
    """A command that is over soon, beside a bare interpreter: seconds of CPU, and how many times the bare one's."""

    title: str
    cpu_s: float
    times: float


@dataclass(frozen=True)
class Keeping:
    """The checkpoint of so many *parts*: seconds of CPU in all, and how often it was written."""

    parts: int
    cpu_s: float
    writes: int


@dataclass(frozen=True)
class Results:
    """All of a run. Sizes are bytes, rates bytes a second; ``floors`` are CPU seconds a GiB by what takes them."""

    machine: str
    sink: str
    size: int
    runs: int
    line_size: int
    line_rate: int
    rows: list[Row] = field(default_factory=list)
    lines: list[LineRow] = field(default_factory=list)
    sizes: list[SizeRow] = field(default_factory=list)
    starts: list[StartRow] = field(default_factory=list)
    keeping: list[Keeping] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    floors: dict[str, float] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write everything to *path*."""
        path.write_text(json.dumps(asdict(self), indent=1))


def load(path: Path) -> Results:
    """Return what ``save`` wrote."""
    plain = json.loads(path.read_text())
    for row in plain["rows"]:
        row["costs"] = {name: Cost(**one) for name, one in row["costs"].items()}
    for row in plain["lines"] + plain["sizes"]:
        row["cost"] = Cost(**row["cost"])
    kinds = {"rows": Row, "lines": LineRow, "sizes": SizeRow, "starts": StartRow, "keeping": Keeping}
    for name, kind in kinds.items():
        plain[name] = [kind(**row) for row in plain[name]]
    return Results(**plain)

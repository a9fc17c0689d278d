"""What a command costs: its CPU, its time, its memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

METER = Path(__file__).with_name("meter.py")


@dataclass(frozen=True)
class Cost:
    """CPU seconds (user and system) of a process and of its children, wall seconds, and the peak of its memory."""

    cpu_s: float
    wall_s: float
    peak_bytes: int


class Failed(Exception):
    """The command ended with another code than 0."""


def measure(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    folder: Path,
    log: Path,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
) -> Cost:
    """Run *command* to its end in *folder* and return its cost. Raises Failed, with what it said last."""
    used = log.with_suffix(".used")
    used.unlink(missing_ok=True)
    # -I -S: as small as an interpreter can be.
    meter = [sys.executable, "-I", "-S", str(METER), str(used), *command]
    with log.open("w") as output:
        subprocess.run(
            meter,
            env={**os.environ, **environ},
            cwd=folder,
            stdin=stdin,
            stdout=output,
            stderr=output,
            check=False,
        )
    said = log.read_text(errors="replace").strip().splitlines()
    last = said[-1] if said else "nothing said"
    if not used.exists():
        raise Failed(f"did not start: {last}")
    code, cpu_s, wall_s, peak_kib = used.read_text().split()
    if int(code):
        raise Failed(f"exit {code}: {last}")
    return Cost(float(cpu_s), float(wall_s), int(peak_kib) * 1024)


def median(costs: Sequence[Cost]) -> Cost:
    """Return the medians of several runs, each for itself."""
    return Cost(
        statistics.median(one.cpu_s for one in costs),
        statistics.median(one.wall_s for one in costs),
        int(statistics.median(one.peak_bytes for one in costs)),
    )

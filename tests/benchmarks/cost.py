"""Measure the cost of a command: CPU time, wall time and memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from obsup.store.http.tls_files import CA_VARIABLES

METER = Path(__file__).with_name("meter.py")


@dataclass(frozen=True)
class Cost:
    """CPU seconds (user and system) of a process and its children, wall seconds, and peak memory in bytes."""

    cpu_s: float
    wall_s: float
    peak_bytes: int


class Failed(Exception):
    """The command failed."""


def measure(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    folder: Path,
    log: Path,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
) -> Cost:
    """Run *command* in *folder* and return its cost. Raises Failed with the last line of its output."""
    used = log.with_suffix(".used")
    used.unlink(missing_ok=True)
    # The settings of this machine are not measured: some tools read the certificates that a variable names at start-up.
    inherited = {name: value for name, value in os.environ.items() if name not in CA_VARIABLES}
    # -I -S: the smallest possible interpreter.
    meter = [sys.executable, "-I", "-S", str(METER), str(used), *command]
    with log.open("w") as output:
        subprocess.run(
            meter,
            env={**inherited, **environ},
            cwd=folder,
            stdin=stdin,
            stdout=output,
            stderr=output,
            check=False,
        )
    lines = log.read_text(errors="replace").strip().splitlines()
    last = lines[-1] if lines else "no output"
    if not used.exists():
        raise Failed(f"did not start: {last}")
    code, cpu_s, wall_s, peak_kib = used.read_text().split()
    if int(code):
        raise Failed(f"exit {code}: {last}")
    return Cost(float(cpu_s), float(wall_s), int(peak_kib) * 1024)


def median(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure over several runs."""
    return Cost(
        statistics.median(one.cpu_s for one in costs),
        statistics.median(one.wall_s for one in costs),
        int(statistics.median(one.peak_bytes for one in costs)),
    )

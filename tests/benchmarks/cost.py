"""What a command costs: its CPU, its time, its memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """CPU seconds (user and system) of a process and of its children, wall seconds, and the peak of its memory."""

    cpu_s: float
    wall_s: float
    peak_bytes: int


class Failed(Exception):
    """The command ended with another code than 0."""


def measure(command: Sequence[str], *, environ: Mapping[str, str], folder: Path, log: Path) -> Cost:
    """Run *command* to its end in *folder* and return its cost. Raises Failed, with what it said last."""
    with log.open("w") as output:
        begun = time.monotonic()
        process = subprocess.Popen(
            command,
            env={**os.environ, **environ},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = log.read_text(errors="replace").strip().splitlines()
        raise Failed(f"exit {process.returncode}: {said[-1] if said else 'nothing said'}")
    return Cost(usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss * 1024)


def median(costs: Sequence[Cost]) -> Cost:
    """Return the medians of several runs, each for itself."""
    return Cost(
        statistics.median(one.cpu_s for one in costs),
        statistics.median(one.wall_s for one in costs),
        int(statistics.median(one.peak_bytes for one in costs)),
    )

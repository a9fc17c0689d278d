"""Measure the cost of a command that may start several processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests.benchmarks import cost
from tests.benchmarks.cost import Cost

SAMPLE_S = 0.1
PAGE = os.sysconf("SC_PAGE_SIZE")


def measure(command: Sequence[str], *, environ: Mapping[str, str], folder: Path, log: Path) -> Cost:
    """Run *command* as ``cost.measure`` does; the peak memory is the sum over all its processes."""
    ended = threading.Event()
    sampler = _MemorySampler(ended)
    sampler.start()
    try:
        spent = cost.measure(command, environ=environ, folder=folder, log=log)
    finally:
        ended.set()
        sampler.join()
    return replace(spent, peak_bytes=max(spent.peak_bytes, sampler.peak_bytes))


class _MemorySampler(threading.Thread):
    """Samples the memory of all child processes except the meter and the sink."""

    def __init__(self, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self._ended = ended
        self._others = set(_descendants(os.getpid()))
        self.peak_bytes = 0

    def run(self) -> None:
        """Sample until the command has ended."""
        while not self._ended.wait(SAMPLE_S):
            meters = set(_descendants(os.getpid(), depth=1)) - self._others
            found = {one for meter in meters for one in _descendants(meter)}
            self.peak_bytes = max(self.peak_bytes, sum(map(_resident, found)))


def _descendants(pid: int, depth: int = 99) -> Iterator[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(one) for task in tasks for one in (task / "children").read_text().split()]
    except OSError:
        return
    for child in children:
        yield child
        if depth > 1:
            yield from _descendants(child, depth - 1)


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0

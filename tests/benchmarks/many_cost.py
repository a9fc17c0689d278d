"""What a command costs that may be several processes: their memory counts together."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests.benchmarks import cost
from tests.benchmarks.cost import Cost

LOOK_S = 0.1
PAGE = os.sysconf("SC_PAGE_SIZE")


def measure(command: Sequence[str], *, environ: Mapping[str, str], folder: Path, log: Path) -> Cost:
    """Run *command* to its end as ``cost.measure`` does; the peak is that of all of its processes together."""
    ended = threading.Event()
    watch = _Watch(ended)
    watch.start()
    try:
        spent = cost.measure(command, environ=environ, folder=folder, log=log)
    finally:
        ended.set()
        watch.join()
    return replace(spent, peak_bytes=max(spent.peak_bytes, watch.peak_bytes))


class _Watch(threading.Thread):
    """Adds up now and then what the processes below this one have in memory, but for the meter and the sink."""

    def __init__(self, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self._ended = ended
        self._others = set(_below(os.getpid()))
        self.peak_bytes = 0

    def run(self) -> None:
        """Look until the end."""
        while not self._ended.wait(LOOK_S):
            meters = set(_below(os.getpid(), depth=1)) - self._others
            found = {one for meter in meters for one in _below(meter)}
            self.peak_bytes = max(self.peak_bytes, sum(map(_resident, found)))


def _below(pid: int, depth: int = 99) -> Iterator[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(one) for task in tasks for one in (task / "children").read_text().split()]
    except OSError:
        return
    for child in children:
        yield child
        if depth > 1:
            yield from _below(child, depth - 1)


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0

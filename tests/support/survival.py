"""How many runs of each kind of upload survived each fault: the committed numbers, which the slow lane compares.

After a change of the numbers run the tests of the slow lane with OBSUP_TEST_RECORD=1, then ``python -m
tests.tools.write_pages`` and ``python -m tests.tools.generate``.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path

RESULTS = Path(__file__).with_name("survival.json")
KILL = "`kill -9`"


def committed_runs() -> dict[str, dict[str, int]]:
    """Return the number of runs by fault and kind of upload."""
    runs: dict[str, dict[str, int]] = json.loads(RESULTS.read_text())
    return runs


def compare_runs(kind: str, counted: Mapping[str, int]) -> None:
    """Assert that the committed numbers of *kind* are those *counted* by fault; with OBSUP_TEST_RECORD write them."""
    if os.environ.get("OBSUP_TEST_RECORD"):
        _record(kind, counted)
    runs = committed_runs()
    assert {fault: runs.get(fault, {}).get(kind) for fault in counted} == dict(counted)


def _record(kind: str, counted: Mapping[str, int]) -> None:
    with RESULTS.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # other tests record at the same time
        runs = json.load(file)
        for fault, count in counted.items():
            runs.setdefault(fault, {})[kind] = count
        file.seek(0)
        file.truncate()
        file.write(json.dumps(runs, indent=2, sort_keys=True) + "\n")

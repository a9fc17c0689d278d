"""The unit tests of what obsup does with files, processes and options, with CPython for Windows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.windows.windows_machine import FOLDER, WindowsMachine, windows_path

pytestmark = [pytest.mark.windows, pytest.mark.xdist_group("windows")]

ROOT = Path(__file__).parents[2]
LINES = [
    line
    for line in (Path(__file__).parent / "unit_tests.txt").read_text().splitlines()
    if not line.startswith("#")
]


def test_unit_tests(services: None) -> None:
    """All of the list pass, except those that need Linux."""
    modules, needing_linux, module = [], [], ""
    for line in LINES:
        if line.startswith(" "):
            needing_linux.append(f"--deselect={module}::{line.strip()}")
        else:
            modules.append(module := line)
    machine = WindowsMachine(ROOT, {"PYTHONPATH": windows_path(FOLDER / "tools")}, timeout_s=900.0)
    process = machine.start_python(
        *("-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *needing_linux, *modules)
    )
    done = machine.outcome(process)
    assert done.code == 0, "\n".join([*done.out.splitlines()[-200:], done.err])

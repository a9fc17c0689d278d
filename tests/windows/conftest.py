"""Fixtures of the tests under Windows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.windows.windows_machine import WindowsMachine, wine_services

# Its tests need CPython for Windows: test_unit_tests.py runs them there.
collect_ignore = [] if sys.platform == "win32" else ["inside"]


@pytest.fixture(scope="session")
def services() -> Iterator[None]:
    """Run the services of Windows during all tests."""
    with wine_services():
        yield


@pytest.fixture
def windows(services: None, sandbox: Sandbox, tmp_path: Path) -> WindowsMachine:
    """A Windows machine in an empty folder, with nothing of earlier tests, that uses a sandbox on this machine."""
    machine = WindowsMachine.against(sandbox, tmp_path)
    machine.forget()
    return machine

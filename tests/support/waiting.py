"""Waiting for what another process, or another thread, is about to do."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T], *, within_s: float = 60.0, process: subprocess.Popen[Any] | None = None
) -> T:
    """Return what *condition* returns once that is true.

    Raises AssertionError where it does not *within_s* seconds, or where *process*, which is to bring it about, ends.
    """
    end_s = time.monotonic() + within_s
    while not (found := condition()):
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.01)
    return found

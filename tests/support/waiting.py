"""Wait for a condition that another process or thread will fulfil."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def wait_for(
    condition: Callable[[], T], *, within_s: float = 60.0, process: subprocess.Popen[Any] | None = None
) -> T:
    """Call *condition* until its result is true, and return the result.

    Raises AssertionError after *within_s* seconds, or if *process*, which should fulfil the condition, ends.
    """
    end_s = time.monotonic() + within_s
    while not (result := condition()):
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end_s, f"condition not fulfilled within {within_s} s"
        time.sleep(0.01)
    return result

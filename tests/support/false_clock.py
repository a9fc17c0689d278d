"""Run obsup with a clock that a file shifts, to simulate other days. Only the time of day is shifted, not waits.

The file that FALSE_CLOCK names holds the seconds to add to the clock of this machine. It may change at any time.
"""

from __future__ import annotations

import datetime
import os
import sys
import time
from pathlib import Path

_true_time = time.time
_Datetime = datetime.datetime


def now_s() -> float:
    """Return the shifted time in seconds since the epoch."""
    return _true_time() + float(Path(os.environ["FALSE_CLOCK"]).read_text())


class _FalseDatetime(_Datetime):
    """A datetime whose ``now`` is shifted."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _FalseDatetime:
        """Return the shifted time."""
        return cls.fromtimestamp(now_s(), tz)


def run() -> None:
    """Run obsup with the arguments of this process; the clock is replaced before obsup is imported."""
    time.time = now_s
    datetime.datetime = _FalseDatetime  # type: ignore[misc]
    from obsup.cli.main import main

    sys.exit(main())

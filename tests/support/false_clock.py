"""obsup by a clock that a file sets, for runs of other days: only the time of day is false, waits have their length.

The file that FALSE_CLOCK names holds the seconds to add to this machine's clock, and may be written again at any time.
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
    """Return epoch seconds by the false clock."""
    return _true_time() + float(Path(os.environ["FALSE_CLOCK"]).read_text())


class _FalseDatetime(_Datetime):
    """A datetime whose now is false."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> _FalseDatetime:
        """Return the false now."""
        return cls.fromtimestamp(now_s(), tz)


def run() -> None:
    """Run obsup with the words of this process, before any of it has asked what time it is."""
    time.time = now_s
    datetime.datetime = _FalseDatetime  # type: ignore[misc]
    from obsup.cli.main import main

    sys.exit(main())

"""A transfer seen from the shell: options in, one engine call, progress, signals, and the report."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from obsup.cli.display.display import open_display
from obsup.cli.report import output
from obsup.cli.report.fields import failure_fields, result_fields, summary
from obsup.cli.run.requests import deadline_s
from obsup.cli.run.signals import stopping_on_signals
from obsup.engine.job.connection import Connection, StoreSettings, connect
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.result import Result
from obsup.engine.job.stop import StopSignal
from obsup.errors import Busy, ObsupError
from obsup.local.source.rate_limit import RateLimit
from obsup.value import Value


class Running(Value):
    """A transfer under way: who counts, what may stop it, what holds it back."""

    tally: ProgressTally
    stop: StopSignal
    limit: RateLimit | None

    def connect(self, settings: StoreSettings) -> Connection:
        """Return the store that *settings* describe. Raises Denied, BadConfiguration."""
        return connect(settings, observe=self.tally, sleep=self.stop.sleep)


def run_transfer(
    work: Callable[[Running], Result],
    values: dict[str, Any],
    *,
    name: str,
    resume: list[str] | None,
    hear: Callable[[int], None] | None = None,
) -> int:
    """Do *work* on a transfer called *name* with progress, signals and report; return the exit code.

    *resume* is the command line that goes on with it, in words, None where none can. *hear* is told of signals.
    """
    stop = StopSignal(deadline_s=deadline_s(values, now=datetime.now(), monotonic_s=time.monotonic()))
    limit = RateLimit(values["limit_rate"], check=stop.cut) if values["limit_rate"] else None
    tally: ProgressTally | None = None
    try:
        with open_display(values, name, stop=stop) as display, stopping_on_signals(stop, hear):
            tally = ProgressTally(display.progress, display.observe)
            result = work(Running(tally, stop, limit))
    except Busy as exc:
        if values["if_running"] == "skip":
            return 0
        return _failed(exc, values, resume, tally)
    except ObsupError as exc:
        return _failed(exc, values, resume, tally)
    if values["as_json"]:
        output.print_json(result_fields(result))
    elif not values["quiet"]:
        display.finished(summary(result))
    return 0


def _failed(
    error: ObsupError, values: dict[str, Any], resume: list[str] | None, tally: ProgressTally | None
) -> int:
    stored = (tally.resumed_parts + tally.sent_parts, tally.parts) if tally is not None else (0, None)
    output.print_message(output.error_lines(error, resume=resume, stored=stored))
    if values["as_json"]:
        fields = failure_fields(error, command="upload", resume=resume)
        if tally is not None:
            fields |= {
                "parts": tally.parts,
                "sentParts": tally.sent_parts,
                "sentBytes": tally.sent_bytes,
                "seconds": round(tally.seconds, 3),
            }
        output.print_failure(fields)
    return error.exit_code

"""One step of an upload seen from the shell: options in, one engine call, and its answer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from obsup.cli.display.display import open_display
from obsup.cli.report import output
from obsup.cli.report.fields import failure_fields, target_fields
from obsup.cli.run.signals import stopping_on_signals
from obsup.engine.job.connection import Connection, StoreSettings, connect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.stop import StopSignal
from obsup.errors import Busy, ObsupError, Stopped
from obsup.local.source.rate_limit import RateLimit
from obsup.model import Upload


@dataclass
class Session:
    """One run of a command: who listens, what may stop it, and what it answers.

    ``fields`` is what ``--json`` prints; without it each ``line`` is printed as it comes.
    """

    values: dict[str, Any]
    tally: ProgressTally
    stop: StopSignal
    fields: dict[str, Any] = field(default_factory=dict)

    def line(self, text: str) -> None:
        """Print one line of the answer, where text is wanted."""
        if not self.values["as_json"]:
            output.print_result(text)

    def connect(self, settings: StoreSettings) -> Connection:
        """Return the store that *settings* describe. Raises Denied, BadConfiguration."""
        return connect(settings, observe=self.tally, sleep=self.stop.sleep)

    def task(self, settings: StoreSettings, order: UploadRequest) -> UploadContext:
        """Return what the engine needs for *order*, at an open store."""
        rate = self.values.get("limit_rate")
        limit = RateLimit(rate, check=self.stop.cut) if rate else None
        return UploadContext(self.connect(settings), order, self.tally, self.stop, limit)

    def name_upload(self, upload: Upload) -> None:
        """Take the keys that name *upload* into the answer."""
        self.fields |= {**target_fields(upload.target), "uploadId": upload.upload_id}


def run_step(command: str, values: dict[str, Any], work: Callable[[Session], str]) -> int:
    """Do *work*, report, and return the exit code. *work* returns the ``status`` that ``--json`` tells."""
    resume = output.resume_command(sys.argv[1:])
    stop = StopSignal()
    session: Session | None = None
    # A step shows no bar: what it prints would stand in it.
    shown = "none" if values["quiet"] else "lines"
    try:
        with open_display({"progress": shown, **values}, command) as display, stopping_on_signals(stop):
            session = Session(values, ProgressTally(display.progress, display.observe), stop)
            status = _do(work, session)
    except Busy as exc:
        if values.get("if_running") == "skip":
            return 0
        return _failed(exc, values, session, command=command, resume=resume)
    except ObsupError as exc:
        return _failed(exc, values, session, command=command, resume=resume)
    if values["as_json"]:
        outcome = {"command": command, "status": status}
        output.print_json(outcome | session.fields | outcome)
    return 0


def _do(work: Callable[[Session], str], session: Session) -> str:
    try:
        return work(session)
    except (Stopped, Busy):
        session.stop.check()  # a wait that was cut short is not why the work ends
        raise


def _failed(
    error: ObsupError, values: dict[str, Any], session: Session | None, *, command: str, resume: list[str]
) -> int:
    output.print_message(output.error_lines(error, resume=resume))
    if values["as_json"]:
        told = session.fields if session is not None else {}
        output.print_failure({**told, **failure_fields(error, command=command, resume=resume)})
    return error.exit_code

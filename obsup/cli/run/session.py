"""The runner of every command: display, signals, stop and rate limit, the work, then the report and the exit code."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from obsup import events
from obsup.cli.arguments.settings import at_its_place
from obsup.cli.display.display import Display, open_display
from obsup.cli.display.meter import Meter
from obsup.cli.report import output
from obsup.cli.report.fields import (
    failure_fields,
    response_fields,
    result_fields,
    summary,
    tally_fields,
    target_fields,
)
from obsup.cli.report.next_command import ResumeCommand, resume_command
from obsup.cli.run.requests import CommandOptions
from obsup.cli.run.signals import stopped_by, stopping_on_signals
from obsup.engine.job.connection import Connection, StoreSettings, connect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.option_values import Limits
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.result import Result
from obsup.engine.job.stop import StopSignal
from obsup.errors import (
    Busy,
    Interrupted,
    LocalFailure,
    NextStep,
    ObsupError,
    OtherRank,
    OutOfTime,
    Stopped,
    limit_reached,
    run_again,
)
from obsup.local.source.rate_limit import RateLimit
from obsup.local.state.lock import release_beside
from obsup.model import Stored, Upload
from obsup.text import shielded
from obsup.units import exact_duration

if TYPE_CHECKING:
    from obsup.cli.run.metrics import RunMetrics

T = TypeVar("T")
# Commands whose work is done by the one that is running.
_SKIPPABLE = frozenset({"upload", "part"})
UNVERIFIED = (
    "TLS certificates are not verified (--no-verify-tls): others on the network can read and change the data"
)


class Session:
    """One run of a command: its options, its display, what may stop it, and the ``fields`` that ``--json`` prints.

    ``response`` is what the store confirmed in its latest response; ``is_connected`` if it may have been asked.
    ``keeps_parts``: a later run can use the stored parts: the upload could be recorded, and the store has not created
    an object of them. ``last_failure`` is that of the attempt before the retry for which the run waits, "" if the store
    has responded since.
    """

    def __init__(self, options: CommandOptions, display: Display, stop: StopSignal) -> None:
        rate = options.limits.rate
        self.options = options
        self.display = replace(display, observe=events.both(self._take, display.observe))
        self.is_connected = False
        self.keeps_parts = True
        self.last_failure = ""
        self.response: Stored | None = None
        self.stop = stop
        self.limit = RateLimit(rate, check=stop.check_in_flight) if rate else None
        self.tally = ProgressTally(display.progress, self.display.observe)
        self.fields: dict[str, Any] = {}

    def _take(self, event: events.Event) -> None:
        inner = events.of_one(event)
        if isinstance(inner, events.Retried):
            self.last_failure = inner.reason
        elif _is_success(inner):
            self.last_failure = ""
        elif isinstance(inner, events.Unrecorded):
            self.keeps_parts = False
        if isinstance(event, events.Requested) and event.stored is not None:
            self.response = event.stored
            self.keeps_parts &= event.operation not in ("CompleteMultipartUpload", "PutObject")

    def print_text(self, text: str) -> bool:
        """Print one line of the result, unless --json is given; return False if its reader is gone."""
        return self.options.as_json or output.print_result(text)

    def connect(self, settings: StoreSettings, observe: events.Observer | None = None) -> Connection:
        """Return a connection whose events go to *observe*, by default the tally. Raises Denied, BadConfiguration."""
        if settings.endpoint.startswith("https://") and not settings.network.verify_tls:
            self.display.observe(events.Noted(UNVERIFIED))
        self.is_connected = True
        return connect(settings, observe=observe or self.tally, sleep=self.stop.sleep)

    def context(self, settings: StoreSettings, request: UploadRequest) -> UploadContext:
        """Return what the engine needs to carry out *request*. Raises Denied, BadConfiguration."""
        return UploadContext(self.connect(settings), request, self.tally, self.stop, self.limit)

    def add_upload(self, upload: Upload) -> None:
        """Add the keys that identify *upload* to the result."""
        self.fields |= {**target_fields(upload.target), "uploadId": upload.upload_id}


def run_command(
    command: str,
    options: CommandOptions,
    work: Callable[[Session], T],
    report: Callable[[Session, T], int],
    *,
    name: str | None = None,
    meter: Meter | None = None,
    forward_signal: Callable[[int], None] | None = None,
    resume: ResumeCommand | None = None,
    is_transfer: bool = False,
) -> int:
    """Do *work*, then *report* its result after the display is closed; return the exit code.

    *name* is shown with the progress. *forward_signal* receives each signal. *resume* resumes the work after a failure,
    by default the same command line. The failure of a transfer also reports how much was sent.
    """
    resume = resume or resume_command(sys.argv[1:])
    session: Session | None = None
    metrics: RunMetrics | None = None
    try:
        metrics = _metrics(options)
        stop = _stop_signal(options.limits)
        with (
            open_display(options.display, name or command, meter, stop=stop) as display,
            stopping_on_signals(stop, forward_signal, print_error=lambda exc: _print_at_once(exc, resume)),
        ):
            session = Session(options, _observed(display, metrics), stop)
            result = _do(work, session)
    except ObsupError as error:
        fail = partial(_report_failure, at_its_place(error), session, command=command, options=options)
        code = _reported(partial(fail, resume=resume, is_transfer=is_transfer), metrics)
    else:
        code = _reported(partial(report, session, result), metrics)
    return _written(metrics, code) if metrics is not None else code


def _written(metrics: RunMetrics, code: int) -> int:
    """Write the metrics and return the exit code. The result is printed: a signal adds no second one to stdout."""
    try:
        return metrics.write(code)
    except KeyboardInterrupt as exc:
        error = stopped_by(*exc.args)
        error.why = "The result is reported, but its metrics are not written"
        output.print_message(output.error_lines(error, resume=None))
        return error.exit_code


def _reported(report: Callable[[], int], metrics: RunMetrics | None) -> int:
    """Return the exit code of *report*. If the result cannot be printed, raises LocalFailure after writing metrics."""
    try:
        return report()
    except LocalFailure as exc:
        if metrics is not None:
            metrics.write(exc.exit_code)
        raise


def run_step(
    command: str,
    options: CommandOptions,
    work: Callable[[Session], str],
    *,
    resume: ResumeCommand | None = None,
) -> int:
    """Do *work*, which returns the ``status`` that ``--json`` prints, and return the exit code."""

    def report(session: Session, status: str) -> int:
        if options.as_json:
            response = response_fields(session.response) if session.is_connected else {}
            output.print_json({"command": command, "status": status, **response, **session.fields})
        return 0

    return run_command(command, options, work, report, resume=resume)


def report_upload(session: Session, result: Result) -> int:
    """Report the upload of one object and return the exit code, as the *report* of ``run_command``."""
    if session.options.as_json:
        output.print_json(result_fields(result))
    elif not session.options.display.quiet:
        session.display.show_summary(summary(result))
    return 0


def _is_success(event: events.Event) -> bool:
    """Return whether *event* shows that the store responds."""
    if isinstance(event, events.Requested):
        return event.status is not None
    return isinstance(event, events.PartStored) or (
        isinstance(event, events.FileEnded) and event.how != "failed"
    )


def _metrics(options: CommandOptions) -> RunMetrics | None:
    if options.metrics_options is None:
        return None
    from obsup.cli.run.metrics import RunMetrics  # only with --metrics

    return RunMetrics(options.metrics_options)


def _observed(display: Display, metrics: RunMetrics | None) -> Display:
    if metrics is None:
        return display
    return replace(display, observe=events.both(metrics.observe, display.observe))


def _print_at_once(error: ObsupError, resume: ResumeCommand) -> None:
    """Print *error* before the process ends at once, from a signal handler, which may have interrupted a print."""
    with contextlib.suppress(OSError):
        os.write(2, f"\n{shielded(output.error_lines(error, resume=resume))}\n".encode())
    release_beside()


def _stop_signal(limits: Limits) -> StopSignal:
    return StopSignal(deadline_s=limits.deadline_s(now=datetime.now(), monotonic_s=time.monotonic()))


def _do(work: Callable[[Session], T], session: Session) -> T:
    try:
        return work(session)
    except (Stopped, Busy):
        session.stop.check()  # the signal or the deadline that ended a wait is the cause
        raise
    except ObsupError:
        raise
    except Exception as exc:
        limit = limit_reached(exc)
        if limit is None:
            raise
    gc.collect()  # the traceback has kept the memory in use that the report and the metrics need
    raise limit


def explain_stop(error: ObsupError, session: Session, *, too_short: str) -> None:
    """Add to *error*, if it is the reason of a stop, the failure that was retried, or the step after a short time.

    *too_short* says for which work the time was too short, "" if the next run gets further.
    """
    if not isinstance(error, OutOfTime | Interrupted):
        return
    if session.last_failure:
        error.why = f"{error.why}; the last attempt had failed: {session.last_failure}"
    elif isinstance(error, OutOfTime) and too_short and error.next_step is None:
        error.next_step = _allow_more_time(session.options.limits, too_short)


def _allow_more_time(limits: Limits, text: str) -> NextStep:
    """Return the step for a run whose time was too short, as *text* says: the next one would get no further."""
    longer = ("--max-time", exact_duration(2 * limits.max_time_s)) if limits.max_time_s is not None else ()
    return run_again(f"{text}, so allow more", add=longer)


def _report_failure(
    error: ObsupError,
    session: Session | None,
    *,
    command: str,
    options: CommandOptions,
    resume: ResumeCommand,
    is_transfer: bool,
) -> int:
    """Report *error* and return the exit code: 0 if --if-running skip leaves the work to another obsup."""
    if isinstance(error, Busy) and options.request.if_running == "skip" and command in _SKIPPABLE:
        if options.as_json:
            skipped = {"command": command, "status": "skipped", "reason": error.reason, "message": str(error)}
            output.print_json(skipped)
        return 0
    if isinstance(error, OtherRank):
        return error.exit_code
    tally = session.tally if session is not None and is_transfer else None
    if session is not None:
        gets_further = tally is not None and (tally.sent_parts or not tally.in_flight)
        work = "the command did not end" if tally is None else "no part was complete"
        explain_stop(error, session, too_short="" if gets_further else f"{work} in that time")
    keeps_parts = session is None or session.keeps_parts
    stored = (tally.stored_parts, tally.parts) if tally is not None and keeps_parts else (0, None)
    has_stored = session is not None and (tally is None or tally.stored_parts or tally.in_flight)
    if resume.restarts and not has_stored:
        resume = resume.from_the_start()
    output.print_message(output.error_lines(error, resume=resume, stored=stored))
    if options.as_json:
        fields = session.fields if session is not None else {}
        counts = tally_fields(tally) if tally is not None else {}
        failure = failure_fields(error, command=command, resume=resume)
        output.print_json_failure({**fields, **failure, **counts})
    return error.exit_code

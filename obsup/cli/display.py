"""What is shown while a transfer runs: a bar on a terminal, a line now and then elsewhere, JSON, or nothing."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TextIO

from obsup import events
from obsup.cli.gauge import Gauge, Meter
from obsup.cli.report import say
from obsup.cli.talk import Talk, short_reason
from obsup.engine.order import Result
from obsup.engine.stop import StopSignal
from obsup.errors import ObsupError
from obsup.local.request_log import LogFile
from obsup.quoting import quoted
from obsup.units import format_duration, format_size

LINE_EVERY_S = 30.0
READING_EVERY_S = 0.25


class Display(Protocol):
    """Hears the progress callback and the events of one transfer."""

    def progress(self, transferred: int, total: int | None, seconds: float) -> None: ...

    def observe(self, event: events.Event) -> None: ...

    def finished(self, text: str) -> None: ...


def summary(result: Result) -> str:
    """Return what came of a transfer in one line: bytes, time, mean rate, what was skipped, what proved it."""
    rate = result.sent_bytes / result.seconds if result.seconds else 0.0
    skipped = result.parts - result.sent_parts
    were_there = f", {skipped} of {result.parts} parts were there already" if skipped else ""
    return (
        f"{result.target}: {format_size(result.size)} in {format_duration(result.seconds)} "
        f"({format_size(rate)}/s){were_there}; verified by {result.verified}"
    )


class Silence:
    """Shows no progress."""

    def __init__(self, talk: Talk) -> None:
        self.observe = talk.observe
        self.finished = talk.finished

    def progress(self, transferred: int, total: int | None, seconds: float) -> None:
        """Show nothing."""


class Lines:
    """One line every 30 seconds of a long transfer, for logs; also while the line stands still."""

    def __init__(
        self,
        talk: Talk,
        name: str,
        *,
        gauge: Meter | None = None,
        every_s: float = LINE_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
        is_seen: bool = False,
    ) -> None:
        self.finished = talk.finished
        self._talk = talk
        self._name = quoted(name)
        # Who sits before it is told at once that something is tried again, and need not wait for the first line.
        self._is_to_be_told = is_seen
        self._trouble = ""
        self._every_s = every_s
        self._clock = clock
        self._gauge = gauge or Gauge()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._say_on, name="lines", daemon=True)

    def __enter__(self) -> Lines:
        self._gauge.read(self._clock())
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def observe(self, event: events.Event) -> None:
        """Take *event* in, and say what the user should know."""
        self._gauge.observe(event)
        self._talk.observe(event)
        one = events.of_one(event)
        if isinstance(one, events.Retried):
            self._trouble = short_reason(one.reason)
            if self._is_to_be_told:
                self._is_to_be_told = False
                self._talk.show(f"Note:  {self._trouble}; trying again.")
        elif isinstance(one, events.Requested) and one.status is not None and one.status < 400:
            self._trouble = ""

    def progress(self, transferred: int, total: int | None, seconds: float) -> None:
        """Nothing: the lines come by the clock."""

    def _say_on(self) -> None:
        while not self._ended.wait(self._every_s):
            self._talk.show(self.line())

    def line(self) -> str:
        """Return how far it is at this moment."""
        reading = self._gauge.read(self._clock())
        if not reading.is_begun:
            waits = f"{self._trouble}; trying again" if self._trouble else ""
            return f"{self._name}: {waits or 'looking at what is there'}"
        of = "" if reading.share is None else f" of {format_size(reading.total or 0)} ({reading.share:.0%})"
        fields = [f"{format_size(reading.done)}{of}", f"{format_size(reading.rate or 0.0)}/s"]
        if reading.time is not None:
            fields.append(reading.time)
        if reading.failed:
            fields.append(f"{reading.failed} failed")
        return f"{self._name}: {', '.join(fields)}, {reading.progress.replace('/', ' of ')}"


class JsonLines:
    """One JSON object a line on stderr."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._begun: events.Begun | None = None
        self._stored: set[int] = set()

    def observe(self, event: events.Event) -> None:
        """Count parts, and hand on."""
        if isinstance(event, events.Begun):
            self._begun = event
        elif isinstance(event, events.PartStored):
            self._stored.add(event.number)
        self._talk.observe(event)

    def progress(self, transferred: int, total: int | None, seconds: float) -> None:
        """Print the documented keys."""
        resumed = self._begun.resumed_parts if self._begun else 0
        fields = {
            "format": 1,
            "event": "progress",
            "transferred": transferred,
            "total": total,
            "seconds": round(seconds, 3),
            "partsDone": resumed + len(self._stored),
            "parts": self._begun.parts if self._begun else None,
        }
        say(json.dumps(fields))

    def finished(self, text: str) -> None:
        """Nothing more: --json prints the result."""


class JsonReadings:
    """One JSON object a line on stderr, of several files: at most four a second, and one at the end."""

    def __init__(self, talk: Talk, gauge: Meter, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.finished = talk.finished
        self._talk = talk
        self._gauge = gauge
        self._clock = clock
        self._begun_s = clock()
        self._due_s = self._begun_s
        self._lock = threading.Lock()

    def observe(self, event: events.Event) -> None:
        """Take *event* in, and print where it is time."""
        self._gauge.observe(event)
        self._talk.observe(event)
        with self._lock:
            now_s = self._clock()
            is_due = now_s >= self._due_s
            if is_due:
                self._due_s = now_s + READING_EVERY_S
        if is_due:
            self._print(now_s)

    def __enter__(self) -> JsonReadings:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._print(self._clock())

    def progress(self, transferred: int, total: int | None, seconds: float) -> None:
        """Nothing: what is printed is read from the gauge."""

    def _print(self, now_s: float) -> None:
        reading = self._gauge.read(now_s)
        fields = {
            "format": 1,
            "event": "progress",
            "transferred": reading.done,
            "total": reading.total,
            "seconds": round(now_s - self._begun_s, 3),
            "filesDone": reading.parts_done,
            "filesFailed": reading.failed,
            "files": reading.parts,
            "counted": reading.is_counted,
        }
        say(json.dumps(fields))


def choose(mode: str, *, quiet: bool, stderr: TextIO, environ: Mapping[str, str]) -> str:
    """Return bar, lines, json or none. A bar is drawn only where somebody sees it, whatever FORCE_COLOR says."""
    is_terminal = stderr.isatty() and environ.get("TERM", "dumb") not in ("dumb", "")
    if mode == "auto":
        mode = "none" if quiet else "bar"
    return "lines" if mode == "bar" and not is_terminal else mode


class Logged:
    """Another display, with a log of what happens."""

    def __init__(self, shown: Display, log: LogFile) -> None:
        self.progress = shown.progress
        self.finished = shown.finished
        self._shown = shown
        self._log = log

    def observe(self, event: events.Event) -> None:
        """Log it, then show it."""
        self._log.observe(event)
        self._shown.observe(event)


@contextmanager
def open_display(
    values: dict[str, Any], name: str, gauge: Meter | None = None, *, stop: StopSignal | None = None
) -> Iterator[Display]:
    """Show, and log, a transfer of *name* as the options of the command ask, and leave a clean terminal.

    *gauge* reads it: that of one file unless given; *stop* tells that it is to end. Raises BadConfiguration where the
    log cannot be written.
    """
    path: Path | None = values["log_file"]
    if path is None:
        with _open_shown(values, name, gauge, stop) as shown:
            yield shown
        return
    log = LogFile(path, tell=lambda text: shown.observe(events.Noted(text)))
    with closing(log), _open_shown(values, name, gauge, stop) as shown:
        try:
            yield Logged(shown, log)
        except ObsupError as exc:
            log.failed(exc)
            raise


@contextmanager
def _open_shown(
    values: dict[str, Any], name: str, gauge: Meter | None, stop: StopSignal | None
) -> Iterator[Display]:
    mode = choose(values["progress"], quiet=values["quiet"], stderr=sys.stderr, environ=os.environ)
    talk = Talk(quiet=values["quiet"], verbose=values["verbose"])
    if mode == "bar":
        from obsup.cli.bar import Bar

        with Bar(name, quiet=values["quiet"], verbose=values["verbose"], gauge=gauge, stop=stop) as bar:
            yield bar
    elif mode == "json" and gauge is not None:
        with JsonReadings(talk, gauge) as readings:
            yield readings
    elif mode == "json":
        yield JsonLines(talk)
    elif mode == "lines":
        with Lines(talk, name, gauge=gauge, is_seen=sys.stderr.isatty()) as lines:
            yield lines
    else:
        yield Silence(talk)

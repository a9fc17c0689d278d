"""What is shown while a transfer runs: a bar on a terminal, a line now and then elsewhere, JSON, or nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol, TextIO

from obsup import events
from obsup.cli.display.json_lines import JsonLines, JsonReadings
from obsup.cli.display.lines import Lines, Silence
from obsup.cli.display.log_file import LogFile
from obsup.cli.display.meter import Meter
from obsup.cli.display.notices import Notices
from obsup.engine.job.stop import StopSignal
from obsup.errors import ObsupError
from obsup.value import Value


class DisplayOptions(Value):
    """What a command shows while it runs. ``progress`` is auto, bar, lines, json or none."""

    progress: str = "auto"
    quiet: bool = False
    verbose: bool = False
    log_file: Path | None = None


class Display(Protocol):
    """Hears the progress callback and the events of one transfer."""

    def progress(self, transferred: int, total: int | None, seconds: float) -> None: ...

    def observe(self, event: events.Event) -> None: ...

    def finished(self, text: str) -> None: ...


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
    options: DisplayOptions, name: str, meter: Meter | None = None, *, stop: StopSignal | None = None
) -> Iterator[Display]:
    """Show, and log, a transfer of *name* as the options of the command ask, and leave a clean terminal.

    *meter* reads it: that of one file unless given; *stop* tells that it is to end. Raises BadConfiguration where the
    log cannot be written.
    """
    path = options.log_file
    if path is None:
        with _open_shown(options, name, meter, stop) as shown:
            yield shown
        return
    log = LogFile(path, tell=lambda text: shown.observe(events.Noted(text)))
    with closing(log), _open_shown(options, name, meter, stop) as shown:
        try:
            yield Logged(shown, log)
        except ObsupError as exc:
            log.failed(exc)
            raise


@contextmanager
def _open_shown(
    options: DisplayOptions, name: str, meter: Meter | None, stop: StopSignal | None
) -> Iterator[Display]:
    mode = choose(options.progress, quiet=options.quiet, stderr=sys.stderr, environ=os.environ)
    notices = Notices(quiet=options.quiet, verbose=options.verbose)
    if mode == "bar":
        from obsup.cli.display.bar import Bar

        with Bar(name, quiet=options.quiet, verbose=options.verbose, meter=meter, stop=stop) as bar:
            yield bar
    elif mode == "json" and meter is not None:
        with JsonReadings(notices, meter) as readings:
            yield readings
    elif mode == "json":
        yield JsonLines(notices)
    elif mode == "lines":
        with Lines(notices, name, meter=meter, is_seen=sys.stderr.isatty()) as lines:
            yield lines
    else:
        yield Silence(notices)

"""Choose and open the display of a transfer: a bar on a terminal, lines elsewhere, JSON, or nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TextIO

from msgspec.structs import replace

from obsup import events
from obsup.cli.display.log_file import LogFile
from obsup.cli.display.meter import Meter, TransferMeter
from obsup.cli.display.notices import Notices
from obsup.cli.display.progress_text import progress_json, progress_line
from obsup.cli.display.repeat import every
from obsup.cli.report.output import print_message
from obsup.engine.job.stop import StopSignal
from obsup.errors import ObsupError
from obsup.events import ProgressCallback
from obsup.local.platform.console import has_escape_sequences
from obsup.text import quoted
from obsup.value import Value

LINE_EVERY_S = 30.0
JSON_EVERY_S = 0.5


class DisplayOptions(Value):
    """The options of a command that select its display. ``progress`` is auto, bar, lines, json or none.

    ``interval_s`` is the time between lines or JSON objects, None for the default.
    """

    progress: str = "auto"
    interval_s: float | None = None
    quiet: bool = False
    verbose: bool = False
    log_file: Path | None = None


class Display(Value):
    """What a running transfer calls. ``progress`` is None if the display does not draw from the callback."""

    observe: events.Observer
    show_summary: Callable[[str], None]
    progress: ProgressCallback | None = None


def choose_mode(mode: str, *, is_quiet: bool, stderr: TextIO, environ: Mapping[str, str]) -> str:
    """Return bar, lines, json or none. A bar needs a terminal that can move its cursor, whatever FORCE_COLOR is."""
    is_terminal = has_escape_sequences(stderr, environ)
    if mode == "auto":
        mode = "none" if is_quiet else "bar"
    return "lines" if mode == "bar" and not is_terminal else mode


@contextmanager
def open_display(
    options: DisplayOptions, name: str, meter: Meter | None = None, *, stop: StopSignal | None = None
) -> Iterator[Display]:
    """Show, and log, the transfer called *name*; leave a clean terminal at the end.

    *meter* measures it, by default that of one object. The bar shows how long the parts in flight still have once
    *stop* is set. Raises BadConfiguration if the log cannot be written.
    """
    if options.log_file is None:
        with _open_shown(options, name, meter or TransferMeter(), stop) as display:
            yield display
        return
    log = LogFile(options.log_file, warn=lambda text: display.observe(events.Noted(text)))
    with closing(log), _open_shown(options, name, meter or TransferMeter(), stop) as display:
        try:
            yield replace(display, observe=events.both(log.observe, display.observe))
        except ObsupError as exc:
            log.write_error(exc)
            raise


@contextmanager
def _open_shown(
    options: DisplayOptions, name: str, meter: Meter, stop: StopSignal | None
) -> Iterator[Display]:
    mode = choose_mode(options.progress, is_quiet=options.quiet, stderr=sys.stderr, environ=os.environ)
    callback = meter.progress if isinstance(meter, TransferMeter) else None
    notices = Notices(
        is_quiet=options.quiet,
        is_verbose=options.verbose,
        reports_retry=mode == "lines" and sys.stderr.isatty(),
    )
    observe = events.both(meter.observe, notices.observe)
    if mode == "bar":
        from obsup.cli.display.bar import Bar  # loads rich

        with Bar(quoted(name), meter, stop=stop) as bar:
            notices.show = bar.print_above
            yield Display(observe, notices.show, callback)
    elif mode == "lines":
        # Who asks for lines sees one even if the transfer is short.
        show_summary = notices.show if options.progress == "lines" else notices.show_summary
        interval_s = options.interval_s or LINE_EVERY_S
        with every(interval_s, lambda: notices.show(progress_line(quoted(name), meter.read()))):
            yield Display(observe, show_summary, callback)
    elif mode == "json":
        try:
            with every(options.interval_s or JSON_EVERY_S, lambda: _print_json(meter)):
                yield Display(observe, notices.show_summary, callback)
        finally:
            _print_json(meter)
    else:
        yield Display(notices.observe, notices.show_summary)


def _print_json(meter: Meter) -> None:
    reading = meter.read()
    if reading.is_begun:
        print_message(progress_json(reading))

"""The bar: one line for the whole, the parts in flight beneath it. The only file that knows Rich."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, TextIO, cast

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from obsup import events
from obsup.cli.display.meter import Meter, PartInFlight, Reading, TransferMeter
from obsup.cli.display.notices import Notices, short_reason
from obsup.cli.display.terminal import TerminalLines
from obsup.engine.job.stop import StopSignal
from obsup.errors import Interrupted
from obsup.text import quoted
from obsup.units import format_size

EVERY_S = 0.125
MIN_BAR, MAX_BAR = 8, 60
MAX_NAME, SHORT_NAME = 24, 10
# Parts are shown where the window has this many rows, and take no more than a third of them.
ROWS_FOR_PARTS = 10
MAX_PART_LINES, MIN_PART_LINE = 8, 24


class Marks(NamedTuple):
    """What a bar is made of, a cell each."""

    resumed: str
    done: str
    left: str


LINES = Marks("═", "━", "─")
ASCII = Marks("=", "#", "-")


class Bar:
    """Draws one transfer on stderr; hears its events. Leaves a clean terminal, however it ends."""

    def __init__(
        self,
        name: str,
        *,
        quiet: bool = False,
        verbose: bool = False,
        meter: Meter | None = None,
        stop: StopSignal | None = None,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or Console(file=sys.stderr, legacy_windows=False)
        self._screen = TerminalLines(
            cast(TextIO, self._console.file), lambda line: cell_len(Text.from_ansi(line).plain)
        )
        self._notices = Notices(quiet=quiet, verbose=verbose, show=self._screen.say)
        self._name = quoted(name)
        self._clock = clock
        self._meter = meter or TransferMeter()
        self._stop = stop
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw_on, name="bar", daemon=True)

    def __enter__(self) -> Bar:
        self._screen.open()
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._screen.close()

    def observe(self, event: events.Event) -> None:
        """Take *event* in, and say what the user should know."""
        self._meter.observe(event)
        self._notices.observe(event)

    def progress(self, transferred: int, total: int | None, seconds: float) -> None:
        """Nothing: the bar reads its gauge, several times a second."""

    def lines(self, columns: int, rows: int) -> list[Text]:
        """Return what a window of this size shows at this moment."""
        reading = self._meter.read(self._clock())
        marks = LINES if self._console.encoding.lower().startswith("utf") else ASCII
        shown = [_whole_line(self._name, reading, columns - 1, marks)]
        if self._stop is not None and self._stop.reason is not None:
            shown.append(_end_line(self._stop, columns - 1))
        return shown + _part_lines(reading, columns - 1, rows, marks)

    def finished(self, text: str) -> None:
        """Say in one line what came of it."""
        self._notices.show(text)

    def _draw_on(self) -> None:
        while True:
            columns, rows = self._screen.size()
            self._screen.draw([self._plain(line) for line in self.lines(columns, rows)])
            if self._ended.wait(EVERY_S):
                return

    def _plain(self, line: Text) -> str:
        """Return *line* as a terminal takes it, with the colours that it and NO_COLOR allow."""
        with self._console.capture() as captured:
            self._console.print(line, end="", no_wrap=True, overflow="ignore", crop=False, highlight=False)
        return captured.get()


def _whole_line(name: str, reading: Reading, width: int, marks: Marks) -> Text:
    """Return the line for the whole transfer: what *width* cells hold of it, and the bar in the rest."""
    has_bar = reading.share is not None
    for leave_out in range(len(_SACRIFICES) + 1):
        label, fields, has_bar = _give_up(_SACRIFICES[:leave_out], name, reading)
        if _needed(label, fields, bar=has_bar) <= width:
            break
    text = Text(label)
    if has_bar:
        bar = min(MAX_BAR, width - _needed(label, fields, bar=False) - 1)
        text.append(" " if label else "").append_text(_bar(reading, bar, marks))
    for key, field in fields.items():
        text.append(" " if len(text) else "").append(field, _STYLES.get(key, ""))
    text.truncate(width, overflow="crop")
    return text


# What a narrow line goes without, the least needed first.
_SACRIFICES = (
    "units",
    "resumed",
    "name",
    "word",
    "retries",
    "rate",
    "label",
    "parts",
    "bar",
    "bytes",
    "left",
)
_STYLES = {
    "bytes": "green",
    "rate": "red",
    "left": "cyan",
    "resumed": "cyan",
    "retries": "yellow",
    "failed": "bold red",
}


def _give_up(sacrifices: tuple[str, ...], name: str, reading: Reading) -> tuple[str, dict[str, str], bool]:
    """Return the name, the fields and whether there is a bar, without what is sacrificed."""
    fields = _fields(reading, _compact if "units" in sacrifices else format_size)
    if "word" in sacrifices and "parts" in fields:
        fields["parts"] = fields["parts"].partition(" ")[0]
    label = _cut(name, SHORT_NAME if "name" in sacrifices else MAX_NAME)
    kept = {key: field for key, field in fields.items() if key not in sacrifices}
    has_bar = reading.share is not None and "bar" not in sacrifices
    return ("" if "label" in sacrifices else label), kept, has_bar


def _compact(size: float) -> str:
    return format_size(size).replace(" ", "").removesuffix("B").removesuffix("i")


def _fields(reading: Reading, shown: Callable[[float], str]) -> dict[str, str]:
    """Return what the line says in words, in its order."""
    if not reading.is_begun:
        return {"left": "looking at what is there"}
    fields = {}
    if reading.share is not None:
        fields["percent"] = f"{int(reading.share * 100):>3}%"
    of = "" if reading.total is None else f"/{shown(reading.total)}"
    fields["bytes"] = f"{shown(reading.done)}{of}"
    if reading.rate is not None and not reading.is_assembling:
        fields["rate"] = f"{shown(reading.rate)}/s"
    if reading.is_assembling:
        fields["left"] = "assembling"
    elif reading.time is not None:
        fields["left"] = reading.time
    fields["parts"] = reading.progress
    if reading.failed:
        fields["failed"] = f"{reading.failed} failed"
    if reading.resumed:
        fields["resumed"] = f"({shown(reading.resumed)} resumed)"
    if reading.retries:
        fields["retries"] = f"{reading.retries} {'retry' if reading.retries == 1 else 'retries'}"
    return fields


def _needed(label: str, fields: dict[str, str], *, bar: bool) -> int:
    """Return the cells that the line needs, with a bar of the least length where there is to be one."""
    widths = [cell_len(one) for one in (label, *fields.values()) if one]
    return sum(widths) + max(0, len(widths) - 1) + (MIN_BAR + 1 if bar else 0)


def _bar(reading: Reading, width: int, marks: Marks) -> Text:
    """Return a bar of *width* cells: what was resumed, what this run did, and what is left."""
    total = reading.total or 1
    done = int(width * (reading.share or 0.0))
    resumed = min(done, int(width * reading.resumed / total))
    text = Text(marks.resumed * resumed, "cyan")
    text.append(marks.done * (done - resumed), "green")
    return text.append(marks.left * (width - done), "bright_black")


def _end_line(stop: StopSignal, width: int) -> Text:
    """Return the line that answers a Ctrl-C, or a deadline: how long what is under way may take to end."""
    again = "; Ctrl-C again: now" if isinstance(stop.reason, Interrupted) else ""
    text = Text(f"  ending in {stop.grace_left_s or 0.0:.0f} s{again}", "yellow")
    text.truncate(width, overflow="ellipsis")
    return text


def _part_lines(reading: Reading, width: int, rows: int, marks: Marks) -> list[Text]:
    """Return a line a part in flight, as many as a window of *rows* rows bears."""
    most = min(MAX_PART_LINES, rows // 3) if rows >= ROWS_FOR_PARTS else 0
    if not most or width < MIN_PART_LINE or not reading.is_begun:
        return []
    shown = reading.in_flight if len(reading.in_flight) <= most else reading.in_flight[: most - 1]
    lines = [_part_line(one, reading.part_size, width, marks) for one in shown]
    if len(shown) < len(reading.in_flight):
        lines.append(Text(f"  and {len(reading.in_flight) - len(shown)} more", "dim"))
    return lines


def _part_line(part: PartInFlight, part_size: int, width: int, marks: Marks) -> Text:
    label = f"part {part.number:>5}" if not part.name else _cut(part.name, min(MAX_NAME, width // 3))
    text = Text(f"  {label} ")
    room = min(20, width - cell_len(text.plain) - 12)
    size = part.size or part_size
    if size and room >= MIN_BAR:
        done = int(room * min(1.0, part.sent / size))
        text.append(marks.done * done, "green").append(marks.left * (room - done), "bright_black").append(" ")
    text.append(f"{format_size(part.sent):>10}")
    if part.waiting:
        text.append(f"  {short_reason(part.waiting)}", "yellow")
    text.truncate(width, overflow="ellipsis")
    return text


def _cut(name: str, most: int) -> str:
    """Return *name* in at most *most* cells; of a long one the end stays: it tells files apart."""
    if cell_len(name) <= most:
        return name
    kept = name
    while cell_len(kept) > most - 1:
        kept = kept[1:]
    return set_cell_size(f"…{kept}", most)

"""Draw the progress bar of a transfer and a bar per part. Only this module uses Rich."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TextIO, cast

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.progress import Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from obsup.cli.display.meter import MAX_SHARE, Meter, Reading, Sending
from obsup.cli.display.progress_text import compact_size, progress_fields
from obsup.cli.display.repeat import every
from obsup.cli.display.terminal import TerminalLines
from obsup.engine.job.stop import StopSignal
from obsup.errors import Interrupted
from obsup.units import format_size

DRAW_EVERY_S = 0.125
MIN_BAR, MAX_BAR, PART_BAR = 8, 60, 20
MAX_NAME, SHORT_NAME = 24, 10
# Lower and narrower windows show no parts; in others the parts take at most a third of the rows.
MIN_ROWS_FOR_PARTS, MIN_COLUMNS_FOR_PARTS, MAX_PART_ROWS = 10, 24, 8
MIN_COLUMNS_FOR_PART_BARS = 60
ASCII = str.maketrans({"═": "=", "━": "#", "╍": "+", "─": "-", "…": "~"})

# What a narrow window omits, first things first; "units" and "long_name" only become shorter.
OMITTED_FIRST = (
    "resumed",
    "units",
    "long_name",
    "retrying",
    "words",
    "elapsed",
    "waiting",
    "rate",
    "name",
    "parts",
    "bar",
    "in_flight",
    "confirmed",
    "failed",
    "status",
)
STYLES = {
    "confirmed": "green",
    "in_flight": "yellow",
    "rate": "red",
    "status": "cyan",
    "failed": "bold red",
    "waiting": "yellow",
    "retrying": "yellow",
    "resumed": "cyan",
}


class Bar:
    """Draws what *meter* reads on stderr while entered, several times per second."""

    def __init__(
        self, name: str, meter: Meter, *, stop: StopSignal | None = None, console: Console | None = None
    ) -> None:
        self._console = console or Console(file=sys.stderr, legacy_windows=False)
        self._is_ascii = not self._console.encoding.lower().startswith("utf")
        self._terminal = TerminalLines(
            cast(TextIO, self._console.file), lambda line: cell_len(Text.from_ansi(line).plain)
        )
        self.print_above = self._terminal.print_above
        self._name = name
        self._meter = meter
        self._stop = stop
        self._drawing = ExitStack()

    def __enter__(self) -> Bar:
        self._terminal.open()
        self._draw()
        self._drawing.enter_context(every(DRAW_EVERY_S, self._draw))
        return self

    def __exit__(self, *_exception: object) -> None:
        self._drawing.close()
        self._terminal.close()

    def _draw(self) -> None:
        # Rich writes an empty text to the terminal, which "stty tostop" forbids in the background.
        if self._terminal.is_foreground():
            self._terminal.draw(self.lines(*self._terminal.size()))

    def lines(self, columns: int, rows: int) -> list[str]:
        """Return the lines for a window of this size, with escape sequences for the colours."""
        self._console.size = self._console.size._replace(width=max(1, columns - 1))
        with self._console.capture() as captured:
            self._console.print(self.renderable(columns, rows), highlight=False)
        text = captured.get()
        if self._is_ascii:
            text = text.translate(ASCII).encode("ascii", "replace").decode()
        return [line.rstrip() for line in text.split("\n")[:-1]]

    def renderable(self, columns: int, rows: int) -> Group:
        """Return what a window of this size shows."""
        reading, width = self._meter.read(), columns - 1
        shown: list[RenderableType] = [self._whole(reading, width)]
        if self._stop is not None and self._stop.reason is not None:
            shown.append(_stop_line(self._stop))
        most = min(MAX_PART_ROWS, rows // 3) if rows >= MIN_ROWS_FOR_PARTS else 0
        if reading.sending and most and width >= MIN_COLUMNS_FOR_PARTS:
            sending = reading.sending if len(reading.sending) <= most else reading.sending[: most - 1]
            shown.append(self._parts(sending, reading.now_s, width))
            if len(sending) < len(reading.sending):
                shown.append(Text(f"  and {len(reading.sending) - len(sending)} more", "dim"))
        return Group(*shown)

    def _whole(self, reading: Reading, width: int) -> Progress:
        """Return the line for the whole transfer: the fields that fit, and the bar in the space that is left."""
        name, fields, bar_width = _fit(self._name, reading, width)
        columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False)] if name else []
        if bar_width:
            columns.append(_BytesBar(bar_width))
        columns += [_FieldColumn(field, STYLES.get(field, "")) for field in fields]
        progress = Progress(*columns, console=self._console, auto_refresh=False)
        stored = (reading.resumed, reading.confirmed)
        progress.add_task(
            name, total=reading.total, completed=reading.transferred, stored=stored, texts=fields
        )
        return progress

    def _parts(self, sending: tuple[Sending, ...], now_s: float, width: int) -> Progress:
        """Return a line per part, or per file, that is being sent."""
        size = format_size if width >= MIN_COLUMNS_FOR_PART_BARS else compact_size
        columns: list[ProgressColumn] = [TextColumn("  {task.description}", markup=False)]
        if width >= MIN_COLUMNS_FOR_PART_BARS:
            columns.append(_BytesBar(PART_BAR))
        columns += [
            _FieldColumn("bytes", "", Column(justify="right", no_wrap=True)),
            _FieldColumn("note", "yellow", Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        ]
        progress = Progress(*columns, console=self._console, auto_refresh=False, expand=True)
        for one in sending:
            of = f"/{size(one.size)}" if one.size else ""
            progress.add_task(
                _cut(one.label, min(MAX_NAME, width // 3)),
                total=one.size,
                completed=one.sent,
                stored=(0, one.sent),
                texts={"bytes": f"{size(one.sent)}{of}", "note": _note(one, now_s)},
            )
        return progress


class _BytesBar(ProgressColumn):
    """Draws resumed, confirmed and in-flight bytes apart, in one bar of *width* cells that is never full."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width

    def render(self, task: Task) -> Text:
        """Return the bar of the three sizes of *task*, each of which includes the one before."""
        resumed, confirmed, transferred = (
            int(self._width * min(MAX_SHARE, size / (task.total or 1)))
            for size in (*task.fields["stored"], task.completed)
        )
        text = Text("═" * resumed, "cyan").append("━" * (confirmed - resumed), "green")
        text.append("╍" * (transferred - confirmed), "yellow")
        return text.append("─" * (self._width - transferred), "bright_black")


class _FieldColumn(ProgressColumn):
    """Shows a text of the task's fields unchanged; names and reasons may contain braces."""

    def __init__(self, field: str, style: str, column: Column | None = None) -> None:
        super().__init__(column or Column(no_wrap=True))
        self._field = field
        self._style = style

    def render(self, task: Task) -> Text:
        """Return the text."""
        return Text().append(task.fields["texts"][self._field], self._style)


def _fit(name: str, reading: Reading, width: int) -> tuple[str, dict[str, str], int]:
    """Return the name, the fields and the width of the bar that fit into *width* cells; without a bar it is 0."""
    for count in range(len(OMITTED_FIRST) + 1):
        omitted = OMITTED_FIRST[:count]
        fields = progress_fields(
            reading,
            size=compact_size if "units" in omitted else format_size,
            has_words="words" not in omitted,
        )
        fields = {key: text for key, text in fields.items() if key not in omitted}
        label = "" if "name" in omitted else _cut(name, SHORT_NAME if "long_name" in omitted else MAX_NAME)
        texts = [text for text in (label, *fields.values()) if text]
        free = width - sum(map(cell_len, texts)) - len(texts)
        has_bar = reading.is_begun and reading.share is not None and "bar" not in omitted
        if free >= (MIN_BAR if has_bar else -1) or (len(fields) == 1 and not label):
            break
    return label, fields, min(MAX_BAR, free) if has_bar else 0


def _stop_line(stop: StopSignal) -> Text:
    """Return the line that confirms a Ctrl-C or a deadline, with the seconds that the parts in flight still have."""
    again = " (Ctrl-C again: stop now)" if isinstance(stop.reason, Interrupted) else ""
    return Text(
        f"  stopping in {stop.grace_left_s or 0.0:.0f} s{again}", "yellow", no_wrap=True, overflow="ellipsis"
    )


def _note(sending: Sending, now_s: float) -> str:
    """Return what a part waits for, or which attempt this is."""
    if sending.retry_at_s is not None:
        return f"retry in {max(0.0, sending.retry_at_s - now_s):.0f} s: {sending.reason}"
    if sending.size and sending.sent >= sending.size:
        return "waiting for confirmation"
    if sending.attempt > 1:
        return f"attempt {sending.attempt} after: {sending.reason}"
    return sending.reason


def _cut(name: str, most: int) -> str:
    """Return *name* in at most *most* cells. The end of a long name stays, because it tells files apart."""
    if cell_len(name) <= most:
        return name
    kept = name
    while cell_len(kept) > most - 1:
        kept = kept[1:]
    return set_cell_size(f"…{kept}", most)

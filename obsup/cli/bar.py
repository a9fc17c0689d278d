"""The bar: Rich, fed by the progress callback. The only file that knows Rich."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from obsup import events
from obsup.cli.display import Talk
from obsup.engine.order import Result
from obsup.units import format_duration, format_size


class PartsColumn(ProgressColumn):
    """Parts done of all."""

    def render(self, task: Task) -> Text:
        """Return ``3/5 parts``."""
        return Text(f"{task.fields['done']}/{task.fields['parts']} parts", style="progress.download")


class RateColumn(ProgressColumn):
    """Bytes a second over the last half minute; resumed bytes are not counted."""

    def render(self, task: Task) -> Text:
        """Return ``45.1 MiB/s``."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{format_size(speed)}/s", style="progress.data.speed")


class Bar:
    """Draws one transfer on stderr; its ``progress`` is the progress callback."""

    def __init__(
        self,
        name: str,
        *,
        quiet: bool = False,
        verbose: bool = False,
        console: Console | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._console = console or Console(stderr=True)
        self._talk = Talk(quiet=quiet, verbose=verbose, show=self._print)
        self._name = name if name.isprintable() else repr(name)
        self._rich = Progress(*self._columns(), console=self._console, get_time=clock)
        self._task: Any = None
        self._done = 0

    def _columns(self) -> list[ProgressColumn | str]:
        name = TextColumn("{task.description}", markup=False)
        if self._console.width < 60:
            return [name, BarColumn(bar_width=None), TextColumn("{task.percentage:>3.0f}%")]
        return [
            name,
            BarColumn(bar_width=None),
            DownloadColumn(binary_units=True),
            RateColumn(),
            TimeRemainingColumn(),
            PartsColumn(),
        ]

    def __enter__(self) -> Bar:
        self._rich.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _exc: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._rich.stop()

    def observe(self, event: events.Event) -> None:
        """Begin the bar with what is resumed, and count parts."""
        if isinstance(event, events.Begun):
            self._done = event.resumed_parts
            self._task = self._rich.add_task(
                self._name,
                total=event.total,
                completed=event.resumed,
                done=self._done,
                parts=event.parts or "?",
            )
        elif isinstance(event, events.PartStored) and self._task is not None:
            self._done += 1
            self._rich.update(self._task, done=self._done)
        self._talk.observe(event)

    def progress(self, transferred: int, total: int | None, _seconds: float) -> None:
        """Move the bar."""
        if self._task is not None:
            self._rich.update(self._task, completed=transferred, total=total)

    def picture(self) -> RenderableType:
        """Return the bar as it stands, to be drawn elsewhere."""
        return self._rich.get_renderable()

    def finished(self, result: Result) -> None:
        """Say in one line what came of it."""
        rate = result.sent_bytes / result.seconds if result.seconds else 0.0
        resumed = result.parts - result.sent_parts
        kept = f", {resumed} parts were there already" if resumed else ""
        self._print(
            f"{result.target}: {format_size(result.size)} in {format_duration(result.seconds)} "
            f"({format_size(rate)}/s{kept}), verified by {result.verified}"
        )

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

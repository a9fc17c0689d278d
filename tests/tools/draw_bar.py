"""Draw the picture of the bar for README.md: ``python -m tests.tools.draw_bar man/progress.svg``."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from obsup import events
from obsup.cli.display.bar import Bar
from obsup.units import MIB

COLUMNS, ROWS = 100, 12


def half_way(console: Console | None = None) -> list[Text]:
    """Return the bar of an upload of 1 GiB, resumed at part 41 of 114 and a good way on."""
    now_s = 0.0
    bar = Bar("video.iso", console=console or _recorder(), clock=lambda: now_s)
    total, part_size = 1024 * MIB, 9 * MIB
    bar.observe(events.Begun(total, 114, resumed=40 * part_size, resumed_parts=40))
    bar.lines(COLUMNS, ROWS)
    for number in range(41, 80):
        now_s += 0.2
        bar.observe(events.PartStored(number, part_size))
        bar.lines(COLUMNS, ROWS)
    bar.observe(events.Retried(81, 1, "UploadPart of media/video.iso: 503 SlowDown", 1.5))
    for number, sent in ((80, 7.4), (82, 5.1), (83, 2.9)):
        bar.observe(events.PartSent(number, int(sent * MIB)))
    return bar.lines(COLUMNS, ROWS)


def _recorder() -> Console:
    # The file says it is UTF-8: what is drawn must not depend on who draws it.
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    return Console(record=True, file=file, force_terminal=True, width=COLUMNS, color_system="truecolor")


def draw(path: Path) -> None:
    """Write the bar as an SVG, beneath the command that draws it."""
    console = _recorder()
    console.print("[bold]$[/bold] obsup upload video.iso media/video.iso -j 5", highlight=False)
    for line in half_way(console):
        console.print(line, no_wrap=True)
    console.save_svg(str(path), title="obsup", clear=False)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))

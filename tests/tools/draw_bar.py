"""Draw the picture of the bar for README.md: ``python -m tests.tools.draw_bar man/progress.svg``."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console

from obsup import events
from obsup.cli.bar import Bar
from obsup.units import MIB


def draw(path: Path) -> None:
    """Write an SVG of an upload of 1 GiB, resumed at part 41 of 114 and a good way on."""
    console = Console(record=True, file=io.StringIO(), force_terminal=True, width=100)
    console.print("[bold]$[/bold] obsup upload video.iso media/video.iso", highlight=False)
    now_s = 0.0
    bar = Bar("video.iso", console=console, clock=lambda: now_s)
    total, part_size = 1024 * MIB, 9 * MIB
    bar.observe(events.Begun(total, 114, resumed=40 * part_size, resumed_parts=40))
    for number in range(41, 80):
        now_s += 0.2
        bar.observe(events.PartStored(number, part_size))
        bar.progress(number * part_size, total, now_s)
    console.print(bar.picture())
    console.save_svg(str(path), title="obsup", clear=False)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))

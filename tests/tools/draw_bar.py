"""Draw the picture of the progress bar for README.md: ``python -m tests.tools.draw_bar man/progress.svg``."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console

from obsup import events
from obsup.cli.display.bar import Bar
from obsup.cli.display.meter import TransferMeter
from obsup.engine.job.progress import ProgressTally
from obsup.units import MIB

COLUMNS, ROWS = 120, 15
PART = 9 * MIB


def half_way(name: str = "video.iso", *, console: Console | None = None) -> Bar:
    """Return the bar of an upload of 1 GiB: 40 of 114 parts resumed, 39 sent, four in flight."""
    now_s = 0.0
    meter = TransferMeter(lambda: now_s)
    tally = ProgressTally(meter.progress, meter.observe, lambda: now_s)
    tally(events.Begun(1024 * MIB, 114, resumed=40 * PART, resumed_parts=40))
    for number in range(41, 80):
        now_s += 0.2
        tally(events.PartStored(number, PART))
        meter.read()
    slow_down = "UploadPart of media/video.iso: 503 SlowDown (request id 01)"
    tally(events.Retried(81, 4, slow_down, 28.4))
    tally(events.Retried(83, 1, slow_down, 0.2))
    for number, sent in ((80, 7.4), (82, 5.1), (83, 2.9)):
        now_s += 0.1
        tally(events.PartSent(number, int(sent * MIB), PART))
    return Bar(name, meter, console=console or _recorder())


def _recorder() -> Console:
    # Always UTF-8: the picture must not depend on the locale.
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    return Console(record=True, file=file, force_terminal=True, width=COLUMNS, color_system="truecolor")


def draw(path: Path) -> None:
    """Write an SVG of the bar and the command that shows it."""
    console = _recorder()
    console.print("[bold]$[/bold] obsup upload video.iso media/video.iso -j 5", highlight=False)
    console.print(half_way(console=console).renderable(COLUMNS, ROWS))
    console.save_svg(str(path), title="obsup", clear=False)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))

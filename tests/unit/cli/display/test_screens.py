"""What a terminal of 40, 80 and 200 columns shows in five situations, as recorded in screens.txt.

After an intended change: look at the new screens, then write the file with
``python -m tests.unit.cli.display.test_screens``.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from obsup import events
from obsup.cli.display.bar import Bar
from obsup.cli.display.meter import TransferMeter
from obsup.cli.report.fields import summary
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.result import Result
from obsup.model import Target
from obsup.units import MIB

RECORDED = Path(__file__).with_name("screens.txt")
PART = 16 * MIB
PARTS = 64
WIDTHS = (40, 80, 200)
ROWS = 24
RATE = 8 * MIB  # bytes per second
SLOW_DOWN = "UploadPart of backups/db.tar: 503 SlowDown (request id 01)"
RESET = "UploadPart of backups/db.tar: the connection was reset (request id 02)"


def situations() -> dict[str, list[events.Event]]:
    """Return what has happened before each screen, after 40 of 64 parts were stored."""
    in_flight = [events.PartSent(number, int(share * PART), PART) for number, share in ((41, 0.9), (42, 0.4))]
    return {
        "sending": [*in_flight, events.PartSent(43, MIB, PART)],
        "throttled": [events.Retried(number, 2, SLOW_DOWN, 8.0) for number in (41, 42, 43)],
        "one part failing": [*in_flight, events.Retried(43, 5, RESET, 30.0)],
        "verifying": [events.PartStored(number, PART) for number in range(41, PARTS + 1)],
    }


def screen(happened: Iterable[events.Event], columns: int) -> list[str]:
    """Return the lines of a window of this width, without colours."""
    now_s = 0.0
    meter = TransferMeter(lambda: now_s)
    tally = ProgressTally(meter.progress, meter.observe, lambda: now_s)
    tally(events.Begun(PARTS * PART, PARTS))
    for number in range(1, 41):
        now_s += PART / RATE
        tally(events.PartStored(number, PART))
        meter.read()
    for event in happened:
        now_s += 0.2
        tally(event)
    file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    console = Console(file=file, force_terminal=True, color_system=None)
    return Bar("db.tar", meter, console=console).lines(columns, ROWS)


def done() -> str:
    """Return the line that stays when the upload is finished."""
    return summary(
        Result(
            Target(provider="s3", endpoint="https://s3.example.com", bucket="backups", key="db.tar"),
            upload_id="1",
            etag='"0-64"',
            verified="etag",
            size=PARTS * PART,
            part_size=PART,
            parts=PARTS,
            sent_parts=PARTS,
            sent_bytes=PARTS * PART,
            seconds=128.0,
        )
    )


def all_screens() -> str:
    """Return every screen below its heading."""
    shown = [
        "\n".join([f"## {name}, {columns} columns", *screen(happened, columns)])
        for name, happened in situations().items()
        for columns in WIDTHS
    ]
    return "\n\n".join([*shown, f"## done\n{done()}"]) + "\n"


def test_the_screens_are_as_recorded() -> None:
    """A change of the display shows here, in full."""
    assert all_screens() == RECORDED.read_text(encoding="utf-8")


if __name__ == "__main__":
    RECORDED.write_text(all_screens(), encoding="utf-8")

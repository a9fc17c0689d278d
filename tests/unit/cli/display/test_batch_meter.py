"""What is shown of many files: files and bytes, counted while walking, the large ones in flight beneath."""

from __future__ import annotations

from obsup import events
from obsup.cli.display.batch_meter import BatchMeter
from obsup.cli.display.lines import Lines
from obsup.cli.display.notices import Notices
from obsup.units import MIB


def told(*happened: events.Event) -> BatchMeter:
    """Return a gauge that heard of this."""
    meter = BatchMeter()
    for event in happened:
        meter.observe(event)
    return meter


def test_totals_grow_while_walking() -> None:
    """Until the walk is over there may be more, and that shows."""
    meter = told(
        events.Counted(10, 100 * MIB, is_all=False),
        events.OfFile("a", 40 * MIB, events.PartStored(1, 10 * MIB)),
        events.FileEnded("b", 20 * MIB, "skipped"),
        events.FileEnded("c", 5, "failed", "why"),
    )
    reading = meter.read(0.0)
    assert (reading.done, reading.resumed, reading.failed) == (30 * MIB, 20 * MIB, 1)
    assert reading.progress == "1/10+ files"
    meter.observe(events.Counted(12, 120 * MIB, is_all=True))
    assert meter.read(0.0).progress == "1/12 files"


def test_only_large_files_are_shown_in_flight() -> None:
    """The largest first; a file that ended is gone, and its bytes stay counted once."""
    meter = told(
        events.OfFile("small", 4096, events.PartSent(1, 10)),
        events.OfFile("large", 40 * MIB, events.PartSent(1, MIB)),
        events.OfFile("larger", 80 * MIB, events.PartSent(3, 2 * MIB)),
    )
    assert [one.name for one in meter.read(0.0).in_flight] == ["larger", "large"]
    meter.observe(events.OfFile("large", 40 * MIB, events.PartStored(1, 40 * MIB)))
    meter.observe(events.FileEnded("large", 40 * MIB, "sent"))
    reading = meter.read(0.0)
    assert [one.name for one in reading.in_flight] == ["larger"]
    assert reading.done == 42 * MIB + 10


def test_what_earlier_runs_stored_is_not_in_the_rate() -> None:
    """A resumed file counts what it had as resumed."""
    meter = told(
        events.Counted(1, 100 * MIB, is_all=True),
        events.OfFile("a", 100 * MIB, events.Begun(100 * MIB, 10, 60 * MIB, 6)),
    )
    meter.read(0.0)
    meter.observe(events.OfFile("a", 100 * MIB, events.PartStored(7, 10 * MIB)))
    reading = meter.read(5.0)
    assert (reading.resumed, reading.done, reading.rate) == (60 * MIB, 70 * MIB, 2 * MIB)


def test_a_line_for_logs() -> None:
    """Files in place of parts, and how many failed."""
    lines = Lines(Notices(quiet=False, verbose=False), "b/p/", meter=BatchMeter(), clock=lambda: 0.0)
    lines.observe(events.Counted(3, 30, is_all=True))
    lines.observe(events.FileEnded("a", 10, "sent"))
    lines.observe(events.FileEnded("b", 0, "failed", "why"))
    assert lines.line().endswith("1 failed, 1 of 3 files")

"""How many files are counted while they are being found and sent."""

from __future__ import annotations

import pytest

from obsup import events
from obsup.cli.display.batch_meter import BatchMeter
from obsup.cli.display.progress_text import progress_line
from obsup.units import MIB


class Batch:
    """An upload of many files on a clock that the test sets."""

    def __init__(self, *happened: events.Event) -> None:
        self.now_s = 0.0
        self.meter = BatchMeter(lambda: self.now_s)
        for event in happened:
            self.meter.observe(event)


def test_totals_grow_while_files_are_being_found() -> None:
    """A plus shows that more may follow."""
    meter = Batch(
        events.Counted(10, 100 * MIB, is_all=False),
        events.OfFile("a", 40 * MIB, events.PartStored(1, 10 * MIB)),
        events.FileEnded("b", 20 * MIB, "skipped"),
        events.FileEnded("c", 5, "failed", "why"),
    ).meter
    reading = meter.read()
    assert (reading.confirmed, reading.resumed, reading.failed) == (30 * MIB, 20 * MIB, 1)
    assert "1/10+ files" in progress_line("b/p/", reading)
    meter.observe(events.Counted(12, 120 * MIB, is_all=True))
    assert "1/12 files" in progress_line("b/p/", meter.read())


def test_a_list_that_fails_is_named_until_the_first_file() -> None:
    """Nothing else shows what the run waits for."""
    meter = Batch(events.Retried(None, 1, "ListObjects of b: 503 SlowDown", 3.0)).meter
    assert "503 SlowDown; retrying" in progress_line("b/p/", meter.read())
    meter.observe(events.OfFile("a", 9, events.PartSent(1, 9, 9)))
    assert "retrying" not in progress_line("b/p/", meter.read())


def test_only_large_files_are_shown_while_they_are_sent() -> None:
    """The largest first; a finished file is not shown, and its bytes are counted once."""
    meter = Batch(
        events.OfFile("small", 4096, events.PartSent(1, 10, 4096)),
        events.OfFile("large", 40 * MIB, events.PartSent(1, MIB, 40 * MIB)),
        events.OfFile("larger", 80 * MIB, events.PartSent(3, 2 * MIB, 9 * MIB)),
    ).meter
    assert [(one.label, one.size) for one in meter.read().sending] == [
        ("larger", 80 * MIB),
        ("large", 40 * MIB),
    ]
    meter.observe(events.OfFile("large", 40 * MIB, events.PartStored(1, 40 * MIB)))
    meter.observe(events.FileEnded("large", 40 * MIB, "sent"))
    reading = meter.read()
    assert [one.label for one in reading.sending] == ["larger"]
    assert (reading.confirmed, reading.in_flight) == (40 * MIB, 2 * MIB + 10)


def test_a_file_shows_the_part_that_waits() -> None:
    """Its size and bytes are those of the whole file."""
    file = "a", 40 * MIB
    meter = Batch(
        events.OfFile(*file, events.PartSent(1, MIB, 9 * MIB)),
        events.OfFile(*file, events.Retried(2, 1, "UploadPart of b/a: 503 SlowDown", 3.0)),
    ).meter
    reading = meter.read()
    (shown,) = reading.sending
    assert (shown.sent, shown.size, shown.reason, shown.retry_at_s) == (MIB, 40 * MIB, "503 SlowDown", 3.0)
    assert (reading.waiting, reading.retrying) == (1, 0)


@pytest.mark.parametrize("number", [1, None])
def test_a_line_shows_why_a_file_is_retried(number: int | None) -> None:
    """A small file, too; a part of it, or another request."""
    retried = events.Retried(number, 1, "InitiateMultipartUpload of b/a: 503 SlowDown", 3.0)
    meter = Batch(events.OfFile("a", 10, retried)).meter
    assert progress_line("b/p/", meter.read()).endswith(", last failure: 503 SlowDown")
    meter.observe(events.FileEnded("a", 10, "sent"))
    assert "503" not in progress_line("b/p/", meter.read())


def test_resumed_bytes_are_not_in_the_rate() -> None:
    """What earlier runs stored of a file counts as resumed."""
    batch = Batch(
        events.Counted(1, 100 * MIB, is_all=True),
        events.OfFile("a", 100 * MIB, events.Begun(100 * MIB, 10, 60 * MIB, 6)),
    )
    batch.meter.read()
    batch.meter.observe(events.OfFile("a", 100 * MIB, events.PartStored(7, 10 * MIB)))
    batch.now_s = 5.0
    reading = batch.meter.read()
    assert (reading.resumed, reading.confirmed, reading.rate) == (60 * MIB, 70 * MIB, 2 * MIB)


def test_a_line_for_logs_counts_files() -> None:
    """Files instead of parts, and how many failed."""
    meter = Batch(
        events.Counted(3, 30, is_all=True),
        events.FileEnded("a", 10, "sent"),
        events.FileEnded("b", 0, "failed", "why"),
    ).meter
    assert progress_line("b/p/", meter.read()) == (
        "b/p/: 33%, 10 B/30 B confirmed, 0:00 elapsed, 1/3 files, 1 failed"
    )

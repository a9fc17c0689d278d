"""What the bar says, at every width, without a terminal."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from obsup import events
from obsup.cli.display.bar import Bar
from obsup.cli.display.meter import TransferMeter
from obsup.units import MIB

PART = 9 * MIB


def half_way(name: str = "video.iso") -> Bar:
    """A bar of an upload of 1 GiB: 40 of 114 parts resumed, 39 sent, three in flight, one of them waiting."""
    now_s = 0.0
    bar = Bar(name, clock=lambda: now_s)
    bar.observe(events.Begun(1024 * MIB, 114, resumed=40 * PART, resumed_parts=40))
    bar.lines(80, 24)
    for number in range(41, 80):
        now_s += 0.2
        bar.observe(events.PartStored(number, PART))
        bar.lines(80, 24)
    bar.observe(events.PartSent(80, 3 * MIB))
    bar.observe(events.PartSent(82, 5 * MIB))
    bar.observe(events.Retried(81, 1, "UploadPart of media/video.iso: 503 SlowDown (request id 01)", 1.5))
    return bar


@pytest.mark.parametrize(
    "name", ["video.iso", "a-very-long-name-of-a-database-dump.tar.zst", "映画と音楽のアーカイブ.tar", "x"]
)
def test_no_line_is_wider_than_its_window(name: str) -> None:
    """Whatever the window and the name, in cells."""
    bar = half_way(name)
    for columns in range(2, 220):
        for line in bar.lines(columns, 24):
            assert cell_len(line.plain) < columns


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            120,
            "video.iso ════════━━━━━━━━━────────  70% 719.0 MiB/1.0 GiB 46.0 MiB/s ETA 0:07 79/114 parts "
            "(360.0 MiB resumed) 1 retry",
        ),
        (80, "video.iso ════━━━━━─────  70% 719.0M/1.0G 46.0M/s ETA 0:07 79/114 parts 1 retry"),
        (40, "════━━━━━────  70% 719.0M/1.0G ETA 0:07"),
        (30, " 70% 719.0M/1.0G ETA 0:07"),
    ],
)
def test_a_narrow_line_gives_up_the_least_needed(columns: int, expected: str) -> None:
    """Bytes, rate, time left, parts and retries at 80 columns; bytes and time left at 30."""
    assert half_way().lines(columns, 24)[0].plain == expected


def test_the_parts_take_no_more_than_a_third_of_the_window() -> None:
    """With more in flight than lines, the last line counts the others."""
    bar = Bar("x")
    bar.observe(events.Begun(1024 * MIB, 114))
    for number in range(1, 33):
        bar.observe(events.PartSent(number, MIB))
    lines = [line.plain for line in bar.lines(80, 12)]
    assert len(lines) == 1 + 4
    assert lines[-1] == "  and 29 more"
    assert len(bar.lines(80, 9)) == 1


def test_a_stream_shows_no_share_and_no_end() -> None:
    """Nobody knows how long it is: the time so far stands where another shows the time left."""
    bar = Bar("-")
    bar.observe(events.Begun(None, None))
    bar.observe(events.PartStored(1, PART))
    assert bar.lines(80, 24)[0].plain == "- 9.0 MiB 0:00 elapsed 1 part"


def test_before_the_plan_stands_it_says_what_it_does() -> None:
    """Resuming may mean hashing what is stored: no bytes move, and the line says so."""
    assert Bar("video.iso").lines(80, 24)[0].plain == "video.iso looking at what is there"


def test_with_all_parts_stored_it_waits_for_the_store() -> None:
    """Assembling takes the stores minutes: neither a rate nor an end."""
    bar = Bar("x")
    bar.observe(events.Begun(2 * PART, 2, resumed=PART, resumed_parts=1))
    bar.observe(events.PartStored(2, PART))
    assert bar.lines(80, 24)[0].plain.endswith(
        "100% 18.0 MiB/18.0 MiB assembling 2/2 parts (9.0 MiB resumed)"
    )


def test_the_rate_is_that_of_the_last_seconds_and_never_of_what_was_resumed() -> None:
    """A line that stands still shows it within ten seconds."""
    meter = TransferMeter()
    meter.observe(events.Begun(1024 * MIB, 114, resumed=100 * MIB, resumed_parts=11))
    assert meter.read(0.0).rate is None
    assert meter.read(1.0).rate == 0
    meter.observe(events.PartSent(12, 8 * MIB))
    assert meter.read(2.0).rate == 4 * MIB
    for second in range(3, 12):
        meter.read(float(second))
    assert meter.read(12.0).rate == 0
    assert meter.read(12.0).done == 108 * MIB


def test_a_retry_takes_back_what_it_had_sent() -> None:
    """The bar tells the truth: fewer bytes, and a rate of nothing rather than a negative one."""
    meter = TransferMeter()
    meter.observe(events.Begun(1024 * MIB, 114))
    meter.read(0.0)
    meter.observe(events.PartSent(1, 8 * MIB))
    assert meter.read(1.0).done == 8 * MIB
    meter.observe(events.Retried(1, 1, "the connection was closed", 0.5))
    reading = meter.read(2.0)
    assert (reading.done, reading.rate, reading.retries) == (0, 0, 1)
    assert reading.in_flight[0].waiting == "the connection was closed"


def test_events_may_be_lost_or_come_late() -> None:
    """A part that is stored is stored, whatever is said of it afterwards."""
    meter = TransferMeter()
    meter.observe(events.Begun(2 * PART, 2))
    meter.observe(events.PartStored(1, PART))
    meter.observe(events.PartSent(1, 5))
    meter.observe(events.Retried(1, 1, "late", 0.0))
    reading = meter.read(1.0)
    assert (reading.done, reading.parts_done, reading.in_flight) == (PART, 1, ())

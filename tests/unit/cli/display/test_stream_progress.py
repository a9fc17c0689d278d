"""Progress of what has no end that anybody knows: bytes, rate, and the time so far."""

from __future__ import annotations

from obsup import events
from obsup.cli.display.lines import Lines
from obsup.cli.display.meter import TransferMeter
from obsup.cli.display.notices import Notices
from obsup.units import MIB


def fed(total: int | None) -> TransferMeter:
    """Return a gauge of a transfer that began 100 s ago and has stored 9 MiB in the last second."""
    meter = TransferMeter()
    meter.read(100.0)
    meter.observe(events.Begun(total, None))
    meter.read(199.0)
    meter.observe(events.PartStored(1, 9 * MIB))
    return meter


def test_a_stream_shows_the_time_so_far() -> None:
    """No bar, no share, no estimate of an end."""
    reading = fed(None).read(200.0)
    assert reading.time == "1:40 elapsed"
    assert (reading.share, reading.left_s) == (None, None)


def test_a_known_size_shows_the_time_left() -> None:
    """With --expect-size, or of a file."""
    assert fed(18 * MIB).read(200.0).time == "ETA 0:01"


def test_a_line_of_the_log() -> None:
    """What cron's mail shows every 30 seconds."""
    lines = Lines(Notices(quiet=False, verbose=False), "shop.dump", meter=fed(None), clock=lambda: 200.0)
    assert lines.line() == "shop.dump: 9.0 MiB, 9.0 MiB/s, 1:40 elapsed, 1 part"

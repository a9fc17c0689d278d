"""How the bytes and parts of one transfer are counted."""

from __future__ import annotations

from obsup import events
from obsup.cli.display.meter import Reading, TransferMeter
from obsup.engine.job.progress import ProgressTally
from obsup.units import MIB

PART = 9 * MIB


class Transfer:
    """A transfer on a clock that the test sets, measured as the engine reports it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.meter = TransferMeter(lambda: self.now_s)
        self._tally = ProgressTally(self.meter.progress, self.meter.observe, lambda: self.now_s)

    def at(self, now_s: float, *happened: events.Event) -> Reading:
        """Return the state at *now_s*, when these events happen."""
        self.now_s = now_s
        for event in happened:
            self._tally(event)
        return self.meter.read()


def test_the_rate_is_that_of_the_last_seconds_without_resumed_bytes() -> None:
    """If no byte moves for ten seconds, the rate is 0."""
    transfer = Transfer()
    begun = events.Begun(1024 * MIB, 114, resumed=100 * MIB, resumed_parts=11)
    assert transfer.at(0.0, begun).rate is None
    assert transfer.at(1.0).rate == 0
    assert transfer.at(2.0, events.PartSent(12, 8 * MIB, PART)).rate == 4 * MIB
    for second in range(3, 12):
        transfer.at(float(second))
    reading = transfer.at(12.0)
    assert (reading.rate, reading.confirmed, reading.transferred) == (0, 100 * MIB, 108 * MIB)


def test_a_failed_attempt_loses_its_bytes() -> None:
    """Fewer bytes are shown as transferred; the rate is 0, not negative."""
    transfer = Transfer()
    transfer.at(0.0, events.Begun(1024 * MIB, 114))
    assert transfer.at(1.0, events.PartSent(1, 8 * MIB, PART)).in_flight == 8 * MIB
    reading = transfer.at(2.0, events.Retried(1, 1, "the connection was closed", 0.5))
    assert (reading.transferred, reading.rate, reading.waiting, reading.retrying) == (0, 0, 1, 0)
    (part,) = reading.sending
    assert (part.attempt, part.reason, part.size, part.retry_at_s) == (
        2,
        "the connection was closed",
        PART,
        2.5,
    )
    reading = transfer.at(3.0, events.PartSent(1, 5, PART))
    assert (reading.waiting, reading.retrying) == (0, 1)
    assert transfer.at(4.0, events.PartStored(1, PART)).retrying == 0


def test_events_may_be_lost_or_come_late() -> None:
    """A part that is stored stays stored."""
    reading = Transfer().at(
        1.0,
        events.Begun(2 * PART, 2),
        events.PartStored(1, PART),
        events.PartSent(1, 5, PART),
        events.Retried(1, 1, "late", 0.0),
    )
    assert (reading.transferred, reading.parts_done, reading.sending) == (PART, 1, ())


def test_a_new_plan_starts_the_count_again() -> None:
    """After the source changed, this run's parts count as resumed."""
    transfer = Transfer()
    transfer.at(0.0, events.Begun(2 * PART, 2), events.PartStored(1, PART), events.PartSent(2, 5, PART))
    reading = transfer.at(5.0, events.Begun(2 * PART, 2, resumed=PART, resumed_parts=1))
    assert (reading.confirmed, reading.in_flight, reading.parts_done, reading.rate) == (PART, 0, 1, None)


def test_a_stream_has_no_share_and_no_end() -> None:
    """Its total is unknown; the elapsed time counts from its start."""
    transfer = Transfer()
    transfer.at(0.0, events.Begun(None, None))
    reading = transfer.at(100.0, events.PartStored(1, PART))
    assert (reading.share, reading.eta_s, reading.elapsed_s) == (None, None, 100.0)


def test_a_known_size_has_an_eta() -> None:
    """Until everything is sent."""
    transfer = Transfer()
    transfer.at(0.0, events.Begun(2 * PART, None))
    assert transfer.at(1.0, events.PartStored(1, PART)).eta_s == 1.0
    assert transfer.at(2.0, events.PartSent(2, PART, PART)).eta_s is None


def test_an_empty_file_is_not_done_before_it_is_verified() -> None:
    """0 of 0 bytes are 0 %."""
    assert Transfer().at(0.0, events.Begun(0, 1)).share == 0.0

"""The progress callback is computed from the events of the parts."""

from __future__ import annotations

from obsup import events
from obsup.engine.job.progress import ProgressTally


def test_the_callback_reports_that_a_part_is_sent_completely() -> None:
    """Although less than 50 ms have passed since the last call: the store may need minutes to confirm it."""
    calls: list[tuple[int, int | None, float]] = []
    tally = ProgressTally(lambda *values: calls.append(values), monotonic=lambda: 5.0)
    tally(events.Begun(100, 2))
    tally(events.PartSent(1, 50, 50))
    assert calls[-1] == (50, 100, 0.0)


def test_the_callback_reports_that_a_failed_attempt_lost_its_bytes() -> None:
    """No other event has to follow: a part may wait a minute before it is sent again."""
    calls: list[tuple[int, int | None, float]] = []
    tally = ProgressTally(lambda *values: calls.append(values), monotonic=lambda: 5.0)
    tally(events.Begun(100, 2))
    tally(events.PartStored(1, 50))
    tally(events.PartSent(2, 30, 50))
    tally(events.Retried(2, 1, "the connection was closed", 60.0))
    assert calls[-1] == (50, 100, 0.0)


def test_parts_in_flight_while_the_source_changed_are_sent_by_this_run() -> None:
    """Their receipts were refused, so that only the list of the store shows them; they were not stored before."""
    tally = ProgressTally(None)
    tally(events.Begun(300, 6, resumed=50, resumed_parts=1))
    tally(events.PartStored(2, 50))
    tally(events.Begun(300, 6, resumed=200, resumed_parts=4))
    assert (tally.sent_parts, tally.sent_bytes) == (3, 150)
    tally(events.PartStored(5, 50))
    tally(events.PartStored(6, 50))
    assert (tally.sent_parts, tally.sent_bytes) == (5, 250)

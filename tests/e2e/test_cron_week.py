"""A week of obsup-cron(7) by a false clock: every hour of seven nights, and everything goes wrong once.

The clock of all that cron begins is moved from hour to hour, and the store goes by the same one.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.cron_machine import DUMPS, Nights, kill_tree
from tests.support.readme import CRON_PAGE, ROOT, block
from tests.support.shell import Outcome
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


class Calendar:
    """A clock that is set by hand, and goes on from there: for this process, and for those with its environment."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self._offset_s = 0.0
        self.set(MONDAY)
        self.bin = folder / "bin"
        self.bin.mkdir()
        obsup = self.bin / "obsup"
        program = (
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.support.false_clock import run; run()"
        )
        obsup.write_text(f'#!/bin/sh\nexec {sys.executable} -c {shlex.quote(program)} "$@"\n')
        obsup.chmod(0o755)
        self.environment = {
            "FALSE_CLOCK": str(self._file),
            "TZ": "UTC",
            "PATH": f"{self.bin}:/usr/bin:/bin",
        }

    def set(self, moment: datetime) -> None:
        """Have it be *moment* now."""
        self._offset_s = moment.timestamp() - time.time()
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{self._offset_s}")
        fresh.replace(self._file)

    def now_s(self) -> float:
        """Epoch seconds by this clock."""
        return time.time() + self._offset_s


class Week:
    """Cron for a week. ``mails`` are what its runs said, by day and hour; a run that says nothing sends none."""

    def __init__(self, nights: Nights, calendar: Calendar) -> None:
        self.nights = nights
        self.calendar = calendar
        self.mails: dict[str, str] = {}
        self.codes: dict[str, int] = {}
        crontab = block(CRON_PAGE, "crontab").splitlines()[-2:]
        (minute, hours), (self._minute, self._look) = (line.split(None, 5)[:2] for line in crontab)
        first, last = (int(hour) for hour in hours.split("-"))
        self.hours = [timedelta(hours=hour, minutes=int(minute)) for hour in range(first, last + 1)]
        self.morning = timedelta(hours=int(self._look), minutes=int(self._minute))
        self._verify = nights.folder / "morning"
        line = crontab[1].split(None, 5)[5]
        self._verify.write_text(line.replace("/srv/dumps", str(nights.dumps)))

    def evening(self, day: int) -> None:
        """Write the dumps of the night of *day*, from 1."""
        self.nights.dump(day)

    def hour(self, day: int, at: timedelta, before: str = "", **environment: str) -> Outcome:
        """Run the script at this time of the night."""
        self.calendar.set(MONDAY + timedelta(days=day - 1) + at)
        return self._take(day, at, self.nights.hour(before, **environment))

    def night(self, day: int, *, but: int = 0, to: int | None = None) -> None:
        """Run the hours of the night: all of them, or those from number *but*, before number *to*."""
        for at in self.hours[but:to]:
            self.hour(day, at)

    def look(self, day: int) -> int:
        """Look in the morning; return the exit code."""
        self.calendar.set(MONDAY + timedelta(days=day - 1) + self.morning)
        script = self.nights.script
        self.nights.script = self._verify
        try:
            return self._take(day, self.morning, self.nights.hour()).code
        finally:
            self.nights.script = script

    def _take(self, day: int, at: timedelta, outcome: Outcome) -> Outcome:
        when = f"{MONDAY + timedelta(days=day - 1) + at:%a %H:%M}"
        self.codes[when] = outcome.code
        if outcome.out or outcome.err:
            self.mails[when] = outcome.out + outcome.err
        return outcome


@pytest.fixture
def week(tmp_path: Path, home: Path) -> Iterator[Week]:
    """The machine, and its store, before Monday."""
    calendar = Calendar(tmp_path)
    with Sandbox(clock=calendar.now_s) as sandbox:
        nights = Nights(tmp_path, home, sandbox)
        nights.environment |= calendar.environment
        yield Week(nights, calendar)


def test_a_week(week: Week, home: Path) -> None:
    """Every object whole, nothing left over anywhere, and a mail only where somebody had to look."""
    nights, sandbox = week.nights, week.nights.sandbox

    # Monday: a quiet night. The first hour sends; the others send nothing.
    week.evening(1)
    week.night(1, to=1)
    nights.forget()
    week.night(1, but=1)
    assert not nights.parts_sent()
    assert week.look(1) == 0

    # Tuesday: the line is so slow that the first run is still at work when the second begins.
    week.evening(2)
    sandbox.add_fault("slow=100000,op=part,key=*files.dump,times=5")
    nights.forget()
    week.calendar.set(MONDAY + timedelta(days=1) + week.hours[0])
    with nights.begin() as first:
        wait_for(nights.parts_sent, within_s=30)
        week.hour(2, week.hours[1])
        assert first.poll() is None
        assert first.communicate(timeout=60) == ("", "")
    assert set(nights.parts_sent().values()) == {1}
    week.night(2, but=2)
    assert week.look(2) == 0

    # Wednesday: cron comes late, and the window closes in the middle of a file. The morning sees that it is missing.
    week.evening(3)
    sandbox.add_fault("delay=40,op=part,part=3,key=*files.dump")
    nights.forget()
    week.hour(3, timedelta(hours=5, minutes=54, seconds=56))
    assert {number for key, number in nights.parts_sent() if key == "nightly/files.dump"} == {1, 2}
    assert week.look(3) == 65

    # Thursday: by then there is another dump. Keys expire in the middle of it; then their helper fails.
    week.evening(4)
    sandbox.add_fault("expire-token,op=part,part=2")
    week.night(4, to=2)
    asked = nights.folder / "asked"
    nights.let_helper(f"test ! -e {asked} || exit 1; touch {asked}")
    week.evening(5)
    sandbox.add_fault("expire-token,op=part,part=3")
    assert week.hour(4, week.hours[2]).code == 77
    nights.let_helper(":")
    week.night(4, but=3)
    assert week.look(4) == 0

    # Friday: the disk is full, and the line fails. Later the line is there again, the room is not.
    week.evening(6)
    sandbox.add_fault("reset,op=part,part=4,times=always")
    week.hour(5, week.hours[0], "ulimit -f 0;", OBSUP_RETRY_FOR="1s")
    sandbox.clear_faults()
    nights.forget()
    week.hour(5, week.hours[1], "ulimit -f 0;")
    assert {number for _, number in nights.parts_sent()} == {4, 5}
    week.night(5, but=2)
    assert week.look(5) == 0

    # Saturday: the machine goes down in the middle of a part, and comes up again.
    week.evening(7)
    sandbox.add_fault("stall=40,op=part,part=3")
    nights.forget()
    week.calendar.set(MONDAY + timedelta(days=5) + week.hours[0])
    with nights.begin("set -m;") as process:
        wait_for(lambda: len(nights.parts_sent()) >= 2, within_s=30)
        kill_tree(process.pid)
        process.communicate(timeout=60)
    sandbox.clear_faults()
    week.night(6, but=1)
    assert set(nights.parts_sent().values()) == {1}
    assert week.look(6) == 0

    # Sunday: the line fails all night; whoever looks in the morning hears of it. On Monday there are new dumps.
    week.evening(8)
    sandbox.add_fault("reset,op=part,part=2,times=always")
    for at in week.hours:
        week.hour(7, at, OBSUP_RETRY_FOR="1s")
    assert week.look(7) == 65
    sandbox.clear_faults()
    week.evening(9)
    week.night(8)
    assert week.look(8) == 0

    assert list(week.mails) == ["Wed 06:05", "Thu 02:15", "Sun 06:05"]
    assert {code for when, code in week.codes.items() if when not in week.mails} == {0}
    assert "credential_process" in week.mails["Thu 02:15"]
    assert nights.is_up_to_date()
    assert sorted(path.name for path in nights.dumps.iterdir()) == sorted(DUMPS)
    # Of each object it is known for a month which upload made it; of uploads under way, nothing.
    assert (
        len(list(home.rglob("uploads/*.json"))) == len(list(home.rglob("uploads/*.done.json"))) == len(DUMPS)
    )
    # What the weekly look would find: nothing, not even after a month.
    week.calendar.set(MONDAY + timedelta(days=40))
    nights.script = nights.folder / "weekly"
    nights.script.write_text(block(CRON_PAGE, "weekly"))
    assert (nights.hour().code, sandbox.uploads()) == (0, [])

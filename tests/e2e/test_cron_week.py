"""A simulated week of obsup-cron(7): every hour of seven nights, with a different problem each night.

The clock of every run and of the store is set from hour to hour.
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
from tests.support.cron_machine import DUMPS, CronMachine, kill_tree
from tests.support.readme import CRON_PAGE, ROOT, block
from tests.support.shell import Outcome
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


class Calendar:
    """A clock that can be set and then continues, for this process and for processes with its environment."""

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
        """Set the clock to *moment*."""
        self._offset_s = moment.timestamp() - time.time()
        new_file = self._file.with_suffix(".new")
        new_file.write_text(f"{self._offset_s}")
        new_file.replace(self._file)

    def now_s(self) -> float:
        """Return the seconds since the epoch on this clock."""
        return time.time() + self._offset_s


class Week:
    """The runs of a week. ``mails`` is what they printed, by day and hour; a run that prints nothing sends no mail."""

    def __init__(self, machine: CronMachine, calendar: Calendar) -> None:
        self.machine = machine
        self.calendar = calendar
        self.mails: dict[str, str] = {}
        self.codes: dict[str, int] = {}
        crontab = block(CRON_PAGE, "crontab").splitlines()[-2:]
        (minute, hours), (verify_minute, verify_hour) = (entry.split(None, 5)[:2] for entry in crontab)
        first, last = (int(hour) for hour in hours.split("-"))
        self.hours = [timedelta(hours=hour, minutes=int(minute)) for hour in range(first, last + 1)]
        self.verify_time = timedelta(hours=int(verify_hour), minutes=int(verify_minute))
        self._verify_script = machine.folder / "morning"
        command = crontab[1].split(None, 5)[5]
        self._verify_script.write_text(command.replace("/srv/dumps", str(machine.dumps)))

    def write_dumps(self, day: int) -> None:
        """Write the dumps before the night of *day*, counted from 1."""
        self.machine.write_dumps(day)

    def run(self, day: int, at: timedelta, before: str = "", **environment: str) -> Outcome:
        """Run the script at the time *at* of the night of *day*."""
        self.calendar.set(MONDAY + timedelta(days=day - 1) + at)
        return self._record(day, at, self.machine.run(before, **environment))

    def run_hours(self, day: int, *, first: int = 0, end: int | None = None) -> None:
        """Run the script at each hour of the night, from number *first* to before number *end*."""
        for at in self.hours[first:end]:
            self.run(day, at)

    def verify(self, day: int) -> int:
        """Run the verification in the morning; return the exit code."""
        self.calendar.set(MONDAY + timedelta(days=day - 1) + self.verify_time)
        script = self.machine.script
        self.machine.script = self._verify_script
        try:
            return self._record(day, self.verify_time, self.machine.run()).code
        finally:
            self.machine.script = script

    def _record(self, day: int, at: timedelta, outcome: Outcome) -> Outcome:
        when = f"{MONDAY + timedelta(days=day - 1) + at:%a %H:%M}"
        self.codes[when] = outcome.code
        if outcome.out or outcome.err:
            self.mails[when] = outcome.out + outcome.err
        return outcome


@pytest.fixture
def week(tmp_path: Path, home: Path) -> Iterator[Week]:
    """The machine and its store before Monday."""
    calendar = Calendar(tmp_path)
    with Sandbox(clock=calendar.now_s) as sandbox:
        machine = CronMachine(tmp_path, home, sandbox)
        machine.environment |= calendar.environment
        yield Week(machine, calendar)


def test_a_week_of_problems_loses_nothing_and_reports_only_what_needs_attention(
    week: Week, home: Path
) -> None:
    """Every object is complete, no upload or file is left over, and only three runs send a mail."""
    machine, sandbox = week.machine, week.machine.sandbox

    # Monday: no problem. The first run sends the files; the others send nothing.
    week.write_dumps(1)
    week.run_hours(1, end=1)
    machine.reset_count()
    week.run_hours(1, first=1)
    assert not machine.parts_sent()
    assert week.verify(1) == 0

    # Tuesday: the network is slow, so the first run still works when the second starts.
    week.write_dumps(2)
    sandbox.add_fault("slow=30000,op=part,key=*files.dump")
    machine.reset_count()
    week.calendar.set(MONDAY + timedelta(days=1) + week.hours[0])
    with machine.start() as first:
        wait_for(machine.parts_sent, within_s=30)
        week.run(2, week.hours[1])
        assert first.poll() is None
        sandbox.clear_faults()
        assert first.communicate(timeout=60) == ("", "")
    assert set(machine.parts_sent().values()) == {1}
    week.run_hours(2, first=2)
    assert week.verify(2) == 0

    # Wednesday: cron is late, and the time is up in the middle of a file. The verification reports it as missing.
    week.write_dumps(3)
    sandbox.add_fault("delay=40,op=part,part=3,key=*files.dump")
    machine.reset_count()
    week.run(3, timedelta(hours=5, minutes=54, seconds=56))
    assert {number for key, number in machine.parts_sent() if key == "nightly/files.dump"} == {1, 2}
    week.verify(3)  # the exit code is that of the last dump, which may be in place
    assert "nightly/files.dump" in week.mails["Wed 06:05"]

    # Thursday: there is another dump. The keys expire during its upload; then the credential helper fails.
    week.write_dumps(4)
    sandbox.add_fault("expire-token,op=part,part=2")
    week.run_hours(4, end=2)
    marker = machine.folder / "marker"
    machine.write_helper(f"test ! -e {marker} || exit 1; touch {marker}")
    week.write_dumps(5)
    sandbox.add_fault("expire-token,op=part,part=3")
    assert week.run(4, week.hours[2]).code == 77
    machine.write_helper(":")
    week.run_hours(4, first=3)
    assert week.verify(4) == 0

    # Friday: the disk is full and the network fails. Later the network works again, with the disk still full.
    week.write_dumps(6)
    sandbox.add_fault("reset,op=part,part=4,times=always")
    week.run(5, week.hours[0], "ulimit -f 0;", OBSUP_RETRY_FOR="1s")
    sandbox.clear_faults()
    machine.reset_count()
    week.run(5, week.hours[1], "ulimit -f 0;")
    assert {number for _, number in machine.parts_sent()} == {4, 5}
    week.run_hours(5, first=2)
    assert week.verify(5) == 0

    # Saturday: the machine loses power in the middle of a part and restarts.
    week.write_dumps(7)
    sandbox.add_fault("stall=40,op=part,part=3")
    machine.reset_count()
    week.calendar.set(MONDAY + timedelta(days=5) + week.hours[0])
    with machine.start("set -m;") as process:
        wait_for(lambda: len(machine.parts_sent()) >= 2, within_s=30)
        kill_tree(process.pid)
        process.communicate(timeout=60)
    sandbox.clear_faults()
    week.run_hours(6, first=1)
    assert set(machine.parts_sent().values()) == {1}
    assert week.verify(6) == 0

    # Sunday: the network fails all night; the verification reports it. On Monday there are new dumps.
    week.write_dumps(8)
    sandbox.add_fault("reset,op=part,part=2,times=always")
    for at in week.hours:
        week.run(7, at, OBSUP_RETRY_FOR="1s")
    assert week.verify(7) == 65
    sandbox.clear_faults()
    week.write_dumps(9)
    week.run_hours(8)
    assert week.verify(8) == 0

    assert list(week.mails) == ["Wed 06:05", "Thu 02:15", "Sun 06:05"]
    assert {code for when, code in week.codes.items() if when not in week.mails} == {0}
    assert "credential_process" in week.mails["Thu 02:15"]
    assert machine.is_up_to_date()
    assert sorted(path.name for path in machine.dumps.iterdir()) == sorted(DUMPS)
    # The state directory records for a month which upload made each object; no upload is in progress.
    assert (
        len(list(home.rglob("uploads/*.json"))) == len(list(home.rglob("uploads/*.done.json"))) == len(DUMPS)
    )
    # The weekly cleanup finds nothing, even after a month.
    week.calendar.set(MONDAY + timedelta(days=40))
    machine.script = machine.folder / "weekly"
    machine.script.write_text(block(CRON_PAGE, "weekly"))
    assert (machine.run().code, sandbox.uploads()) == (0, [])

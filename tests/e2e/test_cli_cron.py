"""The recipe of obsup-cron(7): each test is one night with one problem."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.cron_machine import DUMPS, CronMachine, is_silent_success, kill_tree
from tests.support.readme import CRON_PAGE, block
from tests.support.shell import Shell
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def machine(tmp_path: Path, home: Path, sandbox: Sandbox) -> Iterator[CronMachine]:
    """A machine whose script has no --until, which would depend on the time of day."""
    cron_machine = CronMachine(tmp_path, home, sandbox)
    cron_machine.script.write_text(cron_machine.script.read_text().replace("--until 05:55 ", ""))
    yield cron_machine
    assert cron_machine.is_up_to_date()


def test_a_night_without_problems_sends_once_and_prints_nothing(machine: CronMachine) -> None:
    """The first run sends the files; later runs send no part."""
    machine.write_dumps(1)
    assert is_silent_success(machine.run())
    machine.reset_count()
    assert is_silent_success(machine.run())
    assert not machine.parts_sent()


def test_overlapping_runs_send_each_part_once(machine: CronMachine) -> None:
    """The second run leaves the file to the first, at once and silently."""
    machine.write_dumps(2)
    machine.sandbox.add_fault("slow=30000,op=part,key=*files.dump")
    with machine.start() as first:
        wait_for(machine.parts_sent, within_s=30)
        assert is_silent_success(machine.run())
        assert first.poll() is None
        machine.sandbox.clear_faults()
        assert first.communicate(timeout=60) == ("", "")
        assert first.returncode == 0
    assert set(machine.parts_sent().values()) == {1}


def test_max_time_ends_a_run_in_the_middle(machine: CronMachine) -> None:
    """The run prints nothing; the next run sends only what is missing."""
    machine.write_dumps(3)
    machine.sandbox.add_fault("delay=40,op=part,part=3")
    assert is_silent_success(machine.run(OBSUP_MAX_TIME="1s"))
    assert len(machine.parts_sent()) >= 2
    assert is_silent_success(machine.run())
    assert set(machine.parts_sent().values()) == {1}


def test_keys_that_expire_during_the_upload_are_renewed(machine: CronMachine) -> None:
    """The credential helper runs again; nothing is printed."""
    machine.write_dumps(4)
    machine.sandbox.add_fault("expire-token,op=part,part=3")
    assert is_silent_success(machine.run())
    assert set(machine.parts_sent().values()) == {1}


def test_a_failing_credential_helper_is_reported_and_keeps_the_progress(machine: CronMachine) -> None:
    """Exit code 77 and the three lines; when the helper works again, stored parts are not sent again."""
    machine.write_dumps(5)
    marker = machine.folder / "marker"
    machine.write_helper(f"test ! -e {marker} || exit 1; touch {marker}")
    machine.sandbox.add_fault("expire-token,op=part,part=3")
    outcome = machine.run()
    assert outcome.code == 77
    assert "credential_process" in outcome.err
    machine.write_helper(":")
    assert is_silent_success(machine.run())
    assert set(machine.parts_sent().values()) == {1}


def test_a_full_disk_does_not_prevent_uploads(machine: CronMachine) -> None:
    """No local file can be written; the objects are uploaded anyway."""
    machine.write_dumps(6)
    assert is_silent_success(machine.run("ulimit -f 0;"))
    assert not list(machine.dumps.glob("*.obsup.json"))


def test_a_full_disk_and_a_network_failure(machine: CronMachine) -> None:
    """Without a checkpoint the next run asks the store which parts it has."""
    machine.write_dumps(7)
    machine.sandbox.add_fault("reset,op=part,part=4,times=always")
    assert is_silent_success(machine.run("ulimit -f 0;", OBSUP_RETRY_FOR="1s"))
    machine.sandbox.clear_faults()
    assert is_silent_success(machine.run())
    assert set(machine.parts_sent().values()) == {1}


def test_a_power_failure_loses_only_the_part_in_flight(machine: CronMachine) -> None:
    """The next run sends that part and the following ones."""
    machine.write_dumps(8)
    machine.sandbox.add_fault("stall=40,op=part,part=3")
    with machine.start("set -m;") as process:
        wait_for(lambda: len(machine.parts_sent()) >= 2, within_s=30)
        kill_tree(process.pid)
        process.communicate(timeout=60)
    machine.sandbox.clear_faults()
    assert is_silent_success(machine.run())
    assert set(machine.parts_sent().values()) == {1}


def test_a_new_dump_is_uploaded_as_a_new_object(machine: CronMachine) -> None:
    """The dump of the next evening has the same name; the object is never a mixture of both."""
    machine.write_dumps(9)
    assert is_silent_success(machine.run())
    machine.write_dumps(10)
    assert is_silent_success(machine.run())


def test_an_interrupted_upload_does_not_block_the_next_dump(machine: CronMachine) -> None:
    """A new dump replaces one that is half sent; it is uploaded completely, and nothing is printed."""
    machine.write_dumps(14)
    machine.sandbox.add_fault("reset,op=part,part=4,times=always")
    assert is_silent_success(machine.run(OBSUP_RETRY_FOR="1s"))
    machine.sandbox.clear_faults()
    machine.write_dumps(15)
    assert is_silent_success(machine.run())


def test_a_permanent_failure_is_reported_by_each_run(machine: CronMachine) -> None:
    """Its exit code and three lines are printed; the other file is uploaded anyway."""
    machine.write_dumps(11)
    machine.sandbox.add_fault("error=403:AccessDenied,op=any,key=*files.dump,times=always")
    outcome = machine.run()
    assert outcome.code == 77
    assert re.match(r"Failed: files.dump: .*AccessDenied.*\nError: .*\nWhy: .*\nNext: ", outcome.err)
    assert {key for key, _ in machine.parts_sent()} == {"nightly/shop.dump"}
    machine.sandbox.clear_faults()
    assert is_silent_success(machine.run())


def test_the_verification_in_the_morning_finds_a_difference(machine: CronMachine) -> None:
    """It prints nothing if all files are uploaded, and reports a file with one different byte."""
    machine.write_dumps(12)
    assert is_silent_success(machine.run())
    *_, entry = block(CRON_PAGE, "crontab").splitlines()
    command = entry.split(None, 5)[5].replace("/srv/dumps", str(machine.dumps))
    machine.script.rename(machine.folder / "kept")
    machine.script.write_text(command)
    assert is_silent_success(machine.run())
    path = machine.dumps / "shop.dump"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"?")
    outcome = machine.run()
    assert outcome.code == 65
    assert "differ" in outcome.err
    path.write_bytes(content)


def test_the_weekly_cleanup_aborts_stale_uploads(machine: CronMachine) -> None:
    """An upload that was interrupted today is listed and kept; with a limit of 0 s it is aborted."""
    machine.write_dumps(13)
    machine.sandbox.add_fault("reset,op=part,part=4,times=always")
    assert is_silent_success(machine.run(OBSUP_RETRY_FOR="1s"))
    machine.script.rename(machine.folder / "kept")
    machine.script.write_text(block(CRON_PAGE, "weekly"))
    outcome = machine.run()
    assert outcome.code == 0, outcome.err
    assert [line.split("\t")[0] for line in outcome.out.splitlines()] == [f"nightly/{name}" for name in DUMPS]
    machine.script.write_text(block(CRON_PAGE, "weekly").replace("14d", "0s"))
    outcome = machine.run()
    assert outcome.code == 0, outcome.err
    assert not machine.sandbox.uploads()
    machine.sandbox.clear_faults()
    (machine.folder / "kept").rename(machine.script)
    assert is_silent_success(machine.run())


def test_the_crontab_is_valid() -> None:
    """Each entry has five fields and a command without a percent sign, which cron reads as a line break."""
    *settings, first, second = block(CRON_PAGE, "crontab").splitlines()
    assert all(re.fullmatch(r"[A-Z]+=\S+", setting) for setting in settings)
    # The default PATH of cron lacks /usr/local/bin, where the page installs the script.
    assert "PATH=/usr/local/bin:/usr/bin:/bin" in settings
    for entry in (first, second):
        *fields, command = entry.split(None, 5)
        assert all(re.fullmatch(r"[\d*/,-]+", field) for field in fields)
        assert "%" not in command.replace(r"\%", "")


def test_the_systemd_timer_equals_the_crontab() -> None:
    """It has the hours and the script of the crontab, the accepted exit codes of the script, and is persistent."""
    service = parse_unit("obsup-nightly.service")
    timer = parse_unit("obsup-nightly.timer")
    fields = block(CRON_PAGE, "crontab").splitlines()[-2].split()
    first, last = (int(hour) for hour in fields[1].split("-"))
    assert timer["Timer"]["OnCalendar"] == f"*-*-* {first:02}..{last:02}:{fields[0]}"
    assert timer["Timer"]["Persistent"] == "true"
    assert Path(service["Service"]["ExecStart"]).name == fields[5]
    assert service["Service"]["Type"] == "oneshot"
    accepted = re.search(r"^ +([\d |]+)\) ;;$", block(CRON_PAGE, "cron script"), re.MULTILINE)
    assert accepted is not None
    assert accepted[1].split(" | ") == ["0", *service["Service"]["SuccessExitStatus"].split()]


def parse_unit(name: str) -> configparser.ConfigParser:
    """Return the systemd unit file *name* of the manual page."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read_string(block(CRON_PAGE, f"systemd {name}"))
    return parser


def test_the_until_option_of_the_script_is_valid(tmp_path: Path, shell: Shell) -> None:
    """obsup accepts its time of day."""
    text = block(CRON_PAGE, "cron script")
    (until,) = re.findall(r"--until (\S+)", text)
    (shell.folder / "x").write_bytes(b"x")
    assert shell.run("upload", "x", "bucket/x", "--until", until).code in (0, 75)

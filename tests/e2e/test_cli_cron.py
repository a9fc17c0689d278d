"""The recipe of obsup-cron(7), rehearsed: a week of nights in which everything goes wrong once."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.cron_machine import DUMPS, SILENCE, Nights, kill_tree, told
from tests.support.readme import CRON_PAGE, block
from tests.support.shell import Shell
from tests.support.waiting import wait_for


@pytest.fixture
def nights(tmp_path: Path, home: Path, sandbox: Sandbox) -> Iterator[Nights]:
    """The machine before the first night; the window of the script never closes by the clock of the day."""
    made = Nights(tmp_path, home, sandbox)
    made.script.write_text(made.script.read_text().replace("--until 05:55 ", ""))
    yield made
    assert made.is_up_to_date()


def test_a_quiet_night_sends_once_and_says_nothing(nights: Nights) -> None:
    """Six hours: the first sends, the others look once a file."""
    nights.dump(1)
    assert told(nights.hour()) == SILENCE
    nights.forget()
    assert told(nights.hour()) == SILENCE
    assert not nights.parts_sent()


def test_runs_that_overlap_do_not_meet(nights: Nights) -> None:
    """The second leaves the file to the first, at once and silently; no part is sent twice."""
    nights.dump(2)
    nights.sandbox.add_fault("slow=150000,op=part,key=*files.dump")
    with nights.begin() as first:
        wait_for(nights.parts_sent, within_s=30)
        assert told(nights.hour()) == SILENCE
        assert first.poll() is None
        assert first.communicate(timeout=60) == ("", "")
        assert first.returncode == 0
    assert set(nights.parts_sent().values()) == {1}


def test_the_window_closes_in_the_middle(nights: Nights) -> None:
    """The run ends in time and is silent; the next hours send what is missing, and nothing else."""
    nights.dump(3)
    nights.sandbox.add_fault("delay=40,op=part,part=3")
    assert told(nights.hour(OBSUP_MAX_TIME="1s")) == SILENCE
    assert len(nights.parts_sent()) >= 2
    assert told(nights.hour()) == SILENCE
    assert set(nights.parts_sent().values()) == {1}


def test_keys_expire_in_the_middle(nights: Nights) -> None:
    """The helper is asked again, and nobody is told."""
    nights.dump(4)
    nights.sandbox.add_fault("expire-token,op=part,part=3")
    assert told(nights.hour()) == SILENCE
    assert set(nights.parts_sent().values()) == {1}


def test_a_helper_that_fails_is_news_and_costs_nothing(nights: Nights) -> None:
    """77 and a mail with the three lines; once it is mended, what is stored is not sent again."""
    nights.dump(5)
    asked = nights.folder / "asked"
    nights.let_helper(f"test ! -e {asked} || exit 1; touch {asked}")
    nights.sandbox.add_fault("expire-token,op=part,part=3")
    outcome = nights.hour()
    assert outcome.code == 77
    assert "credential_process" in outcome.err
    nights.let_helper(":")
    assert told(nights.hour()) == SILENCE
    assert set(nights.parts_sent().values()) == {1}


def test_a_full_disk_keeps_no_upload_away(nights: Nights) -> None:
    """Not a byte can be written here: the objects are in place all the same."""
    nights.dump(6)
    assert told(nights.hour("ulimit -f 0;")) == SILENCE
    assert not list(nights.dumps.glob("*.obsup.json"))


def test_a_full_disk_and_a_line_that_breaks(nights: Nights) -> None:
    """Without a checkpoint the next run asks the store what it holds."""
    nights.dump(7)
    nights.sandbox.add_fault("reset,op=part,part=4,times=always")
    assert told(nights.hour("ulimit -f 0;", OBSUP_RETRY_FOR="1s")) == SILENCE
    nights.sandbox.clear_faults()
    assert told(nights.hour()) == SILENCE
    assert set(nights.parts_sent().values()) == {1}


def test_a_reboot(nights: Nights) -> None:
    """kill -9 in the middle of a part: the next hour sends that and what follows."""
    nights.dump(8)
    nights.sandbox.add_fault("stall=40,op=part,part=3")
    with nights.begin("set -m;") as process:
        wait_for(lambda: len(nights.parts_sent()) >= 2, within_s=30)
        kill_tree(process.pid)
        process.communicate(timeout=60)
    nights.sandbox.clear_faults()
    assert told(nights.hour()) == SILENCE
    assert set(nights.parts_sent().values()) == {1}


def test_a_dump_that_is_written_again_is_sent_again(nights: Nights) -> None:
    """The next evening's dump under the same name: a whole new object, never a mixture."""
    nights.dump(9)
    assert told(nights.hour()) == SILENCE
    nights.dump(10)
    assert told(nights.hour()) == SILENCE


def test_an_upload_that_broke_off_is_not_in_the_way_of_the_next_dump(nights: Nights) -> None:
    """The evening writes a new dump over one that is half sent: that is sent, whole, and nobody is told."""
    nights.dump(14)
    nights.sandbox.add_fault("reset,op=part,part=4,times=always")
    assert told(nights.hour(OBSUP_RETRY_FOR="1s")) == SILENCE
    nights.sandbox.clear_faults()
    nights.dump(15)
    assert told(nights.hour()) == SILENCE


def test_a_failure_that_lasts_is_news_each_hour(nights: Nights) -> None:
    """A refusal for good: its code, its three lines, and the other file is sent all the same."""
    nights.dump(11)
    nights.sandbox.add_fault("error=403:AccessDenied,op=any,key=*files.dump,times=always")
    outcome = nights.hour()
    assert outcome.code == 77
    assert re.match(r"Failed: files.dump: .*AccessDenied.*\nError: .*\nWhy: .*\nNext: ", outcome.err)
    assert {key for key, _ in nights.parts_sent()} == {"nightly/shop.dump"}
    nights.sandbox.clear_faults()
    assert told(nights.hour()) == SILENCE


def test_the_morning_look_finds_what_is_missing(nights: Nights) -> None:
    """The line of the crontab: silent where all is well, and news where one byte differs."""
    nights.dump(12)
    assert told(nights.hour()) == SILENCE
    *_, line = block(CRON_PAGE, "crontab").splitlines()
    command = line.split(None, 5)[5].replace("/srv/dumps", str(nights.dumps))
    nights.script.rename(nights.folder / "kept")
    nights.script.write_text(command)
    assert told(nights.hour()) == SILENCE
    path = nights.dumps / "shop.dump"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"?")
    outcome = nights.hour()
    assert outcome.code == 65
    assert "differ" in outcome.err
    path.write_bytes(whole)


def test_the_weekly_look_finds_and_removes_what_nobody_goes_on_with(nights: Nights) -> None:
    """What is younger stays, and what is live; here a run of today that broke off is shown, and kept."""
    nights.dump(13)
    nights.sandbox.add_fault("reset,op=part,part=4,times=always")
    assert told(nights.hour(OBSUP_RETRY_FOR="1s")) == SILENCE
    nights.script.rename(nights.folder / "kept")
    nights.script.write_text(block(CRON_PAGE, "weekly"))
    outcome = nights.hour()
    assert outcome.code == 0, outcome.err
    assert [line.split("\t")[0] for line in outcome.out.splitlines()] == [f"nightly/{name}" for name in DUMPS]
    nights.script.write_text(block(CRON_PAGE, "weekly").replace("14d", "0s"))
    outcome = nights.hour()
    assert outcome.code == 0, outcome.err
    assert not nights.sandbox.uploads()
    nights.sandbox.clear_faults()
    (nights.folder / "kept").rename(nights.script)
    assert told(nights.hour()) == SILENCE


def test_the_crontab_is_one_that_cron_takes() -> None:
    """Five fields and a command; no percent sign that cron would take for a line break."""
    *settings, _, _ = lines = block(CRON_PAGE, "crontab").splitlines()
    assert all(re.fullmatch(r"[A-Z]+=\S+", setting) for setting in settings)
    lines = lines[len(settings) :]
    # Cron's own PATH has no /usr/local/bin, where the page puts the script.
    assert "PATH=/usr/local/bin:/usr/bin:/bin" in settings
    for line in lines:
        *fields, command = line.split(None, 5)
        assert all(re.fullmatch(r"[\d*/,-]+", field) for field in fields)
        assert "%" not in command.replace(r"\%", "")


def test_the_timer_is_the_crontabs_twin() -> None:
    """The same hours, the same script; 75 is no failure; a night that was missed is made up for."""
    service = unit("obsup-nightly.service")
    timer = unit("obsup-nightly.timer")
    line = block(CRON_PAGE, "crontab").splitlines()[-2].split()
    first, last = (int(hour) for hour in line[1].split("-"))
    assert timer["Timer"]["OnCalendar"] == f"*-*-* {first:02}..{last:02}:{line[0]}"
    assert timer["Timer"]["Persistent"] == "true"
    assert Path(service["Service"]["ExecStart"]).name == line[5]
    assert service["Service"]["Type"] == "oneshot"
    assert service["Service"]["SuccessExitStatus"] == "75"


def unit(name: str) -> configparser.ConfigParser:
    """The unit file of this name on the page."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read_string(block(CRON_PAGE, f"systemd {name}"))
    return parser


def test_the_script_ends_in_time(tmp_path: Path, shell: Shell) -> None:
    """--until of the script is a time of day that obsup takes."""
    text = block(CRON_PAGE, "cron script")
    (until,) = re.findall(r"--until (\S+)", text)
    (shell.folder / "x").write_bytes(b"x")
    assert shell.run("upload", "x", "bucket/x", "--until", until).code in (0, 75)

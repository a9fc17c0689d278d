"""The bar on a real pty, as a terminal emulator shows it, in wide and narrow windows."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.matrix import mostly_slow
from tests.support.shell import Shell
from tests.support.terminal import Terminal

MakeFile = Callable[..., Path]

SIZE, PARTS = 1_200_000, 6
UPLOAD = (sys.executable, "-m", "obsup", "upload", "bigfile", "bucket/key", "--parts", str(PARTS))
CURSOR_HIDDEN = b"\x1b[?25l"
COLOUR = re.compile(rb"\x1b\[[0-9;]*3[0-7]")


@contextmanager
def terminal(
    shell: Shell, *options: str, columns: int = 80, rows: int = 24, **extra: str
) -> Iterator[Terminal]:
    """Upload ``bigfile`` in six parts on a terminal."""
    environment = {**shell.environment, **extra}
    with Terminal(
        [*UPLOAD, *options], folder=shell.folder, environment=environment, columns=columns, rows=rows
    ) as shown:
        yield shown


def hold_from(sandbox: Sandbox, part: int) -> None:
    """Have the store read no byte for 40 seconds, for this *part* and the following."""
    sandbox.add_fault(f"stall=40,op=part,part={part}-{PARTS},times=always")


@pytest.mark.parametrize("columns", [200, 80, 30, 20])
def test_one_line_for_the_whole_and_one_per_part(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, columns: int
) -> None:
    """The share is that of the confirmed bytes; bytes in flight are shown apart; nothing is wider than the window."""
    make_file(SIZE)
    hold_from(sandbox, 4)
    with terminal(shell, "-j", "2", columns=columns) as shown:
        if columns > 24:
            shown.wait_for(lambda: shown.shows("part 4") and shown.shows("part 5"))
        shown.wait_for(lambda: shown.shows("50%") and not shown.shows("part 3"))
        whole, *parts = shown.lines()
        if columns > 20:
            assert re.search(r"585(\.9 Ki|K)B?/1\.1 ?M", whole)
            assert [line.split()[:2] for line in parts] == [["part", "4"], ["part", "5"]]
        if columns >= 80:
            assert re.search(r"[ +]\d[\d.]* ?Ki?B?( in flight)? ", whole)
            assert re.search(r" 0:\d\d( elapsed)? ", whole)
            assert re.search(r" 3/6\b", whole)
            assert all("━" in line for line in parts)
        assert max(map(len, shown.lines())) < columns
        assert CURSOR_HIDDEN not in shown.raw


def test_the_result_is_one_line(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """Bytes, time, mean rate, what was stored before, and how it was verified; nothing of the bar is left."""
    make_file(SIZE)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=5-6,times=always")
    shell.run("upload", "bigfile", "bucket/key", "--parts", "6", "-j", "1")
    sandbox.clear_faults()
    with terminal(shell, columns=100) as shown:
        assert shown.finish() == 0
        (line,) = shown.lines()
    assert re.fullmatch(
        r"bucket/key: 1\.1 MiB in \d+\.\d s \(\d+\.\d [KM]iB/s\), 4 of 6 parts were already stored; "
        r"verified by (etag|upload-id)",
        line,
    )
    assert CURSOR_HIDDEN not in shown.raw


def test_resumed_bytes_are_shown_and_not_counted_in_the_rate(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """They have marks of their own in the bar."""
    make_file(SIZE)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=5-6,times=always")
    shell.run("upload", "bigfile", "bucket/key", "--parts", "6", "-j", "1")
    sandbox.clear_faults()
    sandbox.add_fault("delay=40,op=part,times=always")
    sandbox.add_fault("slow=1000,op=part")
    with terminal(shell, "-j", "1", columns=160) as shown:
        shown.wait_for(lambda: shown.shows("resumed") and shown.shows("/s"))
        whole = shown.lines()[0]
    assert "781.2 KiB resumed" in whole
    assert "781.2 KiB/1.1 MiB confirmed" in whole
    assert "4/6 parts" in whole
    assert "═" in whole


def test_100_percent_is_not_shown_while_parts_are_unconfirmed(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """All bytes are sent, and the store does not answer: 0 % are confirmed, and no ETA is promised."""
    make_file(SIZE)
    sandbox.add_fault("delay=40,op=part,times=always")
    with terminal(shell, "-j", "6", columns=120) as shown:
        shown.wait_for(lambda: shown.shows("confirming"))
        whole = shown.lines()[0]
    assert " 0% 0 B/1.1 MiB confirmed 1.1 MiB in flight " in whole
    assert b"100%" not in shown.raw
    assert "ETA" not in whole


def test_while_the_store_completes_the_upload_the_bar_is_not_full(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """All parts are confirmed, but the object is not verified yet."""
    make_file(SIZE)
    sandbox.add_fault("delay=2,op=complete,times=1")
    with terminal(shell, columns=120) as shown:
        shown.wait_for(lambda: shown.shows("completing"))
        assert "─ 99% " in shown.lines()[0]
        assert shown.finish() == 0
    assert b"100%" not in shown.raw


def test_waiting_parts_are_counted_and_explained(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """The line of the part has the reason and the time of the retry, and the first line counts them."""
    make_file(SIZE)
    sandbox.add_fault("error=503:SlowDown,op=part,part=2,times=always,retry-after=30")
    with terminal(shell, columns=100) as shown:
        shown.wait_for(lambda: shown.shows("1 waiting"))
        shown.wait_for(
            lambda: any(re.search(r"retry in \d+ s: 503 SlowDown", line) for line in shown.lines())
        )


def test_a_retried_request_without_a_part_is_explained(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """A store that rejects Initiate for minutes is not a silent one."""
    make_file(SIZE)
    sandbox.add_fault("error=503:SlowDown,op=initiate,times=always,retry-after=30")
    with terminal(shell, columns=100) as shown:
        shown.wait_for(lambda: shown.shows("503 SlowDown; retrying"))


def test_ctrl_c_leaves_the_three_lines_and_a_clean_terminal(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """Error, Why and Next with the command that resumes; no bar, no hidden cursor, exit 130."""
    make_file(SIZE)
    hold_from(sandbox, 3)
    with terminal(shell, "-j", "2", columns=160) as shown:
        shown.wait_for(lambda: shown.shows("part 3"))
        shown.type("\x03")
        shown.wait_for(lambda: shown.shows("Next:"))
        assert shown.finish() == 130
        shown.lines()
    first, second, third, *rest = shown.lines()
    assert first.startswith("Error: ")
    assert second.startswith("Why: ")
    assert third.startswith("Next: ")
    assert "obsup upload bigfile bucket/key --parts 6" in third
    assert not any("━" in line for line in rest)
    assert CURSOR_HIDDEN not in shown.raw
    assert not shown.screen.cursor.hidden


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (80, r"  stopping in [345] s \(Ctrl-C again: stop now\)"),
        pytest.param(30, r"  stopping in [345] s \(Ctrl-C a\w*…", marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_is_confirmed_while_parts_in_flight_end(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, columns: int, line: str
) -> None:
    """The second one stops at once."""
    make_file(SIZE)
    hold_from(sandbox, 3)
    with terminal(shell, "-j", "2", columns=columns) as shown:
        shown.wait_for(lambda: shown.shows("part 3"))
        shown.type("\x03")
        shown.wait_for(lambda: any(re.fullmatch(line, row) for row in shown.lines()))
        shown.type("\x03")
        assert shown.finish() == 130
    assert not shown.screen.cursor.hidden


def test_a_background_job_draws_no_bar(shell: Shell, make_file: MakeFile) -> None:
    """It prints its result, as any program does."""
    make_file(SIZE)
    background = f"import subprocess, sys; sys.exit(subprocess.call({list(UPLOAD)!r}, process_group=0))"
    with Terminal(
        [sys.executable, "-c", background], folder=shell.folder, environment=shell.environment
    ) as shown:
        assert shown.finish() == 0
    assert b"%" not in shown.raw
    assert len(shown.lines()) == 1


@pytest.mark.parametrize("quiet", [["-q"], []], ids=["quiet", "summary"])
def test_a_background_job_is_not_stopped_by_its_output(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, quiet: list[str]
) -> None:
    """``stty tostop`` stops background jobs that write to the terminal, even if they write nothing."""
    source = make_file(SIZE)
    command = [*UPLOAD, "--progress", "bar", *quiet]
    background = (
        "import subprocess, sys, termios; mode = termios.tcgetattr(2); mode[3] |= termios.TOSTOP; "
        "termios.tcsetattr(2, termios.TCSANOW, mode); "
        f"sys.exit(subprocess.call({command!r}, process_group=0))"
    )
    with Terminal(
        [sys.executable, "-c", background], folder=shell.folder, environment=shell.environment
    ) as shown:
        assert shown.finish() == 0
    assert (b"verified" in shown.raw) == (not quiet)
    assert b"%" not in shown.raw
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_after_kill_9_the_cursor_is_on_an_empty_line(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """The terminal needs no cleanup."""
    make_file(SIZE)
    hold_from(sandbox, 3)
    with terminal(shell, "-j", "2") as shown:
        shown.wait_for(lambda: shown.shows("part 3"))
        os.kill(shown.process.pid, signal.SIGKILL)
        shown.finish()
    assert shown.screen.cursor.x == 0
    assert not shown.screen.cursor.hidden


def test_a_narrowed_window_is_redrawn_in_its_width(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """The next lines fit into the new window."""
    make_file(SIZE)
    hold_from(sandbox, 3)
    with terminal(shell, "-j", "2", columns=100) as shown:
        shown.wait_for(lambda: shown.shows("2/6"))
        shown.resize(30, 24)
        drawn = len(shown.raw)
        shown.wait_for(lambda: len(shown.raw) > drawn + 200)
        assert shown.lines()
        assert max(map(len, shown.lines())) < 30
        assert not shown.shows("2/6")


def test_a_low_window_shows_no_parts(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """Six rows have no space for them."""
    make_file(SIZE)
    hold_from(sandbox, 3)
    with terminal(shell, "-j", "2", rows=6) as shown:
        shown.wait_for(lambda: shown.shows("2/6"))
        assert len(shown.lines()) == 1


def test_no_color_draws_without_colours(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """Without NO_COLOR there are colours."""
    make_file(SIZE)
    with terminal(shell, NO_COLOR="1") as plain:
        assert plain.finish() == 0
    with terminal(shell, "--restart") as coloured:
        assert coloured.finish() == 0
    assert not COLOUR.search(plain.raw)
    assert COLOUR.search(coloured.raw)


def test_an_ascii_terminal_gets_ascii(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """LANG=C, without the coercion to UTF-8 that Python would do."""
    make_file(SIZE)
    hold_from(sandbox, 3)
    with terminal(shell, "-j", "2", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0") as shown:
        shown.wait_for(lambda: shown.shows("part 3"))
        shown.wait_for(lambda: shown.shows("2/6"))
        assert re.search(r" #+\+*-+ 33% ", shown.lines()[0])
    assert shown.raw.isascii()


def test_a_dumb_terminal_gets_no_escape_sequence(shell: Shell, make_file: MakeFile) -> None:
    """TERM=dumb: no bar, whatever the options and FORCE_COLOR are."""
    make_file(SIZE)
    with terminal(shell, "--progress", "bar", TERM="dumb", FORCE_COLOR="1") as shown:
        assert shown.finish() == 0
    assert shown.raw == b""


def test_a_pipe_gets_nothing_on_success(shell: Shell, make_file: MakeFile) -> None:
    """With FORCE_COLOR and --progress bar, too."""
    make_file(SIZE)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--progress", "bar", FORCE_COLOR="1")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_a_step_reports_its_first_retry_at_once(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """At a terminal, where it has no bar; it is silent if all goes well."""
    make_file(1000)
    sandbox.add_fault("error=503:SlowDown,op=head,times=1")
    arguments = [sys.executable, "-m", "obsup", "verify", "bigfile", "bucket/key"]
    shell.run("upload", "bigfile", "bucket/key")
    with Terminal(arguments, folder=shell.folder, environment=shell.environment) as shown:
        assert shown.finish() == 0
    first, last = shown.lines()
    assert first == "Note:  503 SlowDown; retrying."
    assert re.search(r"(proved|verified) by", last)
    with Terminal([*arguments, "-q"], folder=shell.folder, environment=shell.environment) as quiet:
        assert quiet.finish() == 0
    assert quiet.lines() == []


@pytest.mark.parametrize("columns", mostly_slow([80, 30], 80))
def test_the_command_after_next_works_when_copied_from_the_screen(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, columns: int
) -> None:
    """A long command is wrapped; a terminal copies it as one line."""
    source = make_file(SIZE)
    sandbox.add_fault("reset,op=part,part=4-6,times=always")
    with terminal(shell, "-j", "1", "--retry-for", "1s", columns=columns) as shown:
        assert shown.finish() == 75
        copied = "".join(line.ljust(columns)[:columns] for line in shown.screen.display).rstrip()
    assert "3 of 6 parts are stored and will not be sent again" in copied
    _, separator, command = copied.rpartition(": obsup ")
    assert separator
    sandbox.clear_faults()
    arguments = [sys.executable, "-m", "obsup", *shlex.split(command)]
    with Terminal(arguments, folder=shell.folder, environment=shell.environment, columns=columns) as shown:
        assert shown.finish() == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


def test_a_long_list_has_a_head_on_a_terminal_only(sandbox: Sandbox, shell: Shell) -> None:
    """A script that reads the list gets only uploads."""
    upload_id = shell.run("init", "bucket/key").out.strip()
    command = (sys.executable, "-m", "obsup", "uploads", "bucket", "--long")
    with Terminal(command, folder=shell.folder, environment=shell.environment, columns=200) as shown:
        assert shown.finish() == 0
        assert re.match(r"key +upload id +initiated +owner", shown.lines()[0])
        assert shown.lines()[1].split()[:2] == ["key", upload_id]
    assert shell.run("uploads", "bucket", "--long").out.startswith(f"key\t{upload_id}\t")

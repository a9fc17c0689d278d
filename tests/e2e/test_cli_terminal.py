"""The bar as it is seen: on a real pty, through an emulator, at wide and at narrow windows."""

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
from tests.support.shell import Shell
from tests.support.terminal import Terminal

MakeFile = Callable[..., Path]

SIZE, PARTS = 1_200_000, 6
UPLOAD = (sys.executable, "-m", "obsup", "upload", "bigfile", "bucket/key", "--parts", str(PARTS))
CURSOR_HIDDEN = b"\x1b[?25l"
COLOUR = re.compile(rb"\x1b\[[0-9;]*3[0-7]")


@contextmanager
def terminal(
    shell: Shell, *words: str, columns: int = 80, rows: int = 24, **extra: str
) -> Iterator[Terminal]:
    """Run an upload of ``bigfile`` in six parts on a terminal."""
    environment = {**shell.environment, **extra}
    with Terminal(
        [*UPLOAD, *words], folder=shell.folder, environment=environment, columns=columns, rows=rows
    ) as shown:
        yield shown


def hold_from(sandbox: Sandbox, part: int) -> None:
    """Have the store read nothing for long, from this *part* on."""
    sandbox.add_fault(f"stall=40,op=part,part={part}-{PARTS},times=always")


@pytest.mark.parametrize("columns", [80, 30])
def test_one_line_for_the_whole_and_one_a_part(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, columns: int
) -> None:
    """Bytes and share stand in the first line, the parts in flight beneath; nothing is wider than the window."""
    make_file(SIZE)
    hold_from(sandbox, 4)
    with terminal(shell, "-j", "2", columns=columns) as shown:
        shown.wait_for(lambda: shown.shows("part     4") and shown.shows("part     5"))
        shown.wait_for(lambda: not shown.shows("part     3"))
        whole, *parts = shown.lines()
        assert re.search(r"\b(5\d|6\d|7\d|8\d)%", whole)
        assert re.search(r"/1\.1 ?M", whole)
        assert ("3/6 parts" in whole) == (columns == 80)
        assert [line.split()[:2] for line in parts] == [["part", "4"], ["part", "5"]]
        assert max(map(len, shown.lines())) < columns
        assert CURSOR_HIDDEN not in shown.raw


def test_the_end_is_one_line_that_says_it_all(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """Bytes, time, mean rate, what was there already, and what proved it; nothing of the bar stays."""
    make_file(SIZE)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=5-6,times=always")
    shell.run("upload", "bigfile", "bucket/key", "--parts", "6", "-j", "1")
    sandbox.clear_faults()
    with terminal(shell, columns=100) as shown:
        assert shown.finish() == 0
        (line,) = shown.lines()
    assert re.fullmatch(
        r"bucket/key: 1\.1 MiB in \d+\.\d s \(\d+\.\d [KM]iB/s\), 4 of 6 parts were there already; "
        r"verified by (etag|upload-id)",
        line,
    )
    assert CURSOR_HIDDEN not in shown.raw


def test_resumed_bytes_are_shown_and_not_counted_into_the_rate(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """A resumed upload that stands still says how much was there, and a rate of nothing."""
    make_file(SIZE)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=5-6,times=always")
    shell.run("upload", "bigfile", "bucket/key", "--parts", "6", "-j", "1")
    sandbox.clear_faults()
    sandbox.add_fault("delay=40,op=part,times=always")
    sandbox.add_fault("slow=1000,op=part")
    with terminal(shell, "-j", "1", columns=120) as shown:
        shown.wait_for(lambda: shown.shows("resumed"))
        whole = shown.lines()[0]
    assert "(781.2 KiB resumed)" in whole
    assert "4/6 parts" in whole
    assert "═" in whole


def test_retries_are_counted_and_named(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """A part that waits says why, and the first line counts."""
    make_file(SIZE)
    sandbox.add_fault("error=503:SlowDown,op=part,part=2,times=always,retry-after=30")
    with terminal(shell, columns=100) as shown:
        shown.wait_for(lambda: shown.shows("1 retry"))
        assert shown.shows("503 SlowDown")


def test_ctrl_c_leaves_the_three_lines_and_a_clean_terminal(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """What, why and next, with the command that goes on; no bar, no hidden cursor, exit 130."""
    make_file(SIZE)
    hold_from(sandbox, 3)
    with terminal(shell, "-j", "2", columns=120) as shown:
        shown.wait_for(lambda: shown.shows("part     3"))
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
    [(80, r"  ending in [345] s; Ctrl-C again: now"), (30, r"  ending in [345] s; Ctrl-C ag\w*…")],
)
def test_ctrl_c_is_answered_while_parts_under_way_end(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, columns: int, line: str
) -> None:
    """Nobody wonders whether it was heard; the second one ends at once."""
    make_file(SIZE)
    hold_from(sandbox, 3)
    with terminal(shell, "-j", "2", columns=columns) as shown:
        shown.wait_for(lambda: shown.shows("part     3"))
        shown.type("\x03")
        shown.wait_for(lambda: any(re.fullmatch(line, one) for one in shown.lines()))
        shown.type("\x03")
        assert shown.finish() == 130
    assert not shown.screen.cursor.hidden


def test_a_job_in_the_background_does_not_scribble(shell: Shell, make_file: MakeFile) -> None:
    """Only the foreground draws; the line at the end is said, as any program would say it."""
    make_file(SIZE)
    background = f"import subprocess, sys; sys.exit(subprocess.call({list(UPLOAD)!r}, process_group=0))"
    words = [sys.executable, "-c", background]
    with Terminal(words, folder=shell.folder, environment=shell.environment) as shown:
        assert shown.finish() == 0
    assert b"%" not in shown.raw
    assert len(shown.lines()) == 1


def test_a_killed_run_leaves_the_cursor_on_a_line_of_its_own(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """kill -9 cleans up nothing, and nothing needs to be."""
    make_file(SIZE)
    hold_from(sandbox, 3)
    with terminal(shell, "-j", "2") as shown:
        shown.wait_for(lambda: shown.shows("part     3"))
        os.kill(shown.process.pid, signal.SIGKILL)
        shown.finish()
    assert shown.screen.cursor.x == 0
    assert not shown.screen.cursor.hidden


def test_a_window_made_narrow_is_redrawn_at_its_width(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """The next lines fit the new window."""
    make_file(SIZE)
    hold_from(sandbox, 3)
    with terminal(shell, "-j", "2", columns=100) as shown:
        shown.wait_for(lambda: shown.shows("2/6 parts"))
        shown.resize(30, 24)
        drawn = len(shown.raw)
        shown.wait_for(lambda: len(shown.raw) > drawn + 200)
        assert shown.lines()
        assert max(map(len, shown.lines())) < 30
        assert not shown.shows("2/6 parts")


def test_a_low_window_shows_the_whole_alone(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """Where the window has few rows, the parts stay away."""
    make_file(SIZE)
    hold_from(sandbox, 3)
    with terminal(shell, "-j", "2", rows=6) as shown:
        shown.wait_for(lambda: shown.shows("2/6 parts"))
        assert len(shown.lines()) == 1


def test_no_color_draws_without_colours(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """NO_COLOR is honoured; without it there are colours."""
    make_file(SIZE)
    with terminal(shell, NO_COLOR="1") as plain:
        assert plain.finish() == 0
    with terminal(shell, "--restart") as coloured:
        assert coloured.finish() == 0
    assert not COLOUR.search(plain.raw)
    assert COLOUR.search(coloured.raw)


def test_a_dumb_terminal_gets_no_escape(shell: Shell, make_file: MakeFile) -> None:
    """TERM=dumb: no bar, whatever else says so."""
    make_file(SIZE)
    with terminal(shell, "--progress", "bar", TERM="dumb", FORCE_COLOR="1") as shown:
        assert shown.finish() == 0
    assert shown.raw == b""


def test_a_pipe_gets_nothing_on_success(shell: Shell, make_file: MakeFile) -> None:
    """Silence, with FORCE_COLOR and --progress bar too: nobody looks."""
    make_file(SIZE)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--progress", "bar", FORCE_COLOR="1")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_a_step_says_at_once_that_it_tries_again(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """Who waits before a terminal knows for what; there is no bar, and nothing is said where all goes well."""
    make_file(1000)
    sandbox.add_fault("error=503:SlowDown,op=head,times=1")
    words = [sys.executable, "-m", "obsup", "verify", "bigfile", "bucket/key"]
    shell.run("upload", "bigfile", "bucket/key")
    with Terminal(words, folder=shell.folder, environment=shell.environment) as shown:
        assert shown.finish() == 0
    first, last = shown.lines()
    assert first == "Note:  503 SlowDown; trying again."
    assert "proved by" in last
    with Terminal([*words, "-q"], folder=shell.folder, environment=shell.environment) as quiet:
        assert quiet.finish() == 0
    assert quiet.lines() == []


@pytest.mark.parametrize("columns", [80, 30])
def test_a_cut_line_is_followed_to_the_end(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, columns: int
) -> None:
    """What stands on the screen, copied over its line ends as a terminal copies it, ends the work."""
    source = make_file(SIZE)
    sandbox.add_fault("reset,op=part,part=4-6,times=always")
    with terminal(shell, "-j", "1", "--retry-for", "1s", columns=columns) as shown:
        assert shown.finish() == 75
        copied = "".join(line.ljust(columns)[:columns] for line in shown.screen.display).rstrip()
    assert "3 of 6 parts are stored and will not be sent again" in copied
    _, separator, command = copied.rpartition(": obsup ")
    assert separator
    sandbox.clear_faults()
    words = [sys.executable, "-m", "obsup", *shlex.split(command)]
    with Terminal(words, folder=shell.folder, environment=shell.environment, columns=columns) as shown:
        assert shown.finish() == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()

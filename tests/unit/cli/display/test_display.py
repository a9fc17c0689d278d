"""What is shown where nobody looks: a line now and then, JSON, or nothing."""

from __future__ import annotations

import io
import json
import time

import pytest

from obsup import events
from obsup.cli.display.display import choose
from obsup.cli.display.json_lines import JsonLines
from obsup.cli.display.lines import Lines
from obsup.cli.display.notices import Notices, short_reason
from obsup.cli.report.fields import summary
from obsup.engine.job.result import Result
from obsup.model import Target
from obsup.units import MIB


class Stream(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        """Whatever was said."""
        return self._is_terminal


@pytest.mark.parametrize(
    ("mode", "quiet", "is_terminal", "term", "expected"),
    [
        ("auto", False, True, "xterm", "bar"),
        ("auto", False, False, "xterm", "lines"),
        ("auto", False, True, "dumb", "lines"),
        ("auto", False, True, "", "lines"),
        ("auto", True, True, "xterm", "none"),
        ("bar", False, False, "xterm", "lines"),
        ("bar", True, True, "xterm", "bar"),
        ("json", True, False, "xterm", "json"),
        ("none", False, True, "xterm", "none"),
        ("lines", False, True, "xterm", "lines"),
    ],
)
def test_a_bar_is_drawn_only_where_somebody_sees_it(
    mode: str, quiet: bool, is_terminal: bool, term: str, expected: str
) -> None:
    """FORCE_COLOR alone draws nothing."""
    environ = {"TERM": term, "FORCE_COLOR": "1"}
    assert choose(mode, quiet=quiet, stderr=Stream(is_terminal=is_terminal), environ=environ) == expected


def test_a_line_says_how_far_it_is() -> None:
    """Bytes, share, rate, time left, parts; resumed bytes are in the bytes and not in the rate."""
    now_s = 0.0
    lines = Lines(Notices(quiet=False, verbose=False), "db.dump", clock=lambda: now_s)
    assert lines.line() == "db.dump: looking at what is there"
    lines.observe(events.Begun(100 * MIB, 10, resumed=40 * MIB, resumed_parts=4))
    lines.line()
    now_s = 5.0
    lines.observe(events.PartStored(5, 10 * MIB))
    assert lines.line() == "db.dump: 50.0 MiB of 100.0 MiB (50%), 2.0 MiB/s, ETA 0:25, 5 of 10 parts"


def test_lines_come_by_the_clock_while_the_line_stands_still() -> None:
    """No event moves it, and it says so all the same."""
    said: list[str] = []
    lines = Lines(Notices(quiet=False, verbose=False, show=said.append), "x", every_s=0.01)
    with lines:
        lines.observe(events.Begun(100, 1))
        until = time.monotonic() + 30
        while len(said) < 3 and time.monotonic() < until:
            time.sleep(0.01)
    assert said[-1] == "x: 0 B of 100 B (0%), 0 B/s, 0 of 1 part"


def test_json_lines_have_the_documented_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line on stderr; parts count what was resumed."""
    shown = JsonLines(Notices(quiet=False, verbose=False))
    shown.observe(events.Begun(100, 4, resumed=25, resumed_parts=1))
    shown.observe(events.PartStored(2, 25))
    shown.observe(events.PartStored(2, 25))
    shown.progress(50, 100, 1.23456)
    assert json.loads(capsys.readouterr().err) == {
        "format": 1,
        "event": "progress",
        "transferred": 50,
        "total": 100,
        "seconds": 1.235,
        "partsDone": 2,
        "parts": 4,
    }


@pytest.mark.parametrize(
    ("quiet", "verbose", "expected"),
    [(False, False, ["Note:  it goes on."]), (True, False, []), (False, True, ["Note:  it goes on.", "PUT"])],
)
def test_talk_says_notes_and_where_asked_every_request(
    quiet: bool, verbose: bool, expected: list[str]
) -> None:
    """-q keeps the notes away, -v adds the requests."""
    said: list[str] = []
    notices = Notices(quiet=quiet, verbose=verbose, show=said.append)
    notices.observe(events.Noted("it goes on"))
    notices.observe(events.Requested("UploadPart", "PUT", "bucket/key", 1, 200, "01", 0.1))
    notices.observe(events.PartStored(1, 5))
    assert [line if line.startswith("Note") else line.split()[0] for line in said] == expected


def test_the_summary_says_what_was_there_and_what_was_sent() -> None:
    """The mean rate is that of what this run sent."""
    result = Result(
        target=Target("obs", "https://obs.example", "media", "video.iso"),
        upload_id="u",
        etag="e",
        verified="etag",
        size=100 * MIB,
        part_size=10 * MIB,
        parts=10,
        sent_parts=6,
        sent_bytes=60 * MIB,
        seconds=12.0,
    )
    assert summary(result) == (
        "media/video.iso: 100.0 MiB in 12 s (5.0 MiB/s), 4 of 10 parts were already stored; verified by etag"
    )


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("UploadPart of b/k: 503 SlowDown (request id 01: 02)", "503 SlowDown"),
        ("UploadPart of b/k: 503 SlowDown", "503 SlowDown"),
        ("the connection was closed", "the connection was closed"),
    ],
)
def test_a_short_reason_fits_a_bar(reason: str, expected: str) -> None:
    """Operation, resource and request id are in the log."""
    assert short_reason(reason) == expected


def test_a_step_that_waits_for_the_store_says_so_in_its_lines() -> None:
    """A command that is tried for a quarter of an hour is no silent one: what fails, until it does no more."""
    said: list[str] = []
    lines = Lines(
        Notices(quiet=False, verbose=False, show=said.append), "verify", clock=lambda: 0.0, is_seen=True
    )
    assert lines.line() == "verify: looking at what is there"
    for _ in range(2):
        lines.observe(events.Retried(None, 1, "nobody listens there (connection refused)", 1.0))
    assert said == ["Note:  nobody listens there (connection refused); trying again."]
    assert lines.line() == "verify: nobody listens there (connection refused); trying again"
    lines.observe(events.Requested("HeadObject", "HEAD", "b/k", None, 200, "r", 0.1))
    assert lines.line() == "verify: looking at what is there"

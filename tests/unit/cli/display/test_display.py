"""What is shown without a bar: lines, JSON, messages, or nothing."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import pytest

from obsup import events
from obsup.cli.display.batch_meter import BatchMeter
from obsup.cli.display.display import DisplayOptions, choose_mode, open_display
from obsup.cli.display.meter import TransferMeter, short_reason
from obsup.cli.display.notices import Notices
from obsup.cli.display.progress_text import progress_line
from obsup.cli.display.repeat import every
from obsup.cli.report.fields import summary
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.result import Result
from obsup.errors import BadConfiguration, Denied
from obsup.model import Target
from obsup.units import MIB


class Stream(io.StringIO):
    """A stream that is a terminal or not."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        """As given."""
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
def test_a_bar_needs_a_terminal(mode: str, quiet: bool, is_terminal: bool, term: str, expected: str) -> None:
    """FORCE_COLOR alone draws nothing."""
    environ = {"TERM": term, "FORCE_COLOR": "1"}
    stderr = Stream(is_terminal=is_terminal)
    assert choose_mode(mode, is_quiet=quiet, stderr=stderr, environ=environ) == expected


def test_a_line_has_the_fields_of_the_bar() -> None:
    """Share, confirmed and in-flight bytes, rate, times, parts; the rate does not include resumed bytes."""
    now_s = 0.0
    meter = TransferMeter(lambda: now_s)
    tally = ProgressTally(meter.progress, meter.observe, lambda: now_s)
    assert progress_line("db.dump", meter.read()) == "db.dump: 0:00 elapsed, checking what is stored"
    tally(events.Begun(100 * MIB, 10, resumed=40 * MIB, resumed_parts=4))
    meter.read()
    now_s = 5.0
    tally(events.PartStored(5, 10 * MIB))
    now_s = 6.0
    tally(events.PartSent(6, 2 * MIB, 10 * MIB))
    assert progress_line("db.dump", meter.read()) == (
        "db.dump: 50%, 50.0 MiB/100.0 MiB confirmed, 2.0 MiB in flight, 2.0 MiB/s, 0:06 elapsed, ETA 0:24, "
        "5/10 parts, 40.0 MiB resumed"
    )


def test_actions_are_repeated_while_nothing_happens() -> None:
    """A stalled transfer prints its lines, too."""
    called = threading.Semaphore(0)
    with every(0.01, called.release):
        for _ in range(3):
            assert called.acquire(timeout=30)


def test_a_line_shows_that_nothing_is_sent() -> None:
    """0 B/s, the parts that wait for a retry, and why; nothing once the part is stored."""
    clock = iter(range(100))
    meter = TransferMeter(lambda: float(next(clock)))
    meter.observe(events.Begun(100, 1))
    meter.read()
    meter.observe(events.Retried(1, 1, "503 SlowDown", 5.0))
    assert ", 0 B/s," in progress_line("x", meter.read())
    assert progress_line("x", meter.read()).endswith("0/1 part, 1 waiting, last failure: 503 SlowDown")
    meter.observe(events.PartStored(1, 100))
    assert "503" not in progress_line("x", meter.read())


def test_json_progress_has_the_documented_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """One object per line on stderr; resumed parts are done, bytes in flight are transferred but not confirmed."""
    now_s = 0.0
    with open_display(DisplayOptions("json"), "x") as display:
        tally = ProgressTally(display.progress, display.observe, lambda: now_s)
        tally(events.Begun(100, 4, resumed=25, resumed_parts=1))
        tally(events.PartStored(2, 25))
        now_s = 1.0
        tally(events.PartSent(3, 5, 25))
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert 1.0 <= last.pop("seconds") < 30
    assert last == {
        "format": 1,
        "event": "progress",
        "transferred": 55,
        "total": 100,
        "partsDone": 2,
        "parts": 4,
        "confirmed": 50,
        "waiting": 0,
        "retrying": 0,
    }


@pytest.mark.parametrize("mode", ["json", "lines"])
def test_the_interval_of_progress(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines come every 30 s and objects every 0.5 s, unless the interval is given."""
    seen = ""
    with open_display(DisplayOptions(mode, interval_s=0.01), "x") as display:
        display.observe(events.Begun(100, 4))
        while len(seen.splitlines()) < 3:  # the time limit of the test ends this loop
            seen += capsys.readouterr().err
    assert all(line.startswith(("{", "x: ")) for line in seen.splitlines())


@pytest.mark.parametrize(("mode", "expected"), [("lines", "done\n"), ("auto", ""), ("none", "")])
def test_explicit_lines_end_with_the_summary(
    mode: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal, auto prints nothing about a short success."""
    with open_display(DisplayOptions(mode), "x") as display:
        display.show_summary("done")
    assert capsys.readouterr().err == expected


def test_json_progress_of_a_failed_upload_ends_with_the_final_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is stored is kept, so the last counts matter."""

    def fail() -> None:
        with open_display(DisplayOptions("json"), "x") as display:
            display.observe(events.Begun(100, 4))
            display.observe(events.PartStored(2, 25))
            raise Denied("access denied")

    with pytest.raises(Denied):
        fail()
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (last["confirmed"], last["partsDone"]) == (25, 1)


def test_json_progress_of_many_files_ends_with_the_final_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """However short the upload was."""
    with open_display(DisplayOptions("json"), "b/p/", BatchMeter()) as display:
        assert display.progress is None
        display.observe(events.Counted(2, 30, is_all=True))
        display.observe(events.FileEnded("a", 10, "sent"))
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (last["transferred"], last["filesDone"], last["files"], last["counted"]) == (10, 1, 2, True)


def test_without_progress_there_is_no_callback() -> None:
    """Nothing draws from it."""
    with open_display(DisplayOptions("none"), "x") as display:
        assert display.progress is None


@pytest.mark.parametrize(
    ("is_quiet", "is_verbose", "expected"),
    [
        (False, False, ["Note:  the store is slow."]),
        (True, False, []),
        (False, True, ["Note:  the store is slow.", "PUT"]),
    ],
)
def test_notes_are_printed_and_with_verbose_every_request(
    is_quiet: bool, is_verbose: bool, expected: list[str]
) -> None:
    """-q suppresses notes, -v adds requests."""
    shown: list[str] = []
    notices = Notices(is_quiet=is_quiet, is_verbose=is_verbose, show=shown.append)
    notices.observe(events.Noted("the store is slow"))
    notices.observe(events.Requested("UploadPart", "PUT", "bucket/key", 1, 200, "01", 0.1))
    notices.observe(events.PartStored(1, 5))
    assert [line if line.startswith("Note") else line.split()[0] for line in shown] == expected


def test_the_first_retry_is_reported_at_once_at_a_terminal() -> None:
    """The first line would come half a minute later."""
    shown: list[str] = []
    notices = Notices(reports_retry=True, show=shown.append)
    for _ in range(2):
        notices.observe(events.Retried(None, 1, "connection refused", 1.0))
    assert shown == ["Note:  connection refused; retrying."]


def test_a_failure_is_written_to_the_log(tmp_path: Path) -> None:
    """Everything that is shown is logged as well, and then how it ended."""
    log = tmp_path / "log"

    def fail() -> None:
        with open_display(DisplayOptions("none", log_file=log), "x") as display:
            display.observe(events.Noted("slow"))
            raise Denied("access denied", "because")

    with pytest.raises(Denied):
        fail()
    assert [line.split(maxsplit=2)[2] for line in log.read_text().splitlines()] == [
        "note: slow",
        "error 77: access denied. because",
    ]


def test_a_log_that_cannot_be_opened_prevents_the_transfer(tmp_path: Path) -> None:
    """Before anything is sent."""
    with pytest.raises(BadConfiguration), open_display(DisplayOptions(log_file=tmp_path / "no" / "log"), "x"):
        raise AssertionError


def test_the_summary_reports_what_was_stored_before_and_what_was_sent() -> None:
    """The mean rate is that of the bytes of this run."""
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
    ("parts", "sent", "text"),
    [(1, 0, "1 of 1 part was already stored"), (5, 4, "1 of 5 parts was already stored")],
)
def test_the_summary_of_one_stored_part(parts: int, sent: int, text: str) -> None:
    result = Result(
        target=Target("obs", "https://obs.example", "media", "video.iso"),
        upload_id="u",
        etag="e",
        verified="etag",
        size=MIB * parts,
        part_size=MIB,
        parts=parts,
        sent_parts=sent,
        sent_bytes=MIB * sent,
        seconds=1.0,
    )
    assert f", {text};" in summary(result)


def test_the_summary_of_parts_that_were_sent_twice_counts_no_stored_parts() -> None:
    """All parts are sent again if the bucket requires larger ones, and changed parts are."""
    result = Result(
        target=Target("obs", "https://obs.example", "media", "video.iso"),
        upload_id="u",
        etag="e",
        verified="etag",
        size=250_000,
        part_size=9 * MIB,
        parts=1,
        sent_parts=4,
        sent_bytes=500_000,
        seconds=1.0,
    )
    assert "already stored" not in summary(result)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("UploadPart of b/k: 503 SlowDown (request id 01: 02)", "503 SlowDown"),
        ("UploadPart of b/k: 503 SlowDown", "503 SlowDown"),
        ("the connection was closed", "the connection was closed"),
        ("UploadPart of b/k: \x1b[2J", "[2J"),
    ],
)
def test_a_short_reason_fits_into_the_bar(reason: str, expected: str) -> None:
    """The log has the operation, the resource and the request id."""
    assert short_reason(reason) == expected

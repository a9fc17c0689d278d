"""What the bar shows at every window size, without a terminal."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from obsup import events
from obsup.cli.display.bar import Bar
from obsup.cli.display.meter import TransferMeter
from obsup.engine.job.progress import ProgressTally
from obsup.units import MIB

PART = 9 * MIB


def terminal(encoding: str = "utf-8") -> Console:
    """A console on a terminal of this encoding, without colours."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return Console(file=file, force_terminal=True, color_system=None)


def bar_of(*happened: events.Event, name: str = "x", console: Console | None = None) -> Bar:
    """A bar after these events."""
    meter = TransferMeter(lambda: 0.0)
    tally = ProgressTally(meter.progress, meter.observe, lambda: 0.0)
    for event in happened:
        tally(event)
    return Bar(name, meter, console=console or terminal())


def half_way(name: str = "video.iso", *, console: Console | None = None) -> Bar:
    """Return the bar of an upload of 1 GiB: 40 of 114 parts resumed, 39 sent, four in flight."""
    now_s = 0.0
    meter = TransferMeter(lambda: now_s)
    tally = ProgressTally(meter.progress, meter.observe, lambda: now_s)
    tally(events.Begun(1024 * MIB, 114, resumed=40 * PART, resumed_parts=40))
    for number in range(41, 80):
        now_s += 0.2
        tally(events.PartStored(number, PART))
        meter.read()
    slow_down = "UploadPart of media/video.iso: 503 SlowDown (request id 01)"
    tally(events.Retried(81, 4, slow_down, 28.4))
    tally(events.Retried(83, 1, slow_down, 0.2))
    for number, sent in ((80, 7.4), (82, 5.1), (83, 2.9)):
        now_s += 0.1
        tally(events.PartSent(number, int(sent * MIB), PART))
    return Bar(name, meter, console=console or terminal())


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize(
    "name", ["video.iso", "a-very-long-name-of-a-database-dump.tar.zst", "映画と音楽のアーカイブ.tar", "x"]
)
def test_no_line_is_wider_than_its_window(name: str, encoding: str) -> None:
    """For any window and any name. Widths are cells; one column stays free."""
    bar = half_way(name, console=terminal(encoding))
    for columns in range(2, 220):
        for line in bar.lines(columns, 24):
            line.encode(encoding)
            assert cell_len(line) < columns


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            200,
            "video.iso ══════════════════━━━━━━━━━━━━━━━━━━╍──────────────── 69% 711.0 MiB/1.0 GiB confirmed "
            "15.4 MiB in flight 45.2 MiB/s 0:08 elapsed ETA 0:07 79/114 parts 1 waiting 1 retrying "
            "360.0 MiB resumed",
        ),
        (
            120,
            "video.iso ═════━━━━━━───── 69% 711M/1.0G confirmed 15.4M in flight 45.2M/s 0:08 elapsed ETA 0:07 "
            "79/114 parts 1 waiting",
        ),
        (80, "video.iso ═══━━━─── 69% 711M/1.0G +15.4M 45.2M/s 0:08 ETA 0:07 79/114 1 waiting"),
        (40, "═══━━━─── 69% 711M/1.0G +15.4M ETA 0:07"),
        (30, "69% 711M/1.0G +15.4M ETA 0:07"),
        (20, "69% ETA 0:07"),
    ],
)
def test_a_narrow_window_omits_the_least_important_fields(columns: int, expected: str) -> None:
    """Bytes, rate, times, parts and waiting parts at 80 columns; the share and the time that is left at 20."""
    assert half_way(console=terminal()).lines(columns, 24)[0] == expected


def test_each_part_in_flight_has_a_bar_and_its_state() -> None:
    """From its first byte: no part has to be stored before."""
    assert half_way(console=terminal()).lines(80, 24)[1:] == [
        "  part 80 ━━━━━━━━━━━━━━━━──── 7.4 MiB/9.0 MiB",
        "  part 81 ────────────────────             0 B retry in 28 s: 503 SlowDown",
        "  part 82 ━━━━━━━━━━━───────── 5.1 MiB/9.0 MiB",
        "  part 83 ━━━━━━────────────── 2.9 MiB/9.0 MiB attempt 2 after: 503 SlowDown",
    ]
    sent = events.PartSent(1, 3 * MIB, PART), events.PartSent(2, PART, PART)
    assert bar_of(events.Begun(1024 * MIB, 114), *sent).lines(80, 24)[1:] == [
        "  part 1 ━━━━━━────────────── 3.0 MiB/9.0 MiB",
        "  part 2 ━━━━━━━━━━━━━━━━━━━─ 9.0 MiB/9.0 MiB waiting for confirmation",
    ]


def test_ascii_terminals_get_ascii_marks() -> None:
    """LANG=C: = is resumed, # confirmed, + in flight, - left."""
    whole, first, *_ = half_way("映画.iso", console=terminal("ascii")).lines(200, 24)
    assert whole.startswith("??.iso ==================###################+---------------- 69% ")
    assert first == "  part 80 ################---- 7.4 MiB/9.0 MiB"


def test_the_parts_take_at_most_a_third_of_the_window() -> None:
    """The last line counts the other parts in flight."""
    bar = bar_of(events.Begun(1024 * MIB, 114), *(events.PartSent(n, MIB, PART) for n in range(1, 33)))
    lines = bar.lines(80, 12)
    assert len(lines) == 1 + 4
    assert lines[-1] == "  and 29 more"
    assert len(bar.lines(80, 9)) == 1


def test_a_stream_shows_no_share_and_no_end() -> None:
    """Its size is unknown until it ends."""
    bar = bar_of(events.Begun(None, None), events.PartStored(1, PART), name="-")
    assert bar.lines(80, 24) == ["- 9.0 MiB confirmed 0:00 elapsed 1 part"]


def test_before_the_first_byte_it_shows_what_happens() -> None:
    """To resume may take long: the stored parts are compared with the file."""
    assert bar_of(name="video.iso").lines(80, 24) == ["video.iso 0:00 elapsed checking what is stored"]


def test_a_failing_request_without_a_part_is_shown() -> None:
    """Initiate and complete are retried for minutes as well; the reason is printable."""
    retried = events.Retried(None, 1, "InitiateMultipartUpload of b/k: 503 \x1b[2JSlowDown", 1.5)
    assert bar_of(retried).lines(80, 24) == ["x 0:00 elapsed 503  [2JSlowDown; retrying"]
    answered = events.Requested("InitiateMultipartUpload", "POST", "b/k", None, 200, "01", 0.1)
    assert bar_of(retried, answered).lines(80, 24) == ["x 0:00 elapsed checking what is stored"]


def test_sent_but_unconfirmed_bytes_are_not_done() -> None:
    """Half of the parts are confirmed, the others only sent: neither 100 % nor "ETA 0:00"."""
    bar = bar_of(events.Begun(2 * PART, 2), events.PartStored(1, PART), events.PartSent(2, PART, PART))
    assert (
        " 50% 9.0 MiB/18.0 MiB confirmed 9.0 MiB in flight 0:00 elapsed confirming 1/2 parts"
        in (bar.lines(160, 24)[0])
    )


def test_100_percent_is_never_shown_before_the_object_is_verified() -> None:
    """Stores take minutes to complete an upload: no rate, no ETA, and the bar is not full."""
    bar = bar_of(events.Begun(2 * PART, 2, resumed=PART, resumed_parts=1), events.PartStored(2, PART))
    (line,) = bar.lines(120, 24)
    assert line.endswith(
        "─ 99% 18.0 MiB/18.0 MiB confirmed 0:00 elapsed completing 2/2 parts 9.0 MiB resumed"
    )


def test_colours_are_escape_sequences_around_fields() -> None:
    """They take no cells and do not reach to the end of the line."""
    console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), force_terminal=True)
    lines = half_way(console=console).lines(120, 24)
    assert "\x1b[32m711M/1.0G confirmed\x1b[0m" in lines[0]
    assert [Text.from_ansi(line).plain for line in lines] == half_way(console=terminal()).lines(120, 24)

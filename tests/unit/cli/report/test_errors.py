"""Every failure ends in three lines: what, why, and the next command, which parses."""

from __future__ import annotations

import shlex

import click
import pytest

from obsup.cli.main import cli
from obsup.cli.report.fields import failure_fields
from obsup.cli.report.next_command import ResumeCommand, follow, resume_command, with_command
from obsup.cli.report.output import error_lines
from obsup.errors import Interrupted, NetworkError, NotFinished, Refusal, StoreError, WrongUsage
from obsup.store.answers.failure_rule import FailureRule
from obsup.store.answers.failure_table import FAILURE_RULES, as_error, classify

COMMAND = "obsup upload 'big file' bucket/key --part-size 1M --no-overwrite --addressing path -- x"
REQUEST_ID = "0000018F3B4C"
RESUME = ResumeCommand(("obsup", "upload", "f", "b/k"))


def example_of(row: FailureRule) -> StoreError | NetworkError:
    """Return a failure that falls under *row*."""
    if row.kinds:
        return NetworkError(sorted(row.kinds)[0], "what the line said", True)
    return StoreError(
        Refusal(
            operation="UploadPart",
            resource="bucket/key",
            status=min(row.statuses, default=418),
            code=min(row.codes, default="SomeCode"),
            message="" if row.silent else min(row.phrases, default="what the store said"),
            request_id=REQUEST_ID,
        )
    )


def name_of(row: FailureRule) -> str:
    """Return what tells the row from others."""
    return min(row.codes | row.kinds | set(row.phrases) | {str(one) for one in row.statuses}, default="rest")


def parses(line: str) -> click.Context:
    """Return the context of a command line; fails where Click refuses it."""
    program, name, *words = shlex.split(line)
    assert program == "obsup"
    return cli.commands[name].make_context(name, words)


@pytest.mark.parametrize("row", FAILURE_RULES, ids=name_of)
def test_every_row_of_the_table_is_three_lines_with_a_command(row: FailureRule) -> None:
    """What, why with the request id, and next with a command line that obsup itself takes."""
    failure = example_of(row)
    assert classify(failure) is row
    error = as_error(failure, doing="part 17 of bucket/key")
    what, why, following = error_lines(
        error, resume=ResumeCommand(tuple(shlex.split(COMMAND))), stored=(16, 240)
    ).splitlines()
    assert what.startswith("Error: part 17 of bucket/key ")
    assert why.startswith("Why:   ")
    assert following.startswith("Next:  ")
    assert (REQUEST_ID in why) == isinstance(failure, StoreError)
    advice, separator, command = following.partition(": obsup ")
    assert separator, f"no command in {following!r}"
    ctx = parses(f"obsup {command}")
    assert ctx.params["sources"] == ("big file", "bucket/key")
    assert "what is stored is not sent again" not in advice


@pytest.mark.parametrize(
    ("advice", "expected"),
    [
        ("run the same command again", "obsup upload f b/k --part-size 1M"),
        ("run with --restart to begin again", "obsup upload f b/k --part-size 1M --restart"),
        ("use --part-size 5M", "obsup upload f b/k --part-size 5M"),
        ("use --parts 7 or more", "obsup upload f b/k --parts 7"),
        ("begin again with --restart --part-size 9M", "obsup upload f b/k --restart --part-size 9M"),
        (
            "wait for it to end, or use --if-running wait",
            "obsup upload f b/k --part-size 1M --if-running wait",
        ),
        ("choose another key, or leave out --part-size", "obsup upload f b/k"),
        ("name another file with --checkpoint", None),
        ("look at the object", None),
    ],
)
def test_advice_becomes_the_command_line_that_follows_it(advice: str, expected: str | None) -> None:
    """Options that it names are put in, their rivals and what is to be left out go."""
    words = follow(advice, shlex.split("obsup upload f b/k --part-size 1M"))
    assert (words and shlex.join(words)) == expected


def test_what_stands_behind_two_dashes_stays() -> None:
    """It is the producer's, whatever it looks like."""
    line = "obsup upload --from-command b/k -- tar --parts 3 /srv"
    assert with_command("use --parts 7", line.split()).endswith(
        ": obsup upload --from-command b/k --parts 7 -- tar --parts 3 /srv"
    )


def test_a_command_in_the_advice_is_not_followed_by_another() -> None:
    """verify says how to upload: that is the next command."""
    advice = "upload it: obsup upload f b/k"
    assert with_command(advice, ["obsup", "verify", "f", "b/k"]) == advice


def test_how_much_is_stored_is_said() -> None:
    """The fear of those who read an error is to begin anew."""
    error = NotFinished("part 17 of b/k failed", "the line broke")
    line = error_lines(error, resume=RESUME, stored=(16, 240)).splitlines()[2]
    assert line == (
        "Next:  Run the same command again (16 of 240 parts are stored and will not be sent again): "
        "obsup upload f b/k"
    )


def test_an_interrupt_says_the_command_that_goes_on() -> None:
    """Ctrl-C is no failure: what is stored stays."""
    lines = error_lines(Interrupted("stopped by SIGINT", "progress is kept"), resume=RESUME)
    assert lines.splitlines()[2] == "Next:  Run the same command again: obsup upload f b/k"


def test_resuming_does_not_begin_anew() -> None:
    """--restart of the failed run would throw away what it stored."""
    assert resume_command(["upload", "f", "b/k", "--restart"]) == RESUME


def test_a_sentence_ends_and_a_command_does_not() -> None:
    """A full stop after a command would be copied with it."""
    text = error_lines(
        WrongUsage("--parts 0 cannot be", "1 to 10000", "use --parts 1"),
        resume=RESUME,
    )
    assert text.splitlines() == [
        "Error: --parts 0 cannot be.",
        "Why:   1 to 10000.",
        "Next:  use --parts 1: obsup upload f b/k --parts 1",
    ]


def test_failures_as_json_have_the_documented_keys() -> None:
    """Status, exit code, reason, message, whether to retry, and how."""
    fields = failure_fields(NotFinished("it failed", "the line broke"), command="upload", resume=RESUME)
    assert fields == {
        "command": "upload",
        "status": "incomplete",
        "exitCode": 75,
        "reason": "network",
        "message": "it failed. the line broke",
        "retryable": True,
        "resumeCommand": "obsup upload f b/k",
    }

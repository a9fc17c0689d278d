"""Every error is printed in three lines: what failed, why, and the next command, which the command line accepts."""

from __future__ import annotations

import shlex

import click
import pytest

from obsup.cli.main import cli
from obsup.cli.report.batch import failure_of
from obsup.cli.report.fields import failure_fields
from obsup.cli.report.next_command import ResumeCommand, changed, next_line, resume_command
from obsup.cli.report.output import error_lines
from obsup.engine.batch.outcome import BatchSummary, FileOutcome
from obsup.errors import (
    DataMismatch,
    Interrupted,
    NetworkError,
    NextStep,
    NotFinished,
    ObsupError,
    Refusal,
    SourceUnreadable,
    StoreError,
    WrongUsage,
    run_again,
)
from obsup.store.answers.failure_rule import FailureRule
from obsup.store.answers.failure_table import FAILURE_RULES, as_error, classify

COMMAND = "obsup upload 'big file' bucket/key --part-size 1M --no-overwrite --addressing path -- x"
REQUEST_ID = "0000018F3B4C"
RESUME = ResumeCommand(("obsup", "upload", "f", "b/k"))
PIPE = ResumeCommand(("obsup", "upload", "-", "b/k"), is_piped=True, keeps_parts=False)


def example_failure(rule: FailureRule) -> StoreError | NetworkError:
    """Return a failure that *rule* matches."""
    if rule.kinds:
        return NetworkError(sorted(rule.kinds)[0], "details of the network error", True)
    return StoreError(
        Refusal(
            operation="UploadPart",
            resource="bucket/key",
            status=min(rule.statuses, default=418),
            code=min(rule.codes, default="SomeCode"),
            message="" if rule.without_message else min(rule.phrases, default="message of the store"),
            request_id=REQUEST_ID,
            is_page=rule.is_page,
            by_proxy=rule.by_proxy,
            sent_headers=frozenset([rule.sent_header]),
        )
    )


def rule_id(rule: FailureRule) -> str:
    """Return a name for the rule in the test report."""
    return min(
        rule.codes | rule.kinds | set(rule.phrases) | {str(one) for one in rule.statuses}, default="rest"
    )


def parse_command(line: str) -> click.Context:
    """Return the Click context of a command line; fail if Click rejects it."""
    program, name, *words = shlex.split(line)
    assert program == "obsup"
    return cli.commands[name].make_context(name, words)


@pytest.mark.parametrize("rule", FAILURE_RULES, ids=rule_id)
def test_every_failure_rule_gives_three_lines_with_a_valid_command(rule: FailureRule) -> None:
    """What failed, why with the request id, and a command line that obsup accepts."""
    failure = example_failure(rule)
    assert classify(failure) is rule
    error = as_error(failure, doing="part 17 of bucket/key")
    resume = ResumeCommand(tuple(shlex.split(COMMAND)))
    what, why, following = error_lines(error, resume=resume, stored=(16, 240)).splitlines()
    assert what.startswith("Error: part 17 of bucket/key ")
    assert why.startswith("Why:   ")
    assert following.startswith("Next:  ")
    assert (REQUEST_ID in why) == isinstance(failure, StoreError)
    _, separator, command = following.partition(": obsup ")
    assert separator, f"no command in {following!r}"
    context = parse_command(f"obsup {command}")
    assert context.params["sources"] == ("big file", "bucket/key")
    assert failure_fields(error, command="upload", resume=resume)["resumeCommand"] == f"obsup {command}"


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (run_again(), "obsup upload f b/k --part-size 1M -j 8"),
        (run_again(add=("--restart",)), "obsup upload f b/k --part-size 1M -j 8 --restart"),
        (run_again(add=("--part-size", "5M")), "obsup upload f b/k -j 8 --part-size 5M"),
        (run_again(add=("--parts", "7")), "obsup upload f b/k -j 8 --parts 7"),
        (run_again(add=("--restart", "--parts", "7")), "obsup upload f b/k -j 8 --restart --parts 7"),
        (run_again(add=("--if-running", "wait")), "obsup upload f b/k --part-size 1M -j 8 --if-running wait"),
        (run_again(drop=("--part-size",)), "obsup upload f b/k -j 8"),
        (run_again(drop=("--jobs",)), "obsup upload f b/k --part-size 1M"),
    ],
)
def test_a_step_changes_the_failed_command_line(step: NextStep, expected: str) -> None:
    """Options are added and dropped; an added option replaces the options that exclude it."""
    words = shlex.split("obsup upload f b/k --part-size 1M -j 8")
    assert shlex.join(changed(words, step)) == expected


def test_words_after_two_dashes_are_not_changed() -> None:
    """They belong to the command of --from-command."""
    words = ["obsup", "upload", "--from-command", "b/k", "--", "tar", "--parts", "3", "/srv"]
    changed_words = changed(words, run_again(add=("--parts", "7")))
    assert " ".join(changed_words) == "obsup upload --from-command b/k --parts 7 -- tar --parts 3 /srv"


@pytest.mark.parametrize(
    ("step", "resume", "expected"),
    [
        (run_again(), RESUME, "Run the same command again: obsup upload f b/k"),
        (run_again(), None, "Run the same command again."),
        (run_again("set the clock"), RESUME, "Set the clock, then run: obsup upload f b/k"),
        (run_again("set the clock"), None, "Set the clock, then run the same command again."),
        (run_again(add=("--restart",)), RESUME, "Run: obsup upload f b/k --restart"),
        (run_again(add=("--restart",)), None, "Run the same command again (with --restart)."),
        (
            run_again("use larger parts", add=("--part-size", "5M"), drop=("--parts",)),
            None,
            "Use larger parts, then run the same command again (without --parts, with --part-size 5M).",
        ),
        (
            run_again("use larger parts", add=("--part-size", "5M")),
            RESUME,
            "Use larger parts: obsup upload f b/k --part-size 5M",
        ),
        (
            run_again("start over", add=("--restart",)),
            ResumeCommand(("obsup", "parts", "b/k")),
            "Start over (obsup upload --restart).",
        ),
        (
            run_again(
                "raise the limit, or send one part at a time", add=("--jobs", "1"), otherwise="raise it"
            ),
            ResumeCommand(("obsup", "upload", "f", "b/k", "-j", "1")),
            "Raise it, then run: obsup upload f b/k -j 1",
        ),
        (
            run_again(
                "raise the limit, or send one part at a time", add=("--jobs", "1"), otherwise="raise it"
            ),
            ResumeCommand(("obsup", "upload", "f", "b/k", "-j", "16")),
            "Raise the limit, or send one part at a time: obsup upload f b/k --jobs 1",
        ),
        (
            run_again(
                "raise it, or send without threads", add=("--executor", "inline"), otherwise="raise it"
            ),
            ResumeCommand(("obsup", "verify", "f", "b/k")),
            "Raise it, then run: obsup verify f b/k",
        ),
        (NextStep("check the bucket name"), RESUME, "Check the bucket name."),
        (
            NextStep("upload it", command=("obsup", "upload", "a b", "b/k")),
            RESUME,
            "Upload it: obsup upload 'a b' b/k",
        ),
        (run_again("set the clock"), PIPE, "Set the clock, then run: … | obsup upload - b/k"),
        (run_again(), PIPE._replace(keeps_parts=True), "Run the same pipe again: … | obsup upload - b/k"),
    ],
)
def test_the_next_line_ends_with_the_command_to_run(
    step: NextStep, resume: ResumeCommand | None, expected: str
) -> None:
    """A line without a command is a sentence with a full stop, which would be copied with a command."""
    assert next_line(step, resume) == expected


def test_the_stored_parts_are_counted() -> None:
    """Users must see that a retry does not start over."""
    error = NotFinished("part 17 of b/k failed", "Connection reset")
    assert error_lines(error, resume=RESUME, stored=(16, 240)).splitlines()[2] == (
        "Next:  Run the same command again (16 of 240 parts are stored and will not be sent again): "
        "obsup upload f b/k"
    )


def test_a_pipe_without_a_checkpoint_promises_nothing() -> None:
    """Its parts are sent again; no single command resumes it."""
    error = NotFinished("part 17 of b/k failed", "Connection reset")
    line = error_lines(error, resume=PIPE, stored=(16, None)).splitlines()[2]
    assert line.startswith("Next:  Run the whole pipe again from its beginning")
    assert line.endswith(": … | obsup upload - b/k")
    assert "not be sent again" not in line
    assert failure_fields(error, command="upload", resume=PIPE)["resumeCommand"] is None


def test_an_interrupt_prints_the_command_that_resumes() -> None:
    """Ctrl-C keeps what is stored."""
    error = Interrupted("stopped by SIGINT", "Stored parts are kept")
    assert error_lines(error, resume=RESUME).splitlines()[2] == (
        "Next:  Run the same command again: obsup upload f b/k"
    )


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ((0, 240), " (none of the 240 parts is stored yet)"),
        ((1, 240), " (1 of 240 parts is stored and will not be sent again)"),
        ((0, 1), ""),
        ((0, None), ""),
    ],
)
def test_the_number_of_stored_parts_is_named(stored: tuple[int, int | None], text: str) -> None:
    """Nothing is said to be kept if nothing is stored."""
    error = Interrupted("stopped by SIGINT", "Stored parts are kept")
    line = error_lines(error, resume=RESUME, stored=stored).splitlines()[2]
    assert line == f"Next:  Run the same command again{text}: obsup upload f b/k"


def test_the_resume_command_has_no_restart() -> None:
    """--restart of the failed run would discard what that run stored; after an invalid command line it is still due."""
    resume = resume_command(["upload", "f", "b/k", "--restart"], environment={})
    assert resume == RESUME._replace(restarts=True)
    for error, options in ((NotFinished, ""), (WrongUsage, " --restart")):
        lines = error_lines(error("x", "", run_again("fix it")), resume=resume).splitlines()
        assert lines[1].endswith(f": obsup upload f b/k{options}")


def test_an_option_of_the_environment_is_left_out_by_its_variable() -> None:
    """Without it, the printed command would fail again; --restart would discard what is stored."""
    environment = {"OBSUP_NO_OVERWRITE": "1", "OBSUP_RESTART": "1", "OBSUP_SSE": "kms", "OBSUP_ACL": ""}
    resume = resume_command(["upload", "f", "b/k", "--no-overwrite"], environment=environment)
    error = WrongUsage("exists", "", run_again("leave out both", drop=("--no-overwrite", "--acl")))
    line = "Next:  Leave out both: env -u OBSUP_NO_OVERWRITE -u OBSUP_RESTART obsup upload f b/k"
    assert error_lines(error, resume=resume).splitlines()[1] == line
    again = NotFinished("x", "", run_again("start over", add=("--restart",)))
    assert "env" not in error_lines(again, resume=resume)


def test_an_option_of_the_configuration_file_has_to_be_removed_there() -> None:
    """No command line leaves it out, so there is none for a script to run."""
    resume = RESUME._replace(configured={"no_overwrite": "profile nightly", "sse": "[defaults]"})
    error = WrongUsage("exists", "", run_again("leave it out", drop=("--no-overwrite",)))
    assert error_lines(error, resume=resume).splitlines()[1] == (
        "Next:  Leave it out (first remove no_overwrite from profile nightly in the configuration file): "
        "obsup upload f b/k"
    )
    assert failure_fields(error, command="upload", resume=resume)["resumeCommand"] is None


def test_sentences_end_with_a_full_stop_and_commands_do_not() -> None:
    """A full stop after a command would be copied with it."""
    error = WrongUsage("--parts must be between 1 and 10000, not 0", "", run_again(add=("--parts", "1")))
    assert error_lines(error, resume=RESUME).splitlines() == [
        "Error: --parts must be between 1 and 10000, not 0.",
        "Next:  Run: obsup upload f b/k --parts 1",
    ]


def test_a_failure_as_json_has_the_documented_keys() -> None:
    """Status, exit code, reason, message, whether a retry helps, and the command to run."""
    error = NotFinished("part 17 of b/k failed", "Connection reset")
    assert failure_fields(error, command="upload", resume=RESUME) == {
        "command": "upload",
        "status": "incomplete",
        "exitCode": 75,
        "reason": "network",
        "message": "part 17 of b/k failed. Connection reset",
        "retryable": True,
        "httpStatus": None,
        "errorCode": None,
        "errorMessage": None,
        "requestId": None,
        "hostId": None,
        "resumeCommand": "obsup upload f b/k",
    }


def test_a_failure_that_no_command_fixes_has_no_resume_command() -> None:
    """``resumeCommand`` is the command of the "Next:" line, if it has one."""
    error = WrongUsage("invalid bucket name 'b'", "Too short", NextStep("use another bucket"))
    assert failure_fields(error, command="upload", resume=RESUME)["resumeCommand"] is None
    changed_step = WrongUsage("the file is too large", "Too many parts", run_again(add=("--parts", "7")))
    fields = failure_fields(changed_step, command="upload", resume=RESUME)
    assert fields["resumeCommand"] == "obsup upload f b/k --parts 7"


def test_a_command_that_replaces_the_object_is_not_that_which_resumes() -> None:
    """A script that runs it would overwrite what verify found to be different."""
    error = DataMismatch(
        "b/k does not exist", "", NextStep("upload it", command=("obsup", "upload", "f", "b/k"))
    )
    resume = ResumeCommand(("obsup", "verify", "f", "b/k"))
    assert error_lines(error, resume=resume).endswith("Upload it: obsup upload f b/k")
    assert failure_fields(error, command="verify", resume=resume)["resumeCommand"] is None


@pytest.mark.parametrize(
    ("errors", "advice"),
    [
        (
            [DataMismatch("a"), DataMismatch("b")],
            "check the files above, and upload those whose object is missing or wrong",
        ),
        ([DataMismatch("a"), SourceUnreadable("b")], "fix the errors above"),
    ],
)
def test_verify_advises_an_upload_if_that_helps_every_file(errors: list[ObsupError], advice: str) -> None:
    summary = BatchSummary()
    for error in errors:
        summary.add(FileOutcome("file", "file", error=error))
    failure = failure_of(summary, "verify")
    assert failure is not None
    assert failure.next_step == run_again(advice)

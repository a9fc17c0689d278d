"""Reports of a batch: one JSON object per file, the list of failed files, and the summary."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from obsup.cli.report import output
from obsup.cli.report.fields import (
    KEPT_CODES,
    failure_fields,
    refusal_fields,
    result_fields,
    target_fields,
)
from obsup.cli.report.next_command import ResumeCommand, shown_command
from obsup.engine.batch.outcome import BatchSummary, FileOutcome
from obsup.errors import DataMismatch, LocalFailure, NotFinished, ObsupError, OutOfTime, run_again
from obsup.local.files.existing import real_path
from obsup.local.state.atomic_file import AtomicFile
from obsup.local.walk.walk import as_list_entry
from obsup.model import Target
from obsup.text import quoted, shell_line, utf8_name
from obsup.units import format_duration, format_size

BatchCommand = Literal["upload", "verify"]
# What a file is after the command succeeded, in words and in --json; and what it is not after a failure.
_DONE: dict[BatchCommand, tuple[str, str, str]] = {
    "upload": ("sent", "completed", "uploaded"),
    "verify": ("identical", "identical", "verified"),
}


class FailedList:
    """A list for --from-list of the files that failed or were not started. It replaces an earlier list at the end.

    Until then the earlier list stays readable: it may be *from_list*, which this batch reads. Raises LocalFailure.
    """

    def __init__(self, path: Path, separator: bytes, from_list: Path | None = None) -> None:
        self._path = path
        self._is_input = from_list is not None and real_path(path) == real_path(from_list)
        self._separator = separator
        self._omitted = 0
        try:
            self._file = AtomicFile(path, is_private=False)
        except OSError as exc:
            raise self._failure(exc) from exc

    def add(self, outcome: FileOutcome) -> None:
        """Add a file. Does nothing after a failure."""
        entry = as_list_entry(outcome.path, outcome.name)
        if self._separator in entry:
            self._omitted += 1
        elif not self._file.closed:
            try:
                self._file.write(entry + self._separator)
            except OSError as exc:
                raise self._failure(exc) from exc

    def close(self, *, has_all: bool) -> str | None:
        """Replace the earlier list, unless names would be lost; return a note for the user.

        *has_all*: all files were found, so that every name is in the list or needs no other run.
        """
        if self._file.closed:
            return None
        if not has_all:
            self.discard()
            return f"{quoted(self._path)} was not written: the batch was stopped before all files were found"
        if self._omitted and self._is_input:
            self.discard()
            return f"{quoted(self._path)} stays as it is: names with line breaks cannot be in it; use -0 for them"
        try:
            self._file.commit()
        except OSError as exc:
            raise self._failure(exc) from exc
        return (
            f"{self._omitted} names with line breaks are not in the list; use -0 for them"
            if self._omitted
            else None
        )

    def discard(self) -> None:
        """Keep the earlier list unchanged and remove the temporary file."""
        self._file.discard()

    def _failure(self, exc: OSError) -> LocalFailure:
        return LocalFailure(
            f"cannot write the list of failed files {quoted(self._path)}",
            exc.strerror or "",
            run_again("name another file with --failed-list"),
        )


class BatchReport:
    """Receives the outcome of each file and reports the whole batch at its end.

    A report that cannot be written is mentioned once; the batch continues, because the uploads matter more.
    """

    def __init__(
        self,
        prefix: Target,
        *,
        as_json: bool,
        failed_list: FailedList | None,
        resume: ResumeCommand,
        command: BatchCommand = "upload",
    ) -> None:
        self._command = command
        self._prefix = prefix
        self._as_json = as_json
        self._failed_list = failed_list
        self._resume = resume
        self._write_failures: set[str] = set()

    def __call__(self, outcome: FileOutcome) -> None:
        """Print the file's JSON object, and add the file to the list if it failed or was not started."""
        if self._failed_list is not None and not (outcome.error is None and outcome.is_started):
            self._write(partial(self._failed_list.add, outcome))
        if self._as_json and outcome.is_started:
            self._write(partial(output.print_json, self._fields(outcome)))

    def _write(self, write: Callable[[], object]) -> None:
        try:
            write()
        except LocalFailure as exc:
            if exc.what not in self._write_failures:
                self._write_failures.add(exc.what)
                output.print_message(output.error_lines(exc, resume=None))

    def _fields(self, outcome: FileOutcome) -> dict[str, Any]:
        fields: dict[str, Any] = {"source": utf8_name(outcome.path)}
        if outcome.error is not None:
            fields |= failure_fields(outcome.error, command=self._command, resume=None)
            fields["resumeCommand"] = None if self._resume.has_secret else shell_line(self._resume.words)
        elif outcome.result is not None:
            fields |= result_fields(outcome.result) | {"command": self._command}
        else:
            fields |= {"command": self._command, "size": outcome.size}
        why = outcome.skip_reason or outcome.ignore_reason
        reason = {"reason": why} if why else {}
        return {
            **fields,
            **target_fields(self._prefix.below(outcome.name)),
            "status": _DONE[self._command][1] if outcome.status == "completed" else outcome.status,
            **reason,
        }

    @staticmethod
    def _close(failed_list: FailedList, *, has_all: bool) -> None:
        note = failed_list.close(has_all=has_all)
        if note is not None:
            output.print_message(f"Note:  {note}.")

    def finish(self, summary: BatchSummary) -> int:
        """Report the whole batch and return the exit code. A fully successful batch prints nothing as text."""
        if self._failed_list is not None:
            self._write(partial(self._close, self._failed_list, has_all=summary.is_walk_done))
        error = failure_of(summary, self._command)
        if error is not None:
            output.print_message(output.error_lines(error, resume=self._resume))
        if self._as_json:
            self._write(
                partial(output.print_json, summary_fields(summary, error, self._resume, self._command))
            )
        return summary.exit_code or (LocalFailure.exit_code if self._write_failures else 0)


def summary_line(summary: BatchSummary, command: BatchCommand = "upload") -> str:
    """Return one line about the batch: files sent, skipped and failed, bytes, time and mean rate."""
    size = summary.sent_bytes if command == "upload" else summary.size
    rate = size / summary.seconds if summary.seconds else 0.0
    return (
        f"{_files(summary.sent)} {_DONE[command][0]}, {summary.skipped:,} skipped, {summary.failed:,} failed: "
        f"{format_size(size)} in {format_duration(summary.seconds)} ({format_size(rate)}/s)"
    )


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"


def failure_of(summary: BatchSummary, command: BatchCommand = "upload") -> ObsupError | None:
    """Return the error of a batch that did not fully succeed, or None."""
    if not summary.exit_code:
        return None
    counts = ", ".join(f"{count:,} × {reason}" for reason, count in summary.reasons.most_common())
    reasons = f"; reasons: {counts}" if counts else ""
    if summary.ended_by is None:
        verb = "was" if summary.failed == 1 else "were"
        what = f"{summary.failed:,} of {_files(summary.files)} {verb} not {_DONE[command][2]}"
        why = f"{summary_line(summary, command)}{reasons}"
    else:
        what = f"the batch was stopped: {summary.ended_by}"
        why = f"{summary_line(summary, command)}; the remaining files were not started{reasons}"
    if summary.is_retryable:
        longer = summary.ended_by.next_step if isinstance(summary.ended_by, OutOfTime) else None
        return NotFinished(what, why, longer or run_again())
    step = summary.ended_by.next_step if summary.ended_by is not None else summary.common_step
    is_difference = command == "verify" and summary.reasons.keys() == {DataMismatch.reason}
    differing = "check the files above, and upload those whose object is missing or wrong"
    fix = differing if is_difference else "fix the errors above"
    return ObsupError(what, why, step or run_again(fix))


def summary_fields(
    summary: BatchSummary, error: ObsupError | None, resume: ResumeCommand, command: BatchCommand
) -> dict[str, Any]:
    """Return the documented keys of a batch."""
    code = summary.exit_code
    fields: dict[str, Any] = {
        "command": command,
        "status": _DONE[command][1] if not code else "incomplete" if code in KEPT_CODES else "failed",
        "files": summary.files,
        "sent": summary.sent,
        "skipped": summary.skipped,
        "failed": summary.failed,
        "size": summary.size,
        "sentParts": summary.sent_parts,
        "sentBytes": summary.sent_bytes,
        "seconds": round(summary.seconds, 3),
    }
    if error is not None:
        fields |= {
            "exitCode": code,
            "reasons": dict(summary.reasons),
            "message": str(error),
            "retryable": summary.is_retryable,
            "resumeCommand": shown_command(error, resume),
            **refusal_fields(summary.ended_by.refusal if summary.ended_by is not None else None),
        }
    return fields

"""What is said of many files: an object a file for scripts, a list of those that failed, and a summary."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from obsup.cli.report import output
from obsup.cli.report.fields import failure_fields, result_fields
from obsup.cli.report.next_command import AGAIN
from obsup.engine.batch.outcome import BatchSummary, FileOutcome
from obsup.errors import LocalFailure, NotFinished, ObsupError
from obsup.local.state.atomic_file import AtomicFile
from obsup.local.state.folders import is_special
from obsup.local.walk.walk import as_list_entry
from obsup.model import Target
from obsup.text import quoted, shell_line
from obsup.units import format_duration, format_size

T = TypeVar("T")
_KEPT_CODES = (75, 77, 130, 143)


class FailedList:
    """The list of the files that failed, in the format of --from-list; it replaces an older one at the end.

    Until then the older one stays: it may be the very list that this run reads. A device or a pipe is written directly.
    Raises LocalFailure.
    """

    def __init__(self, path: Path, separator: bytes) -> None:
        self._path = path
        self._separator = separator
        self._file: BinaryIO | AtomicFile
        self.left_out = 0
        try:
            self._file = path.open("wb") if is_special(path) else AtomicFile(path, is_private=False)
        except OSError as exc:
            raise self._failure(exc) from exc

    def add(self, outcome: FileOutcome) -> None:
        """Add a file. Does nothing after a failure."""
        entry = as_list_entry(outcome.path, outcome.name).encode("utf-8", "surrogateescape")
        if self._separator in entry:
            self.left_out += 1
        elif not self._file.closed:
            try:
                self._file.write(entry + self._separator)
            except OSError as exc:
                self.discard()
                raise self._failure(exc) from exc

    def close(self) -> None:
        """Replace the older list."""
        if self._file.closed:
            return
        try:
            self._file.commit() if isinstance(self._file, AtomicFile) else self._file.close()
        except OSError as exc:
            raise self._failure(exc) from exc

    def discard(self) -> None:
        """Keep the older list, and leave no other file."""
        with contextlib.suppress(OSError):
            self._file.discard() if isinstance(self._file, AtomicFile) else self._file.close()

    def _failure(self, exc: OSError) -> LocalFailure:
        return LocalFailure(
            f"the list {quoted(self._path)} cannot be written",
            exc.strerror or "",
            "name another file with --failed-list",
        )


class BatchReport:
    """Hears of each file as it ends, and says what came of all.

    What cannot be written is said once, and the work goes on: it is worth more than its report.
    """

    def __init__(self, place: Target, *, as_json: bool, failed: FailedList | None, resume: list[str]) -> None:
        self._place = place
        self._as_json = as_json
        self._failed = failed
        self._resume = resume
        self._unwritten: set[str] = set()

    def __call__(self, outcome: FileOutcome) -> None:
        """Print the file's object, and list it where it failed."""
        if outcome.error is not None and self._failed is not None:
            self._write(self._failed.add, outcome)
        if self._as_json:
            self._write(output.print_json, self._fields(outcome))

    def _write(self, write: Callable[[T], None], what: T) -> None:
        try:
            write(what)
        except LocalFailure as exc:
            if exc.what not in self._unwritten:
                self._unwritten.add(exc.what)
                output.print_message(output.error_lines(exc, resume=None))

    def _fields(self, outcome: FileOutcome) -> dict[str, Any]:
        about: dict[str, Any] = {"source": outcome.path}
        if outcome.error is not None:
            about |= failure_fields(outcome.error, command="upload", resume=self._resume)
        elif outcome.result is not None:
            about |= result_fields(outcome.result)
        else:
            about |= {"command": "upload", "size": outcome.size}
        place = {"provider": self._place.provider, "bucket": self._place.bucket}
        reason = {"reason": outcome.skipped or outcome.passed} if outcome.skipped or outcome.passed else {}
        return about | place | {"key": self._place.key + outcome.name, "status": outcome.status} | reason

    def finish(self, summary: BatchSummary) -> int:
        """Say what came of all, where that is not simply success, and return the exit code."""
        if self._failed is not None:
            self._write(lambda failed: failed.close(), self._failed)
            if self._failed.left_out:
                output.print_message(
                    f"Note:  {self._failed.left_out} names with line breaks are not in the list: use -0 for them."
                )
        error = failure_of(summary)
        if error is not None:
            output.print_message(output.error_lines(error, resume=self._resume))
        if self._as_json:
            self._write(output.print_json, summary_fields(summary, error, self._resume))
        return summary.exit_code or (LocalFailure.exit_code if self._unwritten else 0)


def told(summary: BatchSummary) -> str:
    """Return what came of all in one line."""
    rate = summary.sent_bytes / summary.seconds if summary.seconds else 0.0
    return (
        f"{summary.sent:,} files sent, {summary.skipped:,} skipped, {summary.failed:,} failed: "
        f"{format_size(summary.sent_bytes)} in {format_duration(summary.seconds)} ({format_size(rate)}/s)"
    )


def failure_of(summary: BatchSummary) -> ObsupError | None:
    """Return what stands against calling it a success, None where every file is in place and proved."""
    if not summary.exit_code:
        return None
    counts = ", ".join(f"{count:,} × {reason}" for reason, count in summary.reasons.most_common())
    ended = summary.ended_by
    if ended is None:
        what = f"{summary.failed:,} of {summary.files:,} files are not in place"
        why = f"{told(summary)}; the reasons: {counts}"
    else:
        what = f"the batch was cut short: {ended}"
        why = f"{told(summary)}; others were not begun" + (f"; the reasons: {counts}" if counts else "")
    if summary.is_retryable:
        return NotFinished(what, why, f"{AGAIN}; what is proved is not sent again")
    return ObsupError(what, why, f"mend what is said above, then {AGAIN}; what is proved is not sent again")


def summary_fields(summary: BatchSummary, error: ObsupError | None, resume: list[str]) -> dict[str, Any]:
    """Return the documented keys of a batch for ``--json``."""
    code = summary.exit_code
    fields: dict[str, Any] = {
        "command": "upload",
        "status": "completed" if not code else "incomplete" if code in _KEPT_CODES else "failed",
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
            "resumeCommand": shell_line(resume),
        }
    return fields

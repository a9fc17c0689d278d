"""The outcome of each file of a batch, and the summary of all."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Literal

from obsup import events
from obsup.engine.job.result import Result
from obsup.errors import NextStep, ObsupError
from obsup.exit_status import worst_code
from obsup.local.walk.walk import FoundFile
from obsup.value import Value

Status = Literal["completed", "skipped", "incomplete", "failed"]
ALREADY_UPLOADED = "already uploaded"


class FileOutcome(Value):
    """The outcome of one file: its ``result``, or why it was skipped or ignored, or its ``error``.

    A file is skipped if its object is in place already, and ignored if it is not a regular file. ``size`` is bytes.
    It is not ``is_started`` if the batch was stopped before.
    """

    path: str
    name: str
    size: int = 0
    result: Result | None = None
    skip_reason: str = ""
    ignore_reason: str = ""
    error: ObsupError | None = None
    is_started: bool = True

    @classmethod
    def of(
        cls,
        file: FoundFile,
        *,
        result: Result | None = None,
        skip_reason: str = "",
        error: ObsupError | None = None,
    ) -> FileOutcome:
        """Return the outcome of *file*."""
        size = file.stat.size if result is None else result.size
        return cls(file.path, file.name, size, result, skip_reason, error=error)

    @property
    def event(self) -> events.FileEnded:
        """The event that reports this outcome."""
        if self.error is not None:
            return events.FileEnded(self.name, self.size, "failed", str(self.error))
        if self.ignore_reason:
            return events.FileEnded(self.name, 0, "passed", self.ignore_reason)
        return events.FileEnded(self.name, self.size, "skipped" if self.skip_reason else "sent")

    @property
    def status(self) -> Status:
        """The status of the file in ``--json``."""
        if self.error is not None:
            is_progress_kept = self.error.retryable or self.error.exit_code == 77
            return "incomplete" if is_progress_kept else "failed"
        return "skipped" if self.skip_reason or self.ignore_reason else "completed"


class IncompleteFiles:
    """Counts the parts that were stored of files that are not complete. Its ``observe`` forwards to *forward*."""

    def __init__(self, forward: events.Observer) -> None:
        self._forward = forward
        self._sizes: dict[str, dict[int, int]] = defaultdict(dict)

    def observe(self, event: events.Event) -> None:
        """Count the part of *event*, if it is about one."""
        if isinstance(event, events.OfFile) and isinstance(event.event, events.PartStored):
            self._sizes[event.name][event.event.number] = event.event.size
        elif isinstance(event, events.FileEnded) and event.how != "failed":
            self._sizes.pop(event.name, None)
        self._forward(event)

    def add_to(self, summary: BatchSummary) -> None:
        """Add these parts to those of the files that were sent."""
        for sizes in list(self._sizes.values()):
            summary.sent_parts += len(sizes)
            summary.sent_bytes += sum(list(sizes.values()))


@dataclass(slots=True)
class BatchSummary:
    """Counts of files and bytes of a batch. ``ended_by`` is the error that ended the batch early.

    ``steps`` are the next steps of the failed files, at most two different ones. ``is_walk_done`` if all files were
    found.
    """

    sent: int = 0
    skipped: int = 0
    failed: int = 0
    size: int = 0
    sent_parts: int = 0
    sent_bytes: int = 0
    seconds: float = 0.0
    codes: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    steps: set[NextStep | None] = field(default_factory=set)
    ended_by: ObsupError | None = None
    is_walk_done: bool = False

    def add(self, outcome: FileOutcome) -> None:
        """Count one file."""
        error, result = outcome.error, outcome.result
        if error is not None:
            self.failed += 1
            self.codes[error.exit_code] += 1
            self.reasons[error.reason] += 1
            if len(self.steps) < 2:
                self.steps.add(error.next_step)
            return
        self.size += outcome.size
        if outcome.status == "skipped":
            self.skipped += 1
        else:
            self.sent += 1
        if result is not None:
            self.sent_parts += result.sent_parts
            self.sent_bytes += result.sent_bytes

    @property
    def files(self) -> int:
        """The number of files that ended, whatever the outcome."""
        return self.sent + self.skipped + self.failed

    @property
    def exit_code(self) -> int:
        """0 if every file is in place and verified, otherwise the worst exit code."""
        return worst_code([*self.codes, self.ended_by.exit_code if self.ended_by is not None else 0])

    @property
    def has_progress(self) -> bool:
        """Whether something was stored, so that the next run gets further."""
        return bool(self.sent or self.sent_parts)

    @property
    def common_step(self) -> NextStep | None:
        """How to run the whole batch again, if that is the next step of every failed file.

        None if it is --restart, which would discard the uploads of other files too.
        """
        step = next(iter(self.steps)) if len(self.steps) == 1 else None
        return step if step is not None and step.rerun and "--restart" not in step.add else None

    @property
    def is_retryable(self) -> bool:
        """Whether running the same command again can complete the batch."""
        return self.exit_code in (75, 129, 130, 143)

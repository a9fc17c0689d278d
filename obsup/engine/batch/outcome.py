"""What became of each file of a batch, and the summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from obsup import events
from obsup.engine.job.result import Result
from obsup.errors import ObsupError
from obsup.exit_status import worst_code
from obsup.model import SourceStat
from obsup.value import Value

Status = Literal["completed", "skipped", "incomplete", "failed"]


class FileOutcome(Value):
    """What came of one file: its *result*, why it was *skipped* or *passed* over, or its *error*. ``size`` is bytes.

    ``stat`` is the identity of what is in place now, None where that is not known.
    """

    path: str
    name: str
    size: int = 0
    result: Result | None = None
    skipped: str = ""
    passed: str = ""
    error: ObsupError | None = None
    stat: SourceStat | None = None

    @property
    def event(self) -> events.FileEnded:
        """What is told of it."""
        if self.error is not None:
            return events.FileEnded(self.name, self.size, "failed", str(self.error))
        if self.passed:
            return events.FileEnded(self.name, 0, "passed", self.passed)
        return events.FileEnded(self.name, self.size, "skipped" if self.skipped else "sent")

    @property
    def status(self) -> Status:
        """The word for it."""
        if self.error is not None:
            is_kept = self.error.retryable or self.error.exit_code == 77
            return "incomplete" if is_kept else "failed"
        return "skipped" if self.skipped or self.passed else "completed"


@dataclass(slots=True)
class BatchSummary:
    """What came of all: numbers of files and of bytes. ``ended_by`` is what cut the batch short."""

    sent: int = 0
    skipped: int = 0
    failed: int = 0
    size: int = 0
    sent_parts: int = 0
    sent_bytes: int = 0
    seconds: float = 0.0
    codes: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    ended_by: ObsupError | None = None

    def add(self, outcome: FileOutcome) -> None:
        """Count one file."""
        error, result = outcome.error, outcome.result
        if error is not None:
            self.failed += 1
            self.codes[error.exit_code] += 1
            self.reasons[error.reason] += 1
            return
        self.size += outcome.size
        if outcome.skipped or outcome.passed:
            self.skipped += 1
        else:
            self.sent += 1
        if result is not None:
            self.sent_parts += result.sent_parts
            self.sent_bytes += result.sent_bytes

    @property
    def files(self) -> int:
        """How many files came to an end, whichever."""
        return self.sent + self.skipped + self.failed

    @property
    def exit_code(self) -> int:
        """0 where every file is in place and proved, else the gravest code."""
        return worst_code([*self.codes, self.ended_by.exit_code if self.ended_by is not None else 0])

    @property
    def is_retryable(self) -> bool:
        """Whether the same command run again is all that it takes."""
        return self.exit_code in (75, 130, 143)

"""Many files as the user asks for them, and what came of each and of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from obsup import events
from obsup.engine.gravity import gravest
from obsup.engine.order import Order, Result
from obsup.errors import ObsupError
from obsup.frozen import frozen
from obsup.local.sources import Entry
from obsup.model import SourceStat, Target

Status = Literal["completed", "skipped", "incomplete", "failed"]


@frozen
class Common:
    """What the files of a batch have in common, as it travels to those who carry them.

    ``each`` is the order of each file but for its source and its target, ``place`` the prefix as a Target, ``folder``
    where checkpoints of large files are kept, None for beside them.
    """

    each: Order
    place: Target
    folder: Path | None = None


@frozen
class BatchOrder:
    """Many files below one prefix.

    ``entries`` begins the walk. ``place`` is the prefix as a Target. ``each`` is the order of each file but for its
    source and its target. ``stands_for`` tells batches to one prefix apart. ``journal`` names its file, None keeps
    none; ``is_journal_named``: the user asked for that very file. ``folder`` is where checkpoints of large files are
    kept, None for beside them. ``fail_fast``: the first failure stops the others. ``tells_requests``: somebody wants
    to hear of every request.
    """

    entries: Callable[[], Iterator[Entry]]
    place: Target
    each: Order
    stands_for: str
    journal: Path | None
    is_journal_named: bool = False
    folder: Path | None = None
    fail_fast: bool = False
    tells_requests: bool = False

    @property
    def common(self) -> Common:
        """What the files have in common."""
        return Common(self.each, self.place, self.folder)


@frozen
class FileOutcome:
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
class Summary:
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
        return gravest([*self.codes, self.ended_by.exit_code if self.ended_by is not None else 0])

    @property
    def is_retryable(self) -> bool:
        """Whether the same command run again is all that it takes."""
        return self.exit_code in (75, 130, 143)

"""Many files as the user asks for them, and what came of each and of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from obsup.engine.job.request import UploadRequest
from obsup.local.walk.walk import Entry
from obsup.model import Target
from obsup.value import Value


class SharedRequest(Value):
    """What the files of a batch have in common, as it travels to those who carry them.

    ``each`` is the order of each file but for its source and its target, ``place`` the prefix as a Target, ``folder``
    where checkpoints of large files are kept, None for beside them.
    """

    each: UploadRequest
    place: Target
    folder: Path | None = None


class BatchRequest(Value):
    """Many files below one prefix.

    ``entries`` begins the walk. ``place`` is the prefix as a Target. ``each`` is the order of each file but for its
    source and its target. ``stands_for`` tells batches to one prefix apart. ``journal`` names its file, None keeps
    none; ``is_journal_named``: the user asked for that very file. ``folder`` is where checkpoints of large files are
    kept, None for beside them. ``fail_fast``: the first failure stops the others. ``tells_requests``: somebody wants
    to hear of every request.
    """

    entries: Callable[[], Iterator[Entry]]
    place: Target
    each: UploadRequest
    stands_for: str
    journal: Path | None
    is_journal_named: bool = False
    folder: Path | None = None
    fail_fast: bool = False
    tells_requests: bool = False

    @property
    def common(self) -> SharedRequest:
        """What the files have in common."""
        return SharedRequest(self.each, self.place, self.folder)

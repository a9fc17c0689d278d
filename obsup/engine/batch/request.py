"""The request for an upload of many files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from obsup.engine.job.request import UploadRequest
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE
from obsup.local.state.checkpoint_path import default_path
from obsup.local.walk.walk import Entry
from obsup.model import Target
from obsup.value import Value


class SharedRequest(Value):
    """What the files of a batch have in common. It can be pickled and contains no secret.

    ``template`` is the request of each file except for its source and target. ``prefix`` is the common target: its key
    is the start of every key. ``checkpoint_folder`` keeps the checkpoints of large files; None keeps each beside its
    source.
    """

    template: UploadRequest
    prefix: Target
    checkpoint_folder: Path | None = None

    def fits_one_request(self, size: int) -> bool:
        """Return whether a file of *size* bytes is sent in one request instead of in parts."""
        return size <= min(self.template.part_size or DEFAULT_PART_SIZE, DEFAULT_PART_SIZE)

    def has_checkpoint(self, path: str, name: str, size: int) -> bool:
        """Return whether the file *path*, which becomes the key *name*, has a checkpoint of an upload in parts."""
        if self.fits_one_request(size) or not self.template.keep_checkpoint:
            return False
        return os.path.lexists(default_path(Path(path), self.prefix.below(name), self.checkpoint_folder))


class BatchRequest(Value):
    """An upload of many files.

    ``entries`` starts the walk over the sources. ``batch_id`` distinguishes batches to one prefix. ``journal`` is the
    path of the journal, None for no journal; ``is_journal_explicit`` if the user named this path. ``fail_fast`` stops
    the batch at the first failure. ``lists_unstarted`` if a batch that is stopped reports the files it did not start.
    ``reports_requests`` if an observer needs the event of every request.
    """

    entries: Callable[[], Iterator[Entry]]
    shared: SharedRequest
    batch_id: str
    journal: Path | None
    is_journal_explicit: bool = False
    fail_fast: bool = False
    lists_unstarted: bool = False
    reports_requests: bool = False

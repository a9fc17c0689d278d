"""What a batch would do, file by file, without a word to the store: what its journal knows is all that is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Literal

from obsup import events
from obsup.dialects.dialect import Dialect
from obsup.dialects.object_headers import object_headers
from obsup.engine.batch.bucket_index import empty_index
from obsup.engine.batch.known_files import KnownFiles
from obsup.engine.batch.request import BatchRequest
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE, make_plan
from obsup.errors import ObsupError
from obsup.local.source.file import check_readable
from obsup.local.state.journal import Journal, JournalDamaged
from obsup.local.walk.walk import Entry, SkippedFile, UnreadableFile
from obsup.value import Value


class PlannedFile(Value):
    """One file of a batch: to be sent in *parts* parts (1: in one request), skipped and why, or not fit and why.

    ``size`` and ``part_size`` are bytes.
    """

    path: str
    name: str
    what: Literal["send", "skip", "refuse"]
    size: int = 0
    part_size: int = 0
    parts: int = 0
    why: str = ""
    error: ObsupError | None = None


def plan_batch(
    order: BatchRequest, dialect: Dialect, observe: events.Observer = events.ignore
) -> Iterator[PlannedFile]:
    """Yield what is to be done with each file. Raises ObsupError for what stands against all of them."""
    object_headers(dialect, order.each.options, "initiate")
    journal = _look_at(order, observe)
    with empty_index() as index, closing(journal) if journal is not None else nullcontext():
        records = KnownFiles(order, dialect, index, journal, observe)
        for entry in order.entries():
            yield _planned(entry, order, dialect, records)


def _look_at(order: BatchRequest, observe: events.Observer) -> Journal | None:
    if order.journal is None:
        return None
    try:
        return Journal(order.journal, order.place, read_only=True)
    except JournalDamaged as exc:
        if order.is_journal_named:
            raise
        observe(events.Noted(f"{exc}; the store would be asked"))
        return None


def _planned(entry: Entry, order: BatchRequest, dialect: Dialect, records: KnownFiles) -> PlannedFile:
    if isinstance(entry, SkippedFile):
        return PlannedFile(entry.path, entry.name, "skip", why=entry.reason)
    if isinstance(entry, UnreadableFile):
        return PlannedFile(entry.path, entry.name, "refuse", error=entry.error)
    size, each = entry.stat.size, order.each
    try:
        decision = records.decision(entry)
        check_readable(Path(entry.path))
        is_small = size <= min(each.part_size or DEFAULT_PART_SIZE, DEFAULT_PART_SIZE)
        plan = make_plan(size, dialect.limits, part_size=None if is_small else each.part_size)
    except ObsupError as exc:
        return PlannedFile(entry.path, entry.name, "refuse", size, error=exc)
    if decision == "skip":
        return PlannedFile(entry.path, entry.name, "skip", size, why="proved before")
    why = "unless the store has it" if decision == "compare" else ""
    return PlannedFile(entry.path, entry.name, "send", size, plan.part_size, plan.count, why)

"""Plan a batch without network access: what would be done with each file, by the journal alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Literal

from obsup import events
from obsup.dialects.dialect import Dialect
from obsup.engine.batch.bucket_index import empty_index
from obsup.engine.batch.known_files import KnownFiles
from obsup.engine.batch.outcome import ALREADY_UPLOADED
from obsup.engine.batch.request import BatchRequest
from obsup.engine.job.connection import StoreSettings, customer_key_of
from obsup.engine.plan.file_plan import make_plan
from obsup.errors import ObsupError
from obsup.local.source.identity import check_readable
from obsup.local.state.journal import Journal, JournalDamaged
from obsup.local.walk.walk import Entry, SkippedFile, UnreadableFile
from obsup.value import Value


class PlannedFile(Value):
    """What would be done with one file: send it in *parts* parts (1: in one request), skip it, or refuse it.

    ``size`` and ``part_size`` are bytes. ``reason`` is why it is skipped, or under which condition it is not sent.
    """

    path: str
    name: str
    action: Literal["send", "skip", "refuse"]
    size: int = 0
    part_size: int = 0
    parts: int = 0
    reason: str = ""
    error: ObsupError | None = None


def plan_batch(
    request: BatchRequest, settings: StoreSettings, observe: events.Observer = events.ignore
) -> Iterator[PlannedFile]:
    """Yield the plan of each file. Raises ObsupError if no file could be sent."""
    dialect, key = settings.dialect, customer_key_of(settings)
    key_digest = key.digest if key is not None else ""
    request.shared.template.object_headers(dialect, "initiate", since_s=time.time())
    journal = _open_journal(request, observe)
    with empty_index() as index, closing(journal) if journal is not None else nullcontext():
        known_files = KnownFiles(request, dialect, index, journal, observe, customer_key_digest=key_digest)
        for entry in request.entries():
            yield _plan_file(entry, request, dialect, known_files)


def _open_journal(request: BatchRequest, observe: events.Observer) -> Journal | None:
    if request.journal is None:
        return None
    try:
        return Journal(request.journal, request.shared.prefix, read_only=True)
    except JournalDamaged as exc:
        if request.is_journal_explicit:
            raise
        observe(events.Noted(f"{exc}; an upload would ask the store instead"))
        return None


def _plan_file(entry: Entry, request: BatchRequest, dialect: Dialect, known_files: KnownFiles) -> PlannedFile:
    if isinstance(entry, SkippedFile):
        return PlannedFile(entry.path, entry.name, "skip", reason=entry.reason)
    if isinstance(entry, UnreadableFile):
        return PlannedFile(entry.path, entry.name, "refuse", error=entry.error)
    size, shared = entry.stat.size, request.shared
    try:
        decision = known_files.decide(entry).decision
        check_readable(Path(entry.path))
        part_size = None if shared.fits_one_request(size) else shared.template.part_size
        plan = make_plan(size, dialect.limits, part_size=part_size)
    except ObsupError as exc:
        return PlannedFile(entry.path, entry.name, "refuse", size, error=exc)
    if decision == "look":
        reason = f"{ALREADY_UPLOADED}, if the store still has it"
        return PlannedFile(entry.path, entry.name, "skip", size, reason=reason)
    reason = "unless the store has it" if decision == "compare" else ""
    return PlannedFile(entry.path, entry.name, "send", size, plan.part_size, plan.count, reason)

"""Decide for each file of a batch, by its journal and the objects in the bucket, whether it has to be sent."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from obsup import events
from obsup.dates import parse_date
from obsup.dialects.dialect import Dialect
from obsup.dialects.objects.names import check_key
from obsup.engine.batch.bucket_index import BucketIndex, open_bucket_index
from obsup.engine.batch.outcome import FileOutcome
from obsup.engine.batch.request import BatchRequest
from obsup.engine.job.connection import Connection
from obsup.engine.proof.object_proof import BY_CONTENT
from obsup.errors import CheckpointUnwritable, LocalFailure, NextStep, SourceUnreadable, WrongUsage
from obsup.local.source.identity import is_same_file
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state.journal import DAMAGED_SUFFIX, Journal, JournalDamaged, JournalEntry, JournalUntrusted
from obsup.local.walk.walk import FoundFile
from obsup.text import quoted

Decision = Literal["skip", "look", "compare", "send"]
"""Skip the file; skip it if HeadObject shows the recorded object; send it unless its object is identical; send it."""

# The journal divides the keys into at most so many ranges, of full pages, whose lists are read at once.
MAX_RANGES, PAGE_FILES = 16, 1000
# One page lists 1,000 objects. If a range holds far more objects than the journal has files, the rest of its list
# is not read, and the files behind its end cost a HeadObject each.
MIN_LISTED_PAGES = 10
LISTED_PAGES_PER_1000_FILES = 3
# How much the last modification of an object may differ in a list, in HeadObject, and from the Date of the response to
# the request that made it: some have whole seconds.
DATE_RESOLUTION_S = 2.0


class PendingFile(NamedTuple):
    """A file of a batch, what to do with it, and its entry in the journal if that decides."""

    file: FoundFile
    decision: Decision
    entry: JournalEntry | None = None


def take_files(pending: deque[PendingFile], max_files: int, max_bytes: int) -> list[PendingFile]:
    """Take the next files from *pending*: the first one, and others while all together have at most *max_bytes*."""
    files = [pending.popleft()]
    size = files[0].file.stat.size
    while pending and len(files) < max_files and size + pending[0].file.stat.size <= max_bytes:
        files.append(pending.popleft())
        size += files[-1].file.stat.size
    return files


class KnownFiles:
    """What the journal of a batch and the list of its bucket say of each file. ``record`` is thread-safe."""

    def __init__(
        self,
        request: BatchRequest,
        dialect: Dialect,
        index: BucketIndex,
        journal: Journal | None,
        observe: events.Observer,
        *,
        customer_key_digest: str = "",
    ) -> None:
        self._shared = request.shared
        template = self._template = request.shared.template
        self._dialect = dialect
        self._key_prefix = request.shared.prefix.key
        self._index = index
        self._journal = journal
        self._observe = observe
        # The journals of earlier versions have the first 8 digits only.
        self._options_digest = template.headers_digest[:8] + customer_key_digest
        # The mark of a file of which only the parts were verified. Without it, they were sent with --digest none.
        self._verified_parts = f"{self._options_digest} verified"
        self._accepts_any = template.digest == "none"
        self._lock = threading.Lock()
        # A list does not show the options of an object. An object with the right content may have other options.
        self._has_options = template.has_object_options
        self._may_compare = template.skip_identical or not (self._has_options or template.restart)

    def decide(self, file: FoundFile) -> PendingFile:
        """Return what to do with the file. It is skipped only if the store shows the object of the journal entry.

        So the journal need not be bound to an account: in another bucket of the same name, the object is missing.
        Raises SourceUnreadable if the name of the file is not a valid key.
        """
        key = self._key_prefix + file.name
        try:
            check_key(self._dialect, key)
        except WrongUsage as exc:
            step = NextStep("rename the file, or leave it out with --exclude")
            raise SourceUnreadable(exc.what, exc.why, step) from exc
        if self._shared.has_checkpoint(file.path, file.name, file.stat.size):
            # The upload of a run that was killed: it finds its object, if it made one, and removes the checkpoint.
            return PendingFile(file, "send")
        stored, entry = self._index.find(key), self._journal_entry(file)
        if stored is None and not self._index.covers(key):
            if entry is not None:
                return PendingFile(file, "look", entry)
            return PendingFile(file, "compare" if self._template.skip_identical else "send")
        if stored is None or stored.size != file.stat.size:
            return PendingFile(file, "send")
        if entry is not None and stored.etag.lower() == entry.etag.lower():
            may_differ = self._template.strict_options or not is_recorded(stored.last_modified, entry)
            return (
                PendingFile(file, "look", entry)
                if self._has_options and may_differ
                else PendingFile(file, "skip")
            )
        return PendingFile(file, "compare" if self._may_compare else "send")

    def record(self, outcomes: Iterable[FileOutcome]) -> None:
        """Add the files that are in place to the journal, with the identity of what was sent."""
        if self._journal is None:
            return
        verified = [
            JournalEntry(
                one.name,
                result.source,
                result.etag,
                result.verified,
                self._options_in_entry(result.verified),
                parse_date(result.date) or time.time(),
            )
            for one in outcomes
            if (result := one.result) is not None and result.source is not None
        ]
        with self._lock:
            try:
                self._journal.add(*verified)
            except CheckpointUnwritable as exc:
                self._observe(_continuing_without_journal(exc))

    def _options_in_entry(self, verified: str) -> str:
        """Return the ``options`` of the journal entry of a file that *verified* has verified."""
        is_shown = self._accepts_any or verified in BY_CONTENT
        return self._options_digest if is_shown else self._verified_parts

    def _journal_entry(self, file: FoundFile) -> JournalEntry | None:
        """Return the journal's entry of this file if neither the file nor the options have changed since."""
        if self._journal is None or self._template.restart:
            return None
        entry = self._journal.find(file.name)
        if entry is None or not entry.etag:
            return None
        if entry.options not in (self._verified_parts, self._options_in_entry(entry.verified)):
            return None
        return entry if is_same_file(entry.stat, file.stat) else None


def is_recorded(last_modified: str, entry: JournalEntry) -> bool:
    """Return whether *last_modified* shows that the object is the one of *entry*; False without a valid date.

    The entry may have the Date header of the response instead, by a clock that may differ: then the object counts as
    another one, unless HeadObject shows the options.
    """
    date_s = parse_date(last_modified)
    return date_s is not None and abs(date_s - entry.date_s) <= DATE_RESOLUTION_S


@contextmanager
def open_known_files(
    request: BatchRequest, connection: Connection, observe: events.Observer
) -> Iterator[KnownFiles]:
    """Open the journal, list the bucket, and yield what is known of the files.

    Raises CheckpointUnwritable if the user named a journal that cannot be written, and what listing raises.
    """
    journal = _open_journal(request, observe)
    store, prefix = connection.store, request.shared.prefix
    known_count = journal.known if journal is not None else 0
    ranges = min(
        MAX_RANGES, request.shared.template.max_jobs
    )  # each has a connection, as a part in flight has
    range_files = PAGE_FILES * max(1, -(-known_count // (ranges * PAGE_FILES)))
    names = journal.names(range_files)[: ranges - 1] if journal is not None else []
    max_pages = MIN_LISTED_PAGES + LISTED_PAGES_PER_1000_FILES * min(range_files, known_count) // 1000
    try:
        with open_bucket_index(
            store, prefix, [prefix.key + name for name in names], max_pages=max_pages, observe=observe
        ) as index:
            key_digest = connection.customer_key_digest
            yield KnownFiles(request, store.dialect, index, journal, observe, customer_key_digest=key_digest)
    finally:
        if journal is not None:
            journal.close()


def _open_journal(request: BatchRequest, observe: events.Observer) -> Journal | None:
    path, prefix = request.journal, request.shared.prefix
    if path is None:
        return None
    try:
        try:
            journal = Journal(path, prefix)
        except JournalDamaged as exc:
            if request.is_journal_explicit and not isinstance(exc, JournalUntrusted):
                raise
            moved = checkpoints.set_aside(path, exc.what, DAMAGED_SUFFIX)
            observe(events.Noted(f"{exc}; it was renamed to {quoted(moved)}, and the store is asked instead"))
            journal = Journal(path, prefix)
    except (CheckpointUnwritable, LocalFailure) as exc:
        if request.is_journal_explicit:
            raise
        observe(_continuing_without_journal(exc))
        return None
    if journal.damaged:
        observe(
            events.Noted(
                f"{journal.damaged} lines of the journal {quoted(path)} are damaged; "
                "the store is asked about these files"
            )
        )
    return journal


def _continuing_without_journal(error: Exception) -> events.Noted:
    return events.Noted(f"{error}; continuing without a journal, so a later run will ask the store instead")

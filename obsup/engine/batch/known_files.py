"""What is known of the files of a batch, here and in the store, and so what is to be done with each."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

from msgspec.structs import replace

from obsup import events
from obsup.dialects.dialect import Dialect
from obsup.dialects.names import check_key
from obsup.engine.batch.bucket_index import BucketIndex, open_bucket_index
from obsup.engine.batch.outcome import FileOutcome
from obsup.engine.batch.request import BatchRequest
from obsup.engine.job.connection import Connection
from obsup.errors import CheckpointUnwritable, LocalFailure, SourceUnreadable, WrongUsage
from obsup.local.state.journal import Journal, JournalDamaged, JournalEntry, set_aside
from obsup.local.walk.walk import FoundFile
from obsup.model import ObjectOptions, StoredObject
from obsup.text import quoted

Decision = Literal["skip", "compare", "send"]
# A file of a batch that the walk met, and what is to be done with it.
Job = tuple[FoundFile, Decision]

# A list of as many objects as there are files takes a page for each thousand; beyond so many more it is somebody
# else's, and the files that it does not come to are looked up in the journal alone.
MIN_PAGES = 10
PAGES_PER_THOUSAND = 3


class KnownFiles:
    """The journal of a batch, and the list of what the store has. ``keep`` may be called from any thread."""

    def __init__(
        self,
        order: BatchRequest,
        dialect: Dialect,
        index: BucketIndex,
        journal: Journal | None,
        observe: events.Observer,
    ) -> None:
        each = self._each = order.each
        self._dialect = dialect
        self._prefix = order.place.key
        self._index = index
        self._journal = journal
        self._observe = observe
        self._options = each.headers_digest[:8]
        self._lock = threading.Lock()
        plain = (
            replace(each.options, no_overwrite=False) == ObjectOptions() and not each.encrypted_by_customer
        )
        # What is there with the right content may still be the wrong object: options do not show in a list.
        self._compares = each.skip_identical or (plain and not each.restart)

    def decision(self, found: FoundFile) -> Decision:
        """Return what is to be done with the file: nothing, a look whether its object is there already, or all.

        The journal alone proves nothing where the store can be seen: the object must be there as it was proved.
        Raises SourceUnreadable where its name can be no key.
        """
        key = self._prefix + found.name
        try:
            check_key(self._dialect, key)
        except WrongUsage as exc:
            raise SourceUnreadable(
                exc.what, exc.why, "rename the file, or leave it out with --exclude"
            ) from exc
        there = self._index.find(key)
        is_known = there is not None or self._index.covers(key)
        if self._is_proved(found, there) if is_known else self._is_recorded(found) is not None:
            return "skip"
        if not is_known:
            return "compare" if self._each.skip_identical else "send"
        if there is None or there.size != found.stat.size:
            return "send"
        return "compare" if self._compares else "send"

    def keep(self, outcomes: Iterable[FileOutcome]) -> None:
        """Write down those files that are in place, where it is known which."""
        if self._journal is None:
            return
        proved = [
            JournalEntry(one.name, one.stat, one.result.etag, one.result.verified, self._options)
            for one in outcomes
            if one.result is not None and one.stat is not None
        ]
        with self._lock:
            try:
                self._journal.add(*proved)
            except CheckpointUnwritable as exc:
                self._observe(
                    events.Noted(f"{exc}; going on without: a later run asks the store what it holds")
                )

    def _is_recorded(self, found: FoundFile) -> JournalEntry | None:
        """Return what the journal knows of this very file, sent with these very options."""
        if self._journal is None or self._each.restart:
            return None
        known = self._journal.find(found.name)
        return (
            known
            if known is not None and (known.stat, known.options) == (found.stat, self._options)
            else None
        )

    def _is_proved(self, found: FoundFile, there: StoredObject | None) -> bool:
        if there is None:
            return False
        known = self._is_recorded(found)
        if known is None or not known.etag:
            return False
        return there.size == found.stat.size and there.etag.lower() == known.etag.lower()


@contextmanager
def open_known_files(
    order: BatchRequest, connection: Connection, observe: events.Observer
) -> Iterator[KnownFiles]:
    """Give the records of a batch. Raises CheckpointUnwritable where its journal was asked for and cannot be."""
    journal = _open_journal(order, observe)
    pages = MIN_PAGES + PAGES_PER_THOUSAND * (journal.known if journal is not None else 0) // 1000
    try:
        with open_bucket_index(connection.store, order.place, pages=pages, observe=observe) as index:
            yield KnownFiles(order, connection.store.dialect, index, journal, observe)
    finally:
        if journal is not None:
            journal.close()


def _open_journal(order: BatchRequest, observe: events.Observer) -> Journal | None:
    path = order.journal
    if path is None:
        return None
    try:
        try:
            journal = Journal(path, order.place)
        except JournalDamaged as exc:
            if order.is_journal_named:
                raise
            observe(events.Noted(f"{exc}; it is now {quoted(set_aside(path))}, and the store is asked"))
            journal = Journal(path, order.place)
    except (CheckpointUnwritable, LocalFailure) as exc:
        if order.is_journal_named:
            raise
        observe(events.Noted(f"{exc}; going on without: a later run asks the store what it holds"))
        return None
    if journal.damaged:
        observe(
            events.Noted(
                f"{journal.damaged} lines of the journal {quoted(path)} are damaged; asking the store"
            )
        )
    return journal

"""What the store has below a TARGET: a thousand objects a request, instead of a request an object."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from obsup import events
from obsup.errors import ObsupError
from obsup.local.state.table import open_table
from obsup.model import StoredObject, Target
from obsup.store.interface import ObjectStore

# Keys that may write and not list are common; whatever else stands against a list stands against every file.
NOT_ALLOWED = ("AccessDenied", "Forbidden", "MethodNotAllowed", "NotImplemented")


class BucketIndex:
    """The objects of a list, as far as it was read."""

    def __init__(self, table: sqlite3.Connection) -> None:
        self._table = table
        self._last = ""
        self._is_whole = False

    def read(self, store: ObjectStore, place: Target, *, pages: int) -> None:
        """Read at most so many *pages* of the list of the objects below *place*. Raises ObsupError."""
        marker = ""
        for _page in range(pages):
            page = store.list_objects(place.bucket, place.key, marker)
            rows = [(one.key.encode("utf-8", "surrogateescape"), one.size, one.etag) for one in page.objects]
            self._table.executemany("INSERT OR REPLACE INTO object VALUES (?, ?, ?)", rows)
            if page.objects:
                self._last = page.objects[-1].key
            if page.marker is None:
                self._is_whole = True
                return
            marker = page.marker

    def covers(self, key: str) -> bool:
        """Return whether *key* would be here, if the store had it."""
        return self._is_whole or key.encode() <= self._last.encode("utf-8", "surrogateescape")

    def find(self, key: str) -> StoredObject | None:
        """Return the object as it was listed, None where it was not."""
        if not self._last:
            return None
        row = self._table.execute("SELECT size, etag FROM object WHERE key = ?", (key.encode(),)).fetchone()
        return None if row is None else StoredObject(key, *row)


@contextmanager
def empty_index() -> Iterator[BucketIndex]:
    """Give what is known of the store where nobody asks it."""
    with _table() as table:
        yield BucketIndex(table)


def _table() -> AbstractContextManager[sqlite3.Connection]:
    return open_table("object (key BLOB PRIMARY KEY, size INTEGER, etag TEXT) WITHOUT ROWID")


@contextmanager
def open_bucket_index(
    store: ObjectStore, place: Target, *, pages: int, observe: events.Observer
) -> Iterator[BucketIndex]:
    """Give what the store has below *place*; where it does not let us see, that is said, and nothing is covered."""
    with _table() as table:
        index = BucketIndex(table)
        try:
            index.read(store, place, pages=pages)
        except ObsupError as exc:
            if exc.refusal is None or exc.refusal.code not in NOT_ALLOWED:
                raise
            observe(
                events.Noted(
                    f"what is in {place} already cannot be listed: {exc.what}; the journal is believed"
                )
            )
        yield index

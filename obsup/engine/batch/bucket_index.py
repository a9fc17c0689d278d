"""Index of the objects below a prefix, listed a thousand per request instead of one request per object."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from obsup import events
from obsup.errors import ObsupError
from obsup.local.state.table import open_table
from obsup.model import StoredObject, Target
from obsup.store.interface import ObjectStore

# Credentials that may write but not list are common. Any other error of a list request would hit every file.
LISTING_DENIED_CODES = ("AccessDenied", "Forbidden", "MethodNotAllowed", "NotImplemented")


class BucketIndex:
    """The objects that were listed so far. A list in key order may end before the last object."""

    def __init__(self, table: sqlite3.Connection) -> None:
        self._table = table
        self._last_key = ""
        self._is_complete = False

    def read(self, store: ObjectStore, prefix: Target, *, max_pages: int) -> None:
        """List the objects below *prefix*, at most *max_pages* pages. Raises ObsupError."""
        marker = ""
        for _ in range(max_pages):
            page = store.list_objects(prefix.bucket, prefix.key, marker)
            rows = [
                (one.key.encode("utf-8", "surrogateescape"), one.size, one.etag, one.last_modified)
                for one in page.objects
            ]
            self._table.executemany("INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?)", rows)
            if page.objects:
                self._last_key = page.objects[-1].key
            if page.marker is None:
                self._is_complete = True
                return
            marker = page.marker

    def covers(self, key: str) -> bool:
        """Return whether *key* would be in this index if the object existed."""
        return self._is_complete or key.encode() <= self._last_key.encode("utf-8", "surrogateescape")

    def find(self, key: str) -> StoredObject | None:
        """Return the listed object, or None."""
        if not self._last_key:
            return None
        row = self._table.execute(
            "SELECT size, etag, last_modified FROM object WHERE key = ?", (key.encode(),)
        ).fetchone()
        return None if row is None else StoredObject(key, *row)


@contextmanager
def empty_index() -> Iterator[BucketIndex]:
    """Yield an index that covers no key, for work without network access."""
    with _open_table() as table:
        yield BucketIndex(table)


@contextmanager
def open_bucket_index(
    store: ObjectStore, prefix: Target, *, max_pages: int, observe: events.Observer
) -> Iterator[BucketIndex]:
    """Yield the index of the objects below *prefix*.

    If listing is not permitted, the index covers no key and a note is reported. Raises ObsupError.
    """
    with _open_table() as table:
        index = BucketIndex(table)
        try:
            index.read(store, prefix, max_pages=max_pages)
        except ObsupError as exc:
            if exc.refusal is None or exc.refusal.code not in LISTING_DENIED_CODES:
                raise
            observe(
                events.Noted(
                    f"the objects below {prefix} cannot be listed: {exc.what}; "
                    "each file in the journal costs one request"
                )
            )
        yield index


def _open_table() -> AbstractContextManager[sqlite3.Connection]:
    return open_table(
        "object (key BLOB PRIMARY KEY, size INTEGER, etag TEXT, last_modified TEXT) WITHOUT ROWID"
    )

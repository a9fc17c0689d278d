"""Index of the objects below a prefix, listed a thousand per request instead of one request per object.

A list is as slow as its round trips, so several ranges of keys are listed at once.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise

from obsup import events
from obsup.errors import ObsupError
from obsup.local.processes.executors import InlineExecutor, open_threads
from obsup.local.state.table import open_table
from obsup.model import ObjectPage, StoredObject, Target
from obsup.store.interface import ObjectStore

# Credentials that may write but not list are common. Any other error of a list request would hit every file.
LISTING_DENIED_CODES = ("AccessDenied", "Forbidden", "MethodNotAllowed", "NotImplemented")


@dataclass(slots=True)
class _KeyRange:
    """The keys up to *end*, or to the end of the list if that is empty, that follow those of the range before.

    Its list continues after *marker*, and has reached *last_key*. *first_key* is the first one in it, and *next_key*
    the first one behind *end*.
    """

    marker: str
    end: bytes
    last_key: bytes
    first_key: bytes = b""
    next_key: bytes = b""
    pages: int = 0
    is_complete: bool = False


class BucketIndex:
    """The objects that were listed so far. A list in key order may end before the last object of its range."""

    def __init__(self, table: sqlite3.Connection) -> None:
        self._table = table
        self._ranges: list[_KeyRange] = []
        self._ends: list[bytes] = []
        self._has_objects = False
        self._is_sorted = True  # as far as the pages show

    def read(self, store: ObjectStore, prefix: Target, boundaries: Sequence[str], *, max_pages: int) -> None:
        """List the objects below *prefix*, at most *max_pages* pages of each range. Raises ObsupError.

        The sorted keys *boundaries* are the last ones of all ranges but the last. A store that does not list keys in
        the order of their bytes (Storj, SeaweedFS) has only one range.
        """
        self._read_ranges(store, prefix, boundaries, max_pages)
        if boundaries and not self._is_sorted:
            self._read_ranges(store, prefix, (), max_pages * (len(boundaries) + 1))

    def _read_ranges(
        self, store: ObjectStore, prefix: Target, boundaries: Sequence[str], max_pages: int
    ) -> None:
        """List the ranges. If there are several, stop at the first page that is not sorted."""
        self._ends = [key.encode() for key in boundaries]
        markers, ends = ("", *boundaries), (*self._ends, b"")
        self._ranges = [_KeyRange(*one) for one in zip(markers, ends, (b"", *self._ends), strict=True)]
        count = len(self._ranges)
        with open_threads(count, "list") if count > 1 else InlineExecutor() as lists:
            waiting = list(self._ranges)
            in_flight: dict[Future[ObjectPage], _KeyRange] = {}
            while waiting or in_flight:
                for one in waiting:
                    in_flight[lists.submit(store.list_objects, prefix.bucket, prefix.key, one.marker)] = one
                done = wait(in_flight, return_when=FIRST_COMPLETED).done
                pages = [(in_flight.pop(future), future.result()) for future in done]
                waiting = [one for one, page in pages if self._add(one, page) and one.pages < max_pages]
                if boundaries and not self._is_sorted:
                    return
        pairs = pairwise(self._ranges)
        self._is_sorted = self._is_sorted and all(one.next_key in (b"", two.first_key) for one, two in pairs)

    def _add(self, key_range: _KeyRange, page: ObjectPage) -> bool:
        """Add one page of a range; return whether others follow."""
        rows = [(_encoded(one.key), one.size, one.etag, one.last_modified) for one in page.objects]
        self._table.executemany("INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?)", rows)
        if rows:
            keys = [row[0] for row in rows]
            self._is_sorted = self._is_sorted and keys == sorted(keys) and key_range.last_key <= keys[0]
            self._has_objects = True
            key_range.first_key, key_range.last_key = key_range.first_key or keys[0], keys[-1]
            key_range.next_key = next((key for key in keys if key_range.end and key > key_range.end), b"")
        key_range.pages += 1
        key_range.is_complete = page.marker is None or bool(
            key_range.end and key_range.last_key >= key_range.end
        )
        key_range.marker = page.marker or ""
        return not key_range.is_complete

    def covers(self, key: str) -> bool:
        """Return whether *key* would be in this index if the object existed."""
        encoded = key.encode()
        if not self._ranges:
            return False
        one = self._ranges[bisect_left(self._ends, encoded)]
        return one.is_complete or (self._is_sorted and encoded <= one.last_key)

    def find(self, key: str) -> StoredObject | None:
        """Return the listed object, or None."""
        if not self._has_objects:
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
    store: ObjectStore, prefix: Target, boundaries: Sequence[str], *, max_pages: int, observe: events.Observer
) -> Iterator[BucketIndex]:
    """Yield the index of the objects below *prefix*. *boundaries* and *max_pages* as in ``BucketIndex.read``.

    If listing is not permitted, the index covers no key and a note is reported. Raises ObsupError.
    """
    with _open_table() as table:
        index = BucketIndex(table)
        try:
            index.read(store, prefix, boundaries, max_pages=max_pages)
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


def _encoded(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def _open_table() -> AbstractContextManager[sqlite3.Connection]:
    return open_table(
        "object (key BLOB PRIMARY KEY, size INTEGER, etag TEXT, last_modified TEXT) WITHOUT ROWID"
    )

"""A temporary SQLite table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from obsup.errors import LocalFailure
from obsup.units import KIB

# What SQLite keeps in memory; the rest it writes to its own file.
CACHE = 8192 * KIB


@contextmanager
def open_table(definition: str) -> Iterator[sqlite3.Connection]:
    """Give a database with one table, private to this process, on disk once it is large. Raises LocalFailure."""
    try:
        with closing(sqlite3.connect("")) as database:
            for line in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE // KIB}"):
                database.execute(f"PRAGMA {line}")
            database.execute(f"CREATE TABLE {definition}")
            yield database
    except sqlite3.Error as exc:
        raise LocalFailure(
            "the list of files cannot be kept",
            f"SQLite's file for it failed: {exc}",
            "make room in the temporary directory, or name another with TMPDIR",
        ) from exc

"""A temporary SQLite table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from obsup.errors import LocalFailure, run_again
from obsup.units import KIB

# SQLite keeps this much in memory and writes the rest to its temporary file.
CACHE_BYTES = 8192 * KIB


@contextmanager
def open_table(definition: str) -> Iterator[sqlite3.Connection]:
    """Open a private temporary database with one table, on disk only if it is large. Raises LocalFailure."""
    try:
        with closing(sqlite3.connect("")) as database:
            for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_BYTES // KIB}"):
                database.execute(f"PRAGMA {pragma}")
            database.execute(f"CREATE TABLE {definition}")
            yield database
    except sqlite3.Error as exc:
        raise LocalFailure(
            "the list of files cannot be stored",
            f"The temporary file of SQLite failed: {exc}",
            run_again("free space in the temporary directory or set TMPDIR to another directory"),
        ) from exc

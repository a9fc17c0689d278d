"""Check that no two sources have the same key, with a temporary SQLite table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from obsup.errors import NextStep, SourceUnreadable, WrongUsage
from obsup.local.state.table import open_table
from obsup.local.walk.walk import Entry, FoundFile, stat_again
from obsup.text import quoted


def unique_keys(entries: Iterator[Entry]) -> Iterator[Entry]:
    """Yield *entries* after checking that no two files have the same name: files last, sorted by name.

    A file that occurs twice is yielded once. Raises WrongUsage for two files with the same name, before any file is
    yielded.
    """
    with open_table("file (name BLOB PRIMARY KEY, path BLOB, link_free INTEGER) WITHOUT ROWID") as database:
        for entry in entries:
            if not isinstance(entry, FoundFile):
                yield entry
                continue
            row = (entry.name.encode("utf-8", "surrogateescape"), os.fsencode(entry.path), entry.link_free)
            if not database.execute("INSERT OR IGNORE INTO file VALUES (?, ?, ?)", row).rowcount:
                (other,) = database.execute("SELECT path FROM file WHERE name = ?", row[:1]).fetchone()
                _check_same(entry, os.fsdecode(other))
        for name, path, link_free in database.execute("SELECT * FROM file ORDER BY name"):
            yield stat_again(os.fsdecode(path), name.decode("utf-8", "surrogateescape"), link_free)


def _check_same(found: FoundFile, other: str) -> None:
    if found.path == other:
        return
    try:
        is_same = Path(found.path).samefile(other)
    except OSError as exc:
        raise SourceUnreadable(
            f"cannot read {quoted(other)}", exc.strerror or "", NextStep("check the path")
        ) from exc
    if not is_same:
        raise WrongUsage(
            f"two sources for one key: {quoted(other)} and {quoted(found.path)} would both be {quoted(found.name)}",
            "One would replace the other",
            NextStep("upload them to two TARGETs, or leave one out with --exclude"),
        )

"""Sources that a list names, one an entry, as ``find`` prints them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import BinaryIO

from obsup.errors import SourceUnreadable
from obsup.local.walk.walk import Entry, SourceRoot, UnreadableFile, Walk
from obsup.text import quoted
from obsup.units import KIB

BLOCK = 64 * KIB
# Longer than any path of any system: what is as long as this is no list.
LONGEST = 1024 * KIB


def read_entries(stream: BinaryIO, separator: bytes) -> Iterator[str]:
    """Yield the entries of *stream*, of which *separator* ends each; empty ones are none.

    Raises SourceUnreadable for what is no list.
    """
    rest = b""
    while block := stream.read(BLOCK):
        *whole, rest = (rest + block).split(separator)
        yield from (_text(one) for one in whole if one)
        if len(rest) > LONGEST:
            raise SourceUnreadable(
                "this is no list of files",
                f"it has an entry of more than {LONGEST // KIB} KiB",
                "write one path a line, or use -0 where NUL stands between them",
            )
    if rest:
        yield _text(rest)


def _text(entry: bytes) -> str:
    return entry.decode("utf-8", "surrogateescape")


def root_of_entry(entry: str) -> SourceRoot | None:
    """Return the source that *entry* names, and its name below the TARGET: its path, as rsync's --files-from has it.

    Of an absolute path the first slash goes; ``/./`` marks where the name begins, the last one where there are
    several. None for a name that would leave the TARGET's folder.
    """
    base, _mark, tail = entry.rpartition("/./")
    if not base and entry.startswith("/"):
        base = "/"
    words = [word for word in tail.split("/") if word not in ("", ".")]
    if ".." in words:
        return None
    name = "/".join(words)
    return SourceRoot(posixpath.join(base, name) if name else base or ".", name)


def listed(walk: Walk, stream: BinaryIO, separator: bytes) -> Iterator[Entry]:
    """Yield everything that the list in *stream* names."""
    for entry in read_entries(stream, separator):
        root = root_of_entry(entry)
        if root is None:
            yield UnreadableFile(entry, entry, _leaves(entry))
        else:
            yield from walk.entries(root)


def _leaves(entry: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"{quoted(entry)} is no name below the TARGET",
        "its .. would leave the TARGET's folder",
        "write /./ where the name is to begin, for example ../data/./2026/a.bin",
    )

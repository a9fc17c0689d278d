"""Lists of sources, one per entry, as ``find`` prints them (--from-list)."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from io import RawIOBase
from typing import BinaryIO

from obsup.errors import DataMismatch, NextStep, SourceUnreadable, run_again
from obsup.local.platform.paths import decode_line, drive_of, native, with_slashes
from obsup.local.walk.walk import Entry, SourceRoot, UnreadableFile, Walk
from obsup.text import quoted, utf8_name
from obsup.units import KIB

BLOCK_BYTES = 64 * KIB
# No path of any system is longer: a longer entry means that the file is not a list.
MAX_ENTRY_BYTES = 1024 * KIB


def read_entries(stream: BinaryIO | RawIOBase, separator: bytes) -> Iterator[str]:
    """Yield the entries of *stream*, each ended by *separator*, except empty ones.

    Raises SourceUnreadable if it is not a list, DataMismatch if NUL does not end the last entry: it may be cut off.
    """
    rest = b""
    while block := stream.read(BLOCK_BYTES):
        *entries, rest = (rest + block).split(separator)
        yield from filter(None, map(_decoded, entries))
        if len(rest) > MAX_ENTRY_BYTES:
            raise SourceUnreadable(
                "invalid list of files",
                f"It has an entry of more than {MAX_ENTRY_BYTES // KIB} KiB",
                NextStep("write one path per line, or separate paths with NUL and use -0"),
            )
    if rest and separator == b"\0":
        raise DataMismatch(
            "the list of files is cut off: no NUL ends its last name",
            "The program that wrote it may have been stopped in the middle of that name; no file was sent",
            NextStep("write the list again, with NUL after every name, as find -print0 does"),
        )
    yield from filter(None, [_decoded(rest)])


def _decoded(entry: bytes) -> str:
    try:
        return decode_line(entry)
    except ValueError as exc:
        raise SourceUnreadable(
            "invalid list of files", "It is not written in UTF-8", NextStep("write the list again, in UTF-8")
        ) from exc


def root_of_entry(entry: str) -> SourceRoot | None:
    """Return the source of *entry* and its name below the TARGET: its path, as for --files-from of rsync.

    The first slash of an absolute path is dropped; the last ``/./`` marks where the name begins. None for a name that
    would leave the folder of the TARGET.
    """
    drive, path = drive_of(with_slashes(entry))
    base, _mark, tail = path.rpartition("/./")
    if not base and path.startswith("/"):
        base = "/"
    base = drive + base
    words = [word for word in tail.split("/") if word not in ("", ".")]
    if ".." in words:
        return None
    name = "/".join(words)
    return SourceRoot(native(posixpath.join(base, name) if name else base or "."), utf8_name(name))


def listed(walk: Walk, stream: BinaryIO | RawIOBase, separator: bytes) -> Iterator[Entry]:
    """Yield everything in the list *stream*."""
    for entry in read_entries(stream, separator):
        root = root_of_entry(entry)
        if root is None:
            yield UnreadableFile(entry, entry, _invalid_name(entry))
        elif entry.endswith("\r") and separator == b"\n" and not os.path.lexists(root.path):
            yield UnreadableFile(root.path, root.name, _ends_in_cr(entry))
        else:
            yield from walk.entries(root)


def _invalid_name(entry: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"{quoted(entry)} is not a valid name below the TARGET",
        "Its .. would leave the folder of the TARGET",
        NextStep("write /./ where the name must begin, for example ../data/./2026/a.bin"),
    )


def _ends_in_cr(entry: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"cannot read {quoted(entry)}",
        "No such file or directory: the lines of the list end in CR LF, and CR is part of the name here",
        run_again("write the list again with LF at line ends, for example with tr -d '\\r'"),
    )

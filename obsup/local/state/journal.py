"""The journal of a batch: one line per verified file, so that the next run can skip the file without a request.

Lines are appended, each with its own checksum: a kill leaves complete lines, and a power failure at worst an incomplete
one. Appended lines are not synced one by one, because a lost line costs a request, never a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from obsup.errors import CheckpointUnwritable, NextStep, ObsupError, WrongUsage, run_again
from obsup.local.files.own_file import UntrustedFile, open_own
from obsup.local.state.atomic_file import AtomicFile, writing_advice
from obsup.local.state.folders import create_private_folder, is_special, state_folder
from obsup.local.state.lock import target_hash
from obsup.local.state.table import open_table
from obsup.model import SourceStat, Target
from obsup.text import quoted
from obsup.units import KIB
from obsup.value import Value

FORMAT = 1
SUFFIX = ".obsup.journal"
DAMAGED_SUFFIX = ".damaged"
# Files change: if more lines than this are outdated by later lines of the same name, the journal is rewritten.
MAX_STALE_LINES = 1000
# A key has at most 1,024 bytes. A file with longer lines is not a journal, but named by mistake.
MAX_LINE_BYTES = 64 * KIB


class JournalEntry(Value):
    """A file whose object was verified: its name below the TARGET, its identity then, and the object's ETag.

    ``verified`` names the means of verification, ``options`` identifies the object options and the customer key.
    ``date_s`` is the last modification of the object in seconds since the epoch, or the date of the response.
    """

    name: str
    stat: SourceStat
    etag: str
    verified: str
    options: str
    date_s: float = 0.0


class JournalLine(Value, array_like=True, forbid_unknown_fields=True):
    """An entry as a line of the file: a JSON array, whose last item is the CRC-32 of everything before it.

    A line of an earlier version has no date: its checksum is in that place.
    """

    name: str
    size: int
    mtime_ns: int
    ctime_ns: int
    device: int
    inode: int
    etag: str
    verified: str
    options: str
    date_s: float
    checksum: int | None = None


class JournalHeader(Value):
    """The first line of the file."""

    journal: str
    format: int
    target: dict[str, Any]


class JournalDamaged(ObsupError, exit_code=65, reason="checkpoint-damaged"):
    """The file is not a journal of this format."""


class NotJournal(JournalDamaged, exit_code=2, reason="usage"):
    """Neither the name nor the first line of the file is of a journal: --checkpoint names a file of the user."""


class JournalUntrusted(JournalDamaged):
    """Another user can have written the file, so nothing in it is used."""


def default_path(target: Target, batch_id: str, folder: Path | None = None) -> Path:
    """Return the path of the journal in *folder*, or in the state directory.

    *target* is the common prefix of the batch; *batch_id* distinguishes batches with the same prefix.
    """
    return (folder or journal_folder()) / f"{target_hash(target)[:16]}-{batch_id}{SUFFIX}"


def find_all(folder: Path | None = None) -> list[Path]:
    """Return the paths of all journals with default names in *folder*, or in the state directory."""
    return sorted((folder or journal_folder()).glob(f"*-*{SUFFIX}"))


def batch_id_of(path: Path) -> str:
    """Return the batch id in the default name of a journal."""
    return path.name.removesuffix(SUFFIX).partition("-")[2]


def target_of(path: Path) -> Target:
    """Return the target of the journal at *path*, without its provider. Raises JournalDamaged, OSError."""
    with os.fdopen(open_own(path), "rb") as file:
        about = _decode_header(path, file.readline(MAX_LINE_BYTES)).target
    return Target("", *(str(about.get(name, "")) for name in ("endpoint", "bucket", "prefix")))


def journal_folder() -> Path:
    """Return the folder of journals in the state directory. It may not exist yet."""
    return state_folder() / "batches"


class Journal:
    """The verified files of one batch. Close it; only one process at a time may have it open.

    ``known`` counts the files, ``damaged`` the lines that cannot be read: their files are compared with the store.
    """

    def __init__(self, path: Path, target: Target, *, read_only: bool = False) -> None:
        """Read the file, if it exists, and open it for appending unless *read_only*.

        Raises JournalDamaged for a file that is not a journal, WrongUsage for one of another target, LocalFailure,
        CheckpointUnwritable.
        """
        self._path = path
        self._header = _header(target)
        self._read_only = read_only
        self._resources = ExitStack()
        self._index: sqlite3.Connection | None = None
        self._descriptor: int | None = None
        self._size = 0
        self.known = self.damaged = 0
        if is_special(path):
            raise CheckpointUnwritable(
                f"the journal {quoted(path)} cannot be written",
                "It is a device or a pipe",
                run_again(add=("--no-checkpoint",), drop=("--checkpoint",)),
            )
        try:
            self._read()
            if not read_only:
                self._open()
        except OSError as exc:
            self.close()
            raise _unwritable(path, exc) from exc
        except UntrustedFile as exc:
            self.close()
            raise JournalUntrusted(f"cannot use the journal {quoted(path)}: {exc}") from exc
        except BaseException:
            self.close()
            raise

    def find(self, name: str) -> JournalEntry | None:
        """Return the last entry for this name."""
        if self._index is None:
            return None
        try:
            row = self._index.execute("SELECT line FROM entry WHERE name = ?", (name.encode(),)).fetchone()
        except sqlite3.Error:
            return None  # the temporary file failed, for example on a full disk: the file counts as unknown
        return None if row is None else _decode(row[0])

    def entries(self) -> Iterator[JournalEntry]:
        """Yield the last entry of each file."""
        rows = self._index.execute("SELECT line FROM entry") if self._index is not None else ()
        yield from filter(None, (_decode(line) for (line,) in rows))

    def names(self, step: int) -> list[str]:
        """Return every *step*-th name, in the order of their bytes."""
        if self._index is None:
            return []
        try:
            rows = self._index.execute("SELECT name FROM entry ORDER BY name")
            return [name.decode() for (name,) in islice(rows, step - 1, None, step)]
        except sqlite3.Error:
            return []  # as in ``find``

    def add(self, *entries: JournalEntry) -> None:
        """Append entries. Raises CheckpointUnwritable once; after that, nothing is appended."""
        if self._descriptor is None:
            return
        try:
            _write(self._descriptor, b"".join(map(_encode, entries)))
        except OSError as exc:
            os.close(self._descriptor)
            self._descriptor = None
            raise _unwritable(self._path, exc) from exc

    def close(self) -> None:
        """Sync what was appended to the disk, and close the file."""
        self._resources.close()
        self._index = None
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def _read(self) -> None:
        """Index the existing lines; rewrite the journal if many of them are outdated."""
        try:
            lines = self._lines()
            first = next(lines, b"")
        except (FileNotFoundError, NotADirectoryError):
            return
        if not first.endswith(b"\n") and self._header.startswith(first):
            return  # empty, or only an incomplete header
        _check_header(self._path, first, self._header)
        self._size = len(first)
        with ExitStack() as resources:
            index = resources.enter_context(
                open_table("entry (name BLOB PRIMARY KEY, line BLOB) WITHOUT ROWID")
            )
            self._index_lines(index, lines)
            self._index = index
            self._resources = resources.pop_all()

    def _index_lines(self, index: sqlite3.Connection, lines: Iterator[bytes]) -> None:
        """Store the last line of each name in *index*."""
        count = 0
        for line in lines:
            if not line.endswith(b"\n"):
                break  # incomplete after a kill or on a full disk: not counted as damage
            self._size += len(line)
            entry = _decode(line)
            if entry is None:
                self.damaged += 1
                continue
            count += 1
            index.execute("INSERT OR REPLACE INTO entry VALUES (?, ?)", (entry.name.encode(), line))
        (self.known,) = index.execute("SELECT count(*) FROM entry").fetchone()
        is_outdated = count - self.known > max(MAX_STALE_LINES, self.known) or self.damaged
        if is_outdated and not self._read_only:
            self._rewrite(index)

    def _lines(self) -> Iterator[bytes]:
        with os.fdopen(open_own(self._path), "rb") as file:
            yield from iter(lambda: file.readline(MAX_LINE_BYTES), b"")

    def _rewrite(self, index: sqlite3.Connection) -> None:
        """Replace the file by one with one line per name; keep the old one if that fails."""
        size = len(self._header)
        try:
            with AtomicFile(self._path) as file:
                file.write(self._header)
                for (line,) in index.execute("SELECT line FROM entry"):
                    file.write(line)
                    size += len(line)
        except OSError:
            return
        self._size = size

    def _open(self) -> None:
        if self._path.parent == journal_folder():
            create_private_folder(self._path.parent)
        descriptor = self._descriptor = open_own(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        os.ftruncate(descriptor, self._size)  # removes an incomplete line
        if not self._size:
            _write(descriptor, self._header)


def _header(target: Target) -> bytes:
    about = {"endpoint": target.endpoint, "bucket": target.bucket, "prefix": target.key}
    header = {"journal": "obsup", "format": FORMAT, "target": about}
    return json.dumps(header, separators=(",", ":")).encode() + b"\n"


def _check_header(path: Path, first: bytes, expected: bytes) -> None:
    """Raise JournalDamaged, or WrongUsage for a journal of another target."""
    if first != expected:
        raise WrongUsage(
            f"the journal {quoted(path)} belongs to another TARGET",
            f"It belongs to {_decode_header(path, first).target}",
            NextStep("name another file with --checkpoint"),
        )


def _decode_header(path: Path, line: bytes) -> JournalHeader:
    """Return the header in *line*, the first of the file. Raises JournalDamaged."""
    try:
        header = msgspec.json.decode(line, type=JournalHeader)
    except (ValueError, RecursionError):
        header = JournalHeader("", 0, {})
    if not path.name.endswith(SUFFIX) and b'"journal":' not in line:
        raise NotJournal(
            f"{quoted(path)} is not a journal of a batch",
            "Its first line was not written by obsup",
            NextStep("name another file with --checkpoint"),
        )
    if header.journal != "obsup" or header.format > FORMAT:
        raise JournalDamaged(
            f"{quoted(path)} is not a journal of a batch",
            "It was written by a newer obsup"
            if header.format > FORMAT
            else "Its first line is damaged or was written by another program",
            NextStep("name another file with --checkpoint, or remove this one if it was the journal"),
        )
    return header


def _encode(entry: JournalEntry) -> bytes:
    stat = entry.stat
    identity = (stat.size, stat.mtime_ns, stat.ctime_ns, stat.device, stat.inode)
    body = msgspec.json.encode(
        (entry.name, *identity, entry.etag, entry.verified, entry.options, entry.date_s)
    )[:-1]
    return b"%s,%d]\n" % (body, zlib.crc32(body))


def _decode(line: bytes) -> JournalEntry | None:
    """Return the entry in *line*, or None if it is damaged."""
    try:
        fields = msgspec.json.decode(line, type=JournalLine)
    except (ValueError, RecursionError):
        return None
    date_s, checksum = (0.0, fields.date_s) if fields.checksum is None else (fields.date_s, fields.checksum)
    if checksum != zlib.crc32(line.rpartition(b",")[0]):
        return None
    stat = SourceStat(fields.size, fields.mtime_ns, fields.ctime_ns, fields.device, fields.inode)
    return JournalEntry(fields.name, stat, fields.etag, fields.verified, fields.options, date_s)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _unwritable(path: Path, exc: OSError) -> CheckpointUnwritable:
    return CheckpointUnwritable(
        f"the journal {quoted(path)} cannot be written",
        exc.strerror or type(exc).__name__,
        run_again(f"{writing_advice(exc)} or name another file with --checkpoint"),
    )

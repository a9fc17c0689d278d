"""The journal of a batch: a line for each file that is proved, so that the next run knows without asking.

Lines are only ever appended, each in one write and with a checksum of its own: a kill leaves whole lines, a power
cut at worst a torn one. Nothing is fsynced on the way: a lost line costs a look at the store, never a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from obsup.errors import CheckpointUnwritable, ObsupError, WrongUsage
from obsup.local.state.atomic_file import AtomicFile
from obsup.local.state.folders import demand_private, is_special, state_folder
from obsup.local.state.lock import target_hash
from obsup.local.state.table import open_table
from obsup.model import SourceStat, Target
from obsup.text import quoted
from obsup.units import KIB
from obsup.value import Value

FORMAT = 1
SUFFIX = ".obsup.journal"
# Files come and change: once so many lines are no longer the last of their name, the journal is written anew.
MAX_STALE_LINES = 1000
# A key has at most 1,024 bytes. What has longer lines is somebody's data, named by mistake.
LONGEST = 64 * KIB


class Proved(Value):
    """A file whose object was proved: its name below the TARGET, its identity then, and what the store had.

    ``options`` stands for what the object was asked to be.
    """

    name: str
    stat: SourceStat
    etag: str
    verified: str
    options: str


class JournalDamaged(ObsupError):
    """The file is no journal of this format."""

    exit_code = 65
    reason = "checkpoint-damaged"


def default_path(target: Target, stands_for: str, folder: Path | None = None) -> Path:
    """Return where the journal of a batch is kept: *folder*, or the state directory.

    *target* is the common prefix, *stands_for* what tells batches to it apart.
    """
    return (folder or batches()) / f"{target_hash(target)[:16]}-{stands_for}{SUFFIX}"


def batches() -> Path:
    """Return the folder of journals in the state directory; not made yet."""
    return state_folder() / "batches"


class Journal:
    """What is known of the files of one batch. Close it; only one process at a time may hold it open.

    ``known`` counts the files, ``damaged`` the lines that could not be read: those files are asked about.
    """

    def __init__(self, path: Path, target: Target, *, is_looked_at: bool = False) -> None:
        """Read what is there, and open it for more, unless it *is_looked_at* only.

        Raises JournalDamaged for a file that is no journal, WrongUsage for one about another target, LocalFailure,
        CheckpointUnwritable.
        """
        self._path = path
        self._header = _header(target)
        self._is_looked_at = is_looked_at
        self._resources = ExitStack()
        self._index: sqlite3.Connection | None = None
        self._descriptor: int | None = None
        self._size = 0
        self.known = self.damaged = 0
        if is_special(path):
            raise CheckpointUnwritable(
                f"the journal {quoted(path)} cannot be written",
                "it is a device or a pipe",
                "use --no-checkpoint",
            )
        try:
            self._read()
            if not is_looked_at:
                self._open()
        except OSError as exc:
            self.close()
            raise _unwritable(path, exc) from exc
        except BaseException:
            self.close()
            raise

    def find(self, name: str) -> Proved | None:
        """Return what was proved last under this name."""
        if self._index is None:
            return None
        try:
            row = self._index.execute("SELECT line FROM proved WHERE name = ?", (name.encode(),)).fetchone()
        except sqlite3.Error:
            return None  # its file broke, or has no room: the store is asked
        return None if row is None else _decode(row[0])

    def add(self, *proved: Proved) -> None:
        """Append a line for each. Raises CheckpointUnwritable, after which there is no more to append to."""
        if self._descriptor is None:
            return
        try:
            _write(self._descriptor, b"".join(map(_encode, proved)))
        except OSError as exc:
            os.close(self._descriptor)
            self._descriptor = None
            raise _unwritable(self._path, exc) from exc

    def close(self) -> None:
        """Bring what was appended to the disk, and let go."""
        self._resources.close()
        self._index = None
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def _read(self) -> None:
        """Index the lines that are there; write the journal anew where most of it is worn."""
        try:
            lines = self._lines()
            first = next(lines, b"")
        except FileNotFoundError:
            return
        if not first.endswith(b"\n") and self._header.startswith(first):
            return  # empty, or nothing but a header that was torn
        _check_header(self._path, first, self._header)
        self._size = len(first)
        with ExitStack() as held:
            self._index = held.enter_context(
                open_table("proved (name BLOB PRIMARY KEY, line BLOB) WITHOUT ROWID")
            )
            self._take_in(self._index, lines)
            self._resources = held.pop_all()

    def _take_in(self, index: sqlite3.Connection, lines: Iterator[bytes]) -> None:
        """Keep the last line of each name in *index*."""
        count = 0
        for line in lines:
            if not line.endswith(b"\n"):
                break  # torn by a kill or a full disk: that is no damage
            self._size += len(line)
            proved = _decode(line)
            if proved is None:
                self.damaged += 1
                continue
            count += 1
            index.execute("INSERT OR REPLACE INTO proved VALUES (?, ?)", (proved.name.encode(), line))
        (self.known,) = index.execute("SELECT count(*) FROM proved").fetchone()
        is_worn = count - self.known > max(MAX_STALE_LINES, self.known) or self.damaged
        if is_worn and not self._is_looked_at:
            self._renew(index)

    def _lines(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            yield from iter(lambda: file.readline(LONGEST), b"")

    def _renew(self, index: sqlite3.Connection) -> None:
        """Replace the file by one with a single line per name; if that fails, for lack of room, the old file stays."""
        size = len(self._header)
        try:
            with AtomicFile(self._path) as file:
                file.write(self._header)
                for (line,) in index.execute("SELECT line FROM proved"):
                    file.write(line)
                    size += len(line)
        except OSError:
            return
        self._size = size

    def _open(self) -> None:
        if self._path.parent == batches():
            demand_private(self._path.parent)
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._descriptor = descriptor
        os.ftruncate(descriptor, self._size)  # what follows the last whole line
        if not self._size:
            _write(descriptor, self._header)


def set_aside(path: Path) -> Path:
    """Give what is at *path*, and is no journal, another name, and return that."""
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    return aside


def _header(target: Target) -> bytes:
    about = {"endpoint": target.endpoint, "bucket": target.bucket, "prefix": target.key}
    return _line({"journal": "obsup", "format": FORMAT, "target": about}) + b"\n"


def _check_header(path: Path, first: bytes, wanted: bytes) -> None:
    """Raise JournalDamaged, or WrongUsage for a journal about another target."""
    if first == wanted:
        return
    try:
        found: Any = json.loads(first)
        is_journal = found["journal"] == "obsup"
        version, about = int(found["format"]), found["target"]
    except (ValueError, TypeError, KeyError, RecursionError):
        is_journal, version, about = False, 0, None
    if not is_journal or version > FORMAT:
        raise JournalDamaged(
            f"{quoted(path)} is no journal of a batch",
            "it was written by a newer obsup"
            if version > FORMAT
            else "its first line is another's, or damaged",
            "remove it, or name another file with --checkpoint",
        )
    raise WrongUsage(
        f"the journal {quoted(path)} is about another TARGET",
        f"it is about {about}",
        "name another file with --checkpoint",
    )


def _encode(proved: Proved) -> bytes:
    stat = proved.stat
    which = (stat.size, stat.mtime_ns, stat.ctime_ns, stat.device, stat.inode)
    body = _line([proved.name, *which, proved.etag, proved.verified, proved.options])[:-1]
    return b"%s,%d]\n" % (body, zlib.crc32(body))


def _decode(line: bytes) -> Proved | None:
    """Return what *line* says; None where it is torn or damaged."""
    body, _comma, _sum = line.rpartition(b",")
    try:
        *fields, checksum = json.loads(line)
        if checksum != zlib.crc32(body):
            return None
        name, size, mtime_ns, ctime_ns, device, inode, etag, verified, options = fields
    except (ValueError, TypeError, RecursionError):
        return None
    return Proved(name, SourceStat(size, mtime_ns, ctime_ns, device, inode), etag, verified, options)


def _line(plain: object) -> bytes:
    return json.dumps(plain, separators=(",", ":")).encode()


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _unwritable(path: Path, exc: OSError) -> CheckpointUnwritable:
    return CheckpointUnwritable(
        f"the journal {quoted(path)} cannot be written",
        exc.strerror or type(exc).__name__,
        "make room or name another place with --checkpoint",
    )

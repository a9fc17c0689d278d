"""Ways in which a source changes while it is uploaded, and the versions that it had."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.upload_runs import UploadRun

PAGE = 4096
PUNCH_HOLE, KEEP_SIZE = 2, 1


class ChangingSource:
    """The source of one run, whose content is ``first``, and the MD5s of all ``versions`` that it had.

    Other files are in a folder aside, on the same file system.
    """

    def __init__(self, run: UploadRun) -> None:
        self.path = run.source
        self.aside = run.folder / "aside"
        self.aside.mkdir()
        self.rng = run.rng
        self.first = self.path.read_bytes()
        self.second = self.rng.randbytes(len(self.first))
        self.versions = {digest(self.first)}
        self.prefixes_of = b""
        self.map: mmap.mmap | None = None

    def is_version(self, content: bytes) -> bool:
        """Return whether the source had this content; a file that is being written has that of each prefix."""
        return digest(content) in self.versions or bool(self.prefixes_of.startswith(content) and content)

    def record(self) -> None:
        """Record the current content as a version."""
        self.versions.add(digest(self.path.read_bytes()))

    def write(self) -> None:
        """Write some bytes in place, within two pages: if only the second is sent, the object is a mixture."""
        with self.path.open("r+b") as file:
            for offset in self.two_pages():
                os.pwrite(file.fileno(), self.rng.randbytes(100), offset)
                self.record()

    def two_pages(self) -> list[int]:
        """Return the offsets of two pages, in order."""
        return sorted(PAGE * page for page in self.rng.sample(range(len(self.first) // PAGE), 2))

    def make_second(self, content: bytes | None = None) -> Path:
        """Make the other version in a file aside, record it, and return its path."""
        path = self.aside / "second"
        path.write_bytes(self.second if content is None else content)
        self.versions.add(digest(path.read_bytes()))
        return path

    def pause(self) -> None:
        """Let the upload continue for some milliseconds."""
        time.sleep(self.rng.uniform(0, self.rng.choice([0.01, 0.05, 0.2])))

    def settle(self) -> None:
        """End the change: the source is a regular file that can be read; if it is gone, its first version is back."""
        if self.map is not None:
            self.map.close()
        if self.path.is_dir():
            self.path.rmdir()
        elif not self.path.is_file():
            self.path.unlink(missing_ok=True)
        if not self.path.exists():
            self.path.write_bytes(self.first)
        self.path.chmod(0o600)


def digest(content: bytes) -> str:
    """Return the MD5."""
    return hashlib.md5(content).hexdigest()


def append(source: ChangingSource) -> None:
    """Append some bytes."""
    with source.path.open("ab") as file:
        file.write(b"more")
    source.record()


def truncate(source: ChangingSource) -> None:
    """Cut off the end."""
    os.truncate(source.path, source.rng.randrange(1, len(source.first)))
    source.record()


def overwrite_and_restore_time(source: ChangingSource) -> None:
    """Write in place, and restore the modification time."""
    before = source.path.stat()
    source.write()
    os.utime(source.path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(source: ChangingSource) -> None:
    """Rename another file of the same size and time to the source."""
    other, before = source.make_second(), source.path.stat()
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(source.path)


def replace_with_empty(source: ChangingSource) -> None:
    """Rename an empty file to the source."""
    source.make_second(b"").replace(source.path)


def make_link(source: ChangingSource) -> None:
    """Make the source a symbolic link."""
    source.path.rename(source.aside / "first")
    source.path.symlink_to(source.aside / "first")
    source.make_second()


def flip_link(source: ChangingSource) -> None:
    """Point the symbolic link to the other file for a moment, and back again, once or many times."""
    for _ in range(source.rng.choice([1, 40])):
        for target, most_s in (("second", 0.01), ("first", 0.06)):
            link = source.aside / "link"
            link.symlink_to(source.aside / target)
            link.replace(source.path)
            time.sleep(source.rng.uniform(0, most_s))


def swap_hard_link(source: ChangingSource) -> None:
    """Make the name of the source a hard link to another file, and back again."""
    first, other = source.aside / "first", source.make_second()
    first.hardlink_to(source.path)
    for target in (other, first):
        link = source.aside / "link"
        link.hardlink_to(target)
        link.replace(source.path)
        source.pause()


def make_folder(source: ChangingSource) -> None:
    """Make another folder with the same names, in which the source is the other version."""
    other = source.aside / "folder"
    shutil.copytree(source.path.parent, other)
    source.make_second().replace(other / source.path.name)


def rename_folder(source: ChangingSource) -> None:
    """Replace the folder of the source by the other one, and back again."""
    folder, other, away = source.path.parent, source.aside / "folder", source.aside / "away"
    folder.rename(away)
    other.rename(folder)
    source.pause()
    folder.rename(other)
    away.rename(folder)


def touch(source: ChangingSource) -> None:
    """Change the times only."""
    os.utime(source.path)


def make_map(source: ChangingSource) -> None:
    """Map the file, and make all pages dirty, so that later writes change no time."""
    with source.path.open("r+b") as file:
        source.map = mmap.mmap(file.fileno(), 0)
    for offset in range(0, len(source.first), PAGE):
        source.map[offset] = source.first[offset]


def write_mapped(source: ChangingSource) -> None:
    """Write through the map."""
    assert source.map is not None
    for offset in source.two_pages():
        source.map[offset : offset + 8] = source.rng.randbytes(8)
        source.record()


def punch_hole(source: ChangingSource) -> None:
    """Deallocate two pages."""
    with source.path.open("r+b") as file:
        for offset in source.two_pages():
            arguments = (ctypes.c_int(PUNCH_HOLE | KEEP_SIZE), ctypes.c_int64(offset), ctypes.c_int64(PAGE))
            assert ctypes.CDLL(None).fallocate(file.fileno(), *arguments) == 0
            source.record()


def rewrite(source: ChangingSource) -> None:
    """Truncate the file and write other bytes of the same size."""
    source.prefixes_of = source.second
    source.versions |= {digest(b""), digest(source.second)}
    with source.path.open("wb", buffering=0) as file:
        for offset in range(0, len(source.second), 16 * PAGE):
            file.write(source.second[offset : offset + 16 * PAGE])


def delete(source: ChangingSource) -> None:
    """Delete the file."""
    source.path.unlink()


def replace_with_folder(source: ChangingSource) -> None:
    """Replace the file by a folder."""
    source.path.unlink()
    source.path.mkdir()


def replace_with_fifo(source: ChangingSource) -> None:
    """Replace the file by a named pipe that nobody writes to."""
    fifo = source.aside / "fifo"
    os.mkfifo(fifo)
    fifo.replace(source.path)


def forbid(source: ChangingSource) -> None:
    """Remove all permissions."""
    source.path.chmod(0)


def overwrite_and_set_time_back(source: ChangingSource) -> None:
    """Write in place, and set the modification time to the past."""
    source.write()
    os.utime(source.path, (1_000_000_000, 1_000_000_000))


def write_often(source: ChangingSource) -> None:
    """Write in place for some time, from before the file is hashed or read on."""
    for _ in range(source.rng.randint(20, 100)):
        source.write()
        time.sleep(0.002)


@dataclass(frozen=True)
class Change:
    """One way to change. ``act`` does it, after ``prepare`` before the upload.

    ``codes`` are the exit codes that a run may have, except 0. ``options`` are those without which obsup cannot see it.
    """

    name: str
    act: Callable[[ChangingSource], None]
    codes: frozenset[int] = frozenset({65})
    prepare: Callable[[ChangingSource], None] | None = None
    options: tuple[str, ...] = ()


GONE = frozenset({65, 66, 74})

CHANGES = (
    Change("SOURCE grows", append),
    Change("SOURCE is truncated", truncate),
    Change("SOURCE is overwritten in place, its modification time restored", overwrite_and_restore_time),
    Change("SOURCE is overwritten in place, its modification time set back", overwrite_and_set_time_back),
    Change("SOURCE is overwritten again and again, also while it is hashed", write_often),
    Change("SOURCE is truncated and rewritten with the same size", rewrite),
    Change("a hole is punched into SOURCE", punch_hole),
    Change(
        "SOURCE is written through a memory map (with `--verify-source`)",
        write_mapped,
        prepare=make_map,
        options=("--verify-source",),
    ),
    Change("SOURCE is replaced by rename, size and modification time kept", replace),
    Change("SOURCE is replaced by an empty file", replace_with_empty),
    Change("SOURCE is a symbolic link that flips, and back", flip_link, prepare=make_link),
    Change("SOURCE becomes a hard link to another file, and back", swap_hard_link),
    Change("the folder of SOURCE is replaced by rename, and back", rename_folder, GONE, prepare=make_folder),
    Change("SOURCE is deleted", delete, GONE),
    Change("SOURCE is replaced by a folder", replace_with_folder, GONE),
    Change("SOURCE is replaced by a named pipe", replace_with_fifo, GONE),
    Change("the permissions of SOURCE are removed", forbid, GONE),
    Change("SOURCE is touched", touch),
)

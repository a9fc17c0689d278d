"""The source file: its identity, and windows on it that are the bodies of part requests."""

from __future__ import annotations

import errno
import hashlib
import os
import stat as stat_module
import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from obsup.errors import LocalFailure, NextStep, SourceChanged, SourceUnreadable, run_again
from obsup.local.source.buffers import BLOCK_BYTES, BufferPool
from obsup.local.source.digest import PartDigest
from obsup.model import Part, SourceStat
from obsup.text import quoted
from obsup.units import MIB
from obsup.value import Value

CHANGE_TIME = "change time"

BUFFERS = BufferPool()
# How much one sendfile call sends at most: about what the buffer of a socket holds.
SENDFILE_BYTES = 2 * MIB

_RESTART = run_again("upload the file as it is now", add=("--restart",))

Gate = Callable[[int], int]
"""Called before sending n bytes; returns how many may be sent now. It may block, and it may raise."""


def stat_source(path: Path) -> SourceStat:
    """Return the identity of the regular file at *path*. Raises SourceUnreadable."""
    try:
        found = path.stat()
    except OSError as exc:
        raise SourceUnreadable(
            f"cannot read {quoted(path)}", os.strerror(exc.errno or errno.EIO), NextStep("check the path")
        ) from exc
    if stat_module.S_ISDIR(found.st_mode):
        raise SourceUnreadable(
            f"{quoted(path)} is a directory",
            "Only a regular file can be uploaded in parts",
            NextStep(
                "name a file, or upload all files of the directory",
                command=("obsup", "upload", "-r", str(path), "BUCKET/PREFIX/"),
            ),
        )
    if not stat_module.S_ISREG(found.st_mode):
        raise SourceUnreadable(
            f"{quoted(path)} is not a regular file",
            "Parts of it cannot be read at an offset",
            NextStep("pipe its content to obsup", command=("obsup", "upload", "-", "TARGET")),
        )
    return identity(found)


def identity(found: os.stat_result) -> SourceStat:
    """Return the fields of *found* that change if the file changes."""
    return SourceStat(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino)


def stat_when_stable(
    path: Path,
    *,
    time_ns: Callable[[], int] = time.time_ns,
    pause: Callable[[float], object] = time.sleep,
) -> SourceStat:
    """Return the identity of the file, taken so long after its last change that another change would show.

    Within one tick of the file system's clock, a second write does not change the times. Waits at most 20 ms, or 2 s on
    a file system that stores whole seconds. Raises SourceUnreadable.
    """
    found = stat_source(path)
    now_ns = time_ns()
    if is_stable(found, now_ns):
        return found
    tick_ns = _timestamp_resolution_ns(found)
    pause(min(tick_ns - (now_ns - found.ctime_ns), tick_ns) / 1e9)
    return stat_source(path)


def is_stable(stat: SourceStat, now_ns: int) -> bool:
    """Return whether the last change of the file is so old that another change would show."""
    tick_ns = _timestamp_resolution_ns(stat)
    return not -tick_ns < now_ns - stat.ctime_ns < tick_ns


def _timestamp_resolution_ns(stat: SourceStat) -> int:
    """Return the longest tick of the file system's clock: 20 ms, or 2 s if it stores whole seconds."""
    return 20_000_000 if stat.ctime_ns % 1_000_000_000 else 2_000_000_000


def check_readable(path: Path) -> None:
    """Raise SourceUnreadable if *path* cannot be opened for reading."""
    try:
        with path.open("rb"):
            pass
    except OSError as exc:
        raise SourceUnreadable(
            f"cannot read {quoted(path)}",
            os.strerror(exc.errno or errno.EIO),
            NextStep("check the path and its permissions"),
        ) from exc


def changes(before: SourceStat, now: SourceStat) -> list[str]:
    """Return the differences between two identities in words; empty if there are none."""
    found = []
    if before.size != now.size:
        found.append(f"size {before.size} → {now.size}")
    if before.mtime_ns != now.mtime_ns:
        found.append("modification time")
    elif before.ctime_ns != now.ctime_ns:
        found.append(CHANGE_TIME)
    if (before.device, before.inode) != (now.device, now.inode):
        found.append("it is another file")
    return found


def check_unchanged(path: Path, before: SourceStat) -> None:
    """Raise SourceChanged if the file at *path* is not the one that *before* describes."""
    try:
        now = stat_source(path)
    except SourceUnreadable as exc:
        raise SourceChanged(
            f"{quoted(path)} disappeared during the upload", exc.why, run_again("put it back")
        ) from exc
    found = changes(before, now)
    if found:
        raise SourceChanged(
            f"{quoted(path)} changed since the upload began",
            f"What changed: {', '.join(found)}; an object must not mix two versions of its source",
            _RESTART,
        )


class PartBody:
    """A window on a file, read once in large blocks, each hashed before it is returned.

    ``can_sendfile``: no digest is computed, so the kernel can send the bytes directly; see ``send_to``. *on_sent* is
    called with the number of bytes returned so far. *gate* is called with the size of each block before it is read and
    returns how much of it may be sent now: it may block (a rate limit) or raise (a stop). Raises LocalFailure if the
    disk fails, and SourceChanged if the file ends inside the window.
    """

    def __init__(
        self,
        path: Path,
        part: Part,
        *,
        digest: PartDigest | None = None,
        on_sent: Callable[[int], None] | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.size = part.size
        self.sent = 0
        self._path = path
        self.digest = digest or PartDigest()
        self.can_sendfile = self.digest.is_idle
        self._on_sent = on_sent
        self._gate = gate
        self._granted = 0
        self._offset = part.offset
        try:
            self._file = path.open("rb", buffering=0)
            self._file.seek(part.offset)
        except OSError as exc:
            raise _read_failed(path, exc) from exc
        self._buffer: bytearray | None = None

    def check_end(self, size: int) -> None:
        """Raise SourceUnreadable if the file has more bytes than its *size* says, as files in /proc have."""
        try:
            self._file.seek(size)
            has_more = bool(self._file.read(1)) and os.fstat(self._file.fileno()).st_size == size
            self._file.seek(self._offset)
        except OSError as exc:
            self.close()
            raise _read_failed(self._path, exc) from exc
        if has_more:
            self.close()
            raise SourceUnreadable(
                f"{quoted(self._path)} has more bytes than its size of {size}",
                "Its file system does not state the size, as in /proc",
                NextStep("send it from standard input: obsup upload - BUCKET/KEY"),
            )

    def read(self, amount: int = BLOCK_BYTES, /) -> memoryview:
        """Return the next block, of at most *amount* bytes; empty at the end of the window.

        The block is valid until the next call.
        """
        if self.sent >= self.size:
            return memoryview(b"")
        if self._buffer is None:
            self._buffer = BUFFERS.take()
        block = memoryview(self._buffer)[: amount if amount >= 0 else BLOCK_BYTES]
        return block[: self.readinto(block)]

    def readinto(self, block: memoryview, /) -> int:
        """Read the next bytes of the window into *block*; return how many, 0 at its end. Raises like ``read``."""
        wanted = min(len(block), self.size - self.sent)
        if wanted <= 0:
            return 0
        if self._gate is not None:
            wanted = self._gate(wanted)
        try:
            count = self._file.readinto(block[:wanted]) or 0
        except OSError as exc:
            raise _read_failed(self._path, exc) from exc
        self.digest.update(block[:count])
        self._advance(count)
        return count

    def send_to(self, descriptor: int) -> int:
        """Let the kernel send the next bytes to the socket *descriptor*; return how many.

        Only if ``can_sendfile``. If the kernel cannot send this file, nothing is sent, ``can_sendfile`` becomes false,
        and ``read`` continues. Raises what ``read`` and the socket raise.
        """
        if not self._granted:
            wanted = min(SENDFILE_BYTES, self.size - self.sent)
            self._granted = wanted if self._gate is None else self._gate(wanted)
        position = self._offset + self.sent
        try:
            count = os.sendfile(descriptor, self._file.fileno(), position, self._granted)
        except (BlockingIOError, ConnectionError):
            raise
        except OSError as exc:
            if exc.errno in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                self.can_sendfile = False
                self._file.seek(position)
                return 0
            if exc.errno in (errno.EIO, errno.ESTALE):
                raise _read_failed(self._path, exc) from exc
            raise
        self._granted -= count
        self._advance(count)
        return count

    def _advance(self, count: int) -> None:
        if count == 0:
            raise SourceChanged(
                f"{quoted(self._path)} became shorter during the upload",
                f"It ends {self.size - self.sent} bytes before the end of this part",
                _RESTART,
            )
        self.sent += count
        if self._on_sent is not None:
            self._on_sent(self.sent)

    def close(self) -> None:
        """Close the file. The last block must not be used any more."""
        if not self._file.closed:  # a buffer given back twice would be used by two windows at once
            self._file.close()
            if self._buffer is not None:
                BUFFERS.give_back([self._buffer])


def hash_part(path: Path, part: Part, digest: PartDigest, gate: Gate | None = None) -> None:
    """Add the bytes of *part* to *digest*. Raises what PartBody raises."""
    body = PartBody(path, part, digest=digest, gate=gate)
    try:
        while body.read():
            pass
    finally:
        body.close()


def sha256_of(path: Path, gate: Gate | None = None) -> str:
    """Return the SHA-256 of the whole file in hex. Raises what PartBody raises."""
    digest = hashlib.sha256()
    body = PartBody(path, Part(1, 0, stat_source(path).size), gate=gate)
    try:
        while block := body.read():
            digest.update(block)
    finally:
        body.close()
    return digest.hexdigest()


class FileWindow(Value):
    """One part of a file that had the identity *stat* when it was planned."""

    path: Path
    part: Part
    stat: SourceStat

    def open(
        self,
        new_digest: Callable[[], PartDigest],
        *,
        on_sent: Callable[[int], None] | None = None,
        gate: Gate | None = None,
    ) -> PartBody:
        """Return the window as a request body. Each body reads and hashes the file again."""
        body = PartBody(self.path, self.part, digest=new_digest(), on_sent=on_sent, gate=gate)
        if self.part.offset + self.part.size == self.stat.size:
            body.check_end(self.stat.size)
        return body

    def md5(self, gate: Gate | None = None) -> str:
        """Return the MD5 in hex. This reads the file once more."""
        digest = PartDigest(md5=True)
        hash_part(self.path, self.part, digest, gate)
        return digest.md5 or ""

    def check(self) -> None:
        """Raise SourceChanged if the file is no longer the one that was planned."""
        check_unchanged(self.path, self.stat)


def _read_failed(path: Path, exc: OSError) -> LocalFailure:
    return LocalFailure(
        f"reading {quoted(path)} failed", os.strerror(exc.errno or errno.EIO), run_again("check the disk")
    )


def check_same_file(path: Path, planned: SourceStat, seen: SourceStat) -> None:
    """Raise SourceChanged if this host does not see the file that was planned.

    Hosts number their devices differently, and network file systems may differ in inodes and change times. So under
    another device number only size and modification time are compared.
    """
    if planned.device != seen.device:
        planned = replace(planned, device=seen.device, inode=seen.inode, ctime_ns=seen.ctime_ns)
    found = changes(planned, seen)
    if found:
        raise SourceChanged(
            f"{quoted(path)} is not the file that the upload began with",
            f"What differs: {', '.join(found)}; an object must not mix two versions of its source",
            run_again(
                "keep the source on storage that every worker sees; if the file changed, start over",
                add=("--restart",),
            ),
        )

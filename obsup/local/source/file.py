"""Windows on the source file: the bodies of part requests."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from obsup.errors import LocalFailure, NextStep, SourceChanged, SourceUnreadable, run_again
from obsup.local.source.buffers import BLOCK_BYTES, BufferPool
from obsup.local.source.digest import PartDigest
from obsup.local.source.identity import RESTART, check_unchanged, stat_source
from obsup.model import Part, SourceStat
from obsup.text import quoted
from obsup.units import MIB
from obsup.value import Value

BUFFERS = BufferPool()
# How much one sendfile call sends at most: about what the buffer of a socket holds.
SENDFILE_BYTES = 2 * MIB

Gate = Callable[[int], int]
"""Called before sending n bytes; returns how many may be sent now. It may block, and it may raise."""


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
                RESTART,
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

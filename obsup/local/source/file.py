"""Windows on the source file: the bodies of part requests."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from obsup.errors import (
    NO_DESCRIPTOR,
    LocalFailure,
    ObsupError,
    SourceChanged,
    SourceUnreadable,
    run_again,
    too_many_files,
)
from obsup.local.platform.files import stat_open
from obsup.local.platform.sockets import HAS_SENDFILE, send_file
from obsup.local.source.buffers import BLOCK_BYTES, Block, BufferPool
from obsup.local.source.digest import Gate, PartDigest, digest_like
from obsup.local.source.identity import (
    RESTART,
    check_identity,
    check_stated_size,
    content_changed,
    identity,
    is_stable,
    open_planned,
    stat_source,
    unreadable,
)
from obsup.model import Checksum, Part, Receipt, SourceStat
from obsup.text import quoted
from obsup.units import MIB
from obsup.value import Value

BUFFERS = BufferPool()
# How much one sendfile call sends at most: about what the buffer of a socket holds.
SENDFILE_BYTES = 2 * MIB
# The number of parts of a file whose times keep changing that are compared before the file counts as unchanged.
MIN_COMPARISONS = 48


class PartBody:
    """A window on the open file of identity *stat*, read once in large blocks, each hashed before it is returned.

    ``can_sendfile``: no digest is computed, so the kernel can send the bytes directly; see ``send_to``. *on_sent* is
    called with the number of bytes returned so far. *gate* is called with the size of each block before it is read and
    returns how much of it may be sent now: it may block (a rate limit) or raise (a stop). Raises LocalFailure if the
    disk fails, SourceChanged if *path* leads to another file or the file ends inside the window, and SourceUnreadable
    if the file does not end where its size says.
    """

    def __init__(
        self,
        path: Path,
        part: Part,
        stat: SourceStat,
        *,
        digest: PartDigest | None = None,
        on_sent: Callable[[int], None] | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.size = part.size
        self.sent = 0
        self._path = path
        self.digest = digest or PartDigest()
        self.can_sendfile = HAS_SENDFILE and self.digest.is_idle
        self._on_sent = on_sent
        self._gate = gate
        self._granted = 0
        self._offset = part.offset
        self._planned = stat
        self._last_seen = stat
        self._buffer: Block | None = None
        try:
            self._file = open_planned(path, stat)
        except OSError as exc:
            raise _read_failed(path, exc) from exc
        try:
            if part.offset + part.size == stat.size:
                check_stated_size(path, self._file, stat.size)
            self._file.seek(part.offset)
        except BaseException as exc:
            self._file.close()
            if isinstance(exc, OSError):
                raise _read_failed(path, exc) from exc
            raise

    def read(self, amount: int = BLOCK_BYTES, /) -> memoryview:
        """Return the next block, of at most *amount* bytes; empty at the end of the window.

        The block is valid until the next call.
        """
        if self.sent >= self.size:
            return memoryview(b"")
        block = memoryview(self._own_buffer())[: amount if amount >= 0 else BLOCK_BYTES]
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

    def fileno(self) -> int:
        """Return the descriptor of the open file."""
        return self._file.fileno()

    def hash(self) -> None:
        """Add the whole window to the digest. Raises like ``read``."""
        if not self.digest.add_window(self.fileno(), self._offset, self.size, self._gate, self._own_buffer):
            while self.read():
                pass

    def _own_buffer(self) -> Block:
        if self._buffer is None:
            self._buffer = BUFFERS.take()
        return self._buffer

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
            count = send_file(descriptor, self._file.fileno(), position, self._granted)
        except (BlockingIOError, ConnectionError):
            raise
        except OSError as exc:
            if exc.errno in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP):
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
            check_stated_size(self._path, self._file, self._planned.size)
            raise SourceChanged(
                f"{quoted(self._path)} became shorter during the upload",
                f"It ends {self.size - self.sent} bytes before the end of this part",
                RESTART,
            )
        self.sent += count
        if self._on_sent is not None:
            self._on_sent(self.sent)

    def check(self) -> None:
        """Raise SourceChanged if the open file had changed when it was closed, or has changed by now.

        Not the path is checked: it may lead to another file for a moment.
        """
        if not self._file.closed:
            self._last_seen = identity(stat_open(self._file.fileno()))
        check_identity(self._path, self._planned, self._last_seen)

    def close(self) -> None:
        """Close the file. The last block must not be used any more."""
        if not self._file.closed:  # a buffer given back twice would be used by two windows at once
            self._last_seen = identity(stat_open(self._file.fileno()))
            self._file.close()
            if self._buffer is not None:
                BUFFERS.give_back([self._buffer])


def blocks_of(
    path: Path, part: Part, stat: SourceStat, digest: PartDigest | None = None, gate: Gate | None = None
) -> Iterator[memoryview]:
    """Yield the blocks of *part*, each valid until the next; then check that the file is the planned one.

    The bytes are also added to *digest*. Raises what PartBody raises.
    """
    with closing(PartBody(path, part, stat, digest=digest, gate=gate)) as body:
        while block := body.read():
            yield block
        body.check()


def hash_part(
    path: Path, part: Part, stat: SourceStat, digest: PartDigest, gate: Gate | None = None
) -> PartDigest:
    """Add the bytes of *part* to *digest*, and return it. Raises what PartBody raises."""
    with closing(PartBody(path, part, stat, digest=digest, gate=gate)) as body:
        body.hash()
        body.check()
    return digest


def check_sent(
    path: Path, stat: SourceStat, sent: Sequence[tuple[Part, Receipt]], gate: Gate | None = None
) -> None:
    """Raise SourceChanged unless the file still has the content of the *sent* parts.

    They are read forwards and backwards, and again in other orders if the times of the file change during that: a file
    that alternates between two contents is not taken for their mixture.
    """
    order = list(sent)
    # A single part cannot mix what was sent at different times.
    passes = 2 if len(sent) < 2 else max(2, -(-MIN_COMPARISONS // len(sent)))
    for number in range(passes):
        before = _identity_now(path)
        shows_changes = before is not None and is_stable(before, time.time_ns())
        for part, receipt in order:
            digest = digest_like(receipt)
            hash_part(path, part, stat, digest, gate)
            if digest.is_idle or not digest.is_of(receipt):
                raise content_changed(path, since="sent")
        if number and shows_changes and before == _identity_now(path):
            return
        turn = number % max(1, len(order))
        order = [*order[turn:], *order[:turn]][::-1]


def _identity_now(path: Path) -> SourceStat | None:
    try:
        return stat_source(path)
    except SourceUnreadable:  # reading reports it
        return None


class FileWindow(Value):
    """One part of a file that had the identity *stat* when it was planned.

    ``take_md5`` returns its MD5 if that was computed in advance, and only once: what is sent again is hashed again.
    """

    path: Path
    part: Part
    stat: SourceStat
    take_md5: Callable[[], str | None] | None = None

    def open(
        self,
        new_digest: Callable[[], PartDigest],
        *,
        on_sent: Callable[[int], None] | None = None,
        gate: Gate | None = None,
    ) -> PartBody:
        """Return the window as a request body. Each body reads the file again, and hashes it unless that was done."""
        digest = new_digest()
        known = self.take_md5() if self.take_md5 is not None and digest.has_md5 else None
        if known is not None:
            digest.record_md5(known)
        return PartBody(self.path, self.part, self.stat, digest=digest, on_sent=on_sent, gate=gate)

    def md5(self, gate: Gate | None = None) -> str:
        """Return the MD5 in hex. This reads the file once more, unless it was computed in advance."""
        known = self.take_md5() if self.take_md5 is not None else None
        return known or hash_part(self.path, self.part, self.stat, PartDigest(md5=True), gate).md5 or ""

    def checksum(self, algorithm: str, gate: Gate | None = None) -> Checksum | None:
        """Return the checksum of this *algorithm*. This reads the file once more."""
        return hash_part(self.path, self.part, self.stat, PartDigest(checksum=algorithm), gate).checksum


def _read_failed(path: Path, exc: OSError) -> ObsupError:
    if isinstance(exc, PermissionError):
        return unreadable(path, exc)
    if exc.errno in NO_DESCRIPTOR:
        return too_many_files(f"reading {quoted(path)} failed")
    return LocalFailure(
        f"reading {quoted(path)} failed", os.strerror(exc.errno or errno.EIO), run_again("check the disk")
    )

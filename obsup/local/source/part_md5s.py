"""The MD5s of several parts of a file at once, by the extension module: hashlib takes several times as long."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from obsup.local.source.digest import Gate, PartDigest, fast_digests
from obsup.local.source.file import PartBody, hash_part
from obsup.model import Part, SourceStat
from obsup.units import MIB

# How many parts the module hashes in the time that hashlib needs for one, at least.
MIN_PARTS = 3
# The parts of a group are read twice, to hash and to send them: they should stay in the page cache.
GROUP_PARTS = 16
GROUP_BYTES = 256 * MIB


def md5s_of_parts(path: Path, parts: Sequence[Part], stat: SourceStat, gate: Gate | None) -> list[str] | None:
    """Return the MD5 of each of *parts* in hex.

    None if hashlib is as fast, or if reading fails: reading block by block shows why. Raises SourceChanged if the file
    is not the one of identity *stat*, before or after it was read.
    """
    md5s = getattr(fast_digests(), "md5s", None)
    if md5s is None or len(parts) < MIN_PARTS:
        return None
    with closing(PartBody(path, Part(1, 0, stat.size), stat)) as body:
        try:
            digests = md5s(body.fileno(), [(part.offset, part.size) for part in parts], gate)
        except (OSError, EOFError):
            return None
        body.check()
    return [digest.hex() for digest in digests]


class PartGroup:
    """Parts whose MD5s are computed at once, when the first of them is needed. Thread-safe.

    ``next`` is the group after it. A thread that takes an MD5 computes that one, too, unless another thread does: the
    others send at the same time.
    """

    def __init__(self, path: Path, stat: SourceStat, parts: Sequence[Part], gate: Gate | None) -> None:
        self.next: PartGroup | None = None
        self._path = path
        self._stat = stat
        self.parts = parts
        self._gate = gate
        self._md5s: dict[int, str] | None = None
        self._lock = threading.Lock()

    def take(self, number: int) -> str | None:
        """Return the MD5 of the part with this *number*, once; None if it must be computed by reading the part.

        It is returned only once, because content that is sent again may have changed. Raises as ``md5s_of_parts``.
        """
        with self._lock:
            found = self._computed().pop(number, None)
        following = self.next
        if following is not None and following._lock.acquire(blocking=False):
            try:
                following._computed()
            finally:
                following._lock.release()
        return found

    def _computed(self) -> dict[int, str]:
        """Return the MD5s that were not taken. Needs the lock."""
        if self._md5s is None:
            self._md5s = {}  # if this fails, the other parts are hashed one by one
            md5s = md5s_of_parts(self._path, self.parts, self._stat, self._gate)
            if md5s is not None:
                self._md5s = {part.number: md5 for part, md5 in zip(self.parts, md5s, strict=True)}
        return self._md5s


def in_groups(
    path: Path, stat: SourceStat, parts: Iterable[Part], gate: Gate | None, *, is_on: bool = True
) -> Iterator[tuple[Part, PartGroup | None]]:
    """Yield each of *parts* with its group; None unless *is_on*, or without the extension module."""
    if not is_on or getattr(fast_digests(), "md5s", None) is None:
        yield from ((part, None) for part in parts)
        return
    groups = (PartGroup(path, stat, batch, gate) for batch in _batches(iter(parts)))
    current = next(groups, None)
    while current is not None:
        current.next = next(groups, None)
        yield from ((part, current) for part in current.parts)
        current = current.next


def _batches(parts: Iterator[Part]) -> Iterator[list[Part]]:
    """Yield *parts* in lists of up to GROUP_PARTS, and of up to GROUP_BYTES unless one part has more."""
    batch: list[Part] = []
    for part in parts:
        is_full = len(batch) == GROUP_PARTS or sum(one.size for one in batch) + part.size > GROUP_BYTES
        if batch and is_full:
            yield batch
            batch = []
        batch.append(part)
    if batch:
        yield batch


def hash_grouped(
    group: PartGroup | None, path: Path, part: Part, stat: SourceStat, digest: PartDigest, gate: Gate | None
) -> PartDigest:
    """Return *digest* of *part*, with the MD5 that its *group* has. Raises as ``hash_part``."""
    md5 = group.take(part.number) if group is not None and digest.has_md5 else None
    if md5 is not None:
        digest.record_md5(md5)
    return digest if digest.is_idle else hash_part(path, part, stat, digest, gate)

"""Digests of a part, computed while it is sent: MD5 for the ETag, CRC-64/XZ for stores that return it."""

from __future__ import annotations

import hashlib
from functools import lru_cache

_POLYNOMIAL = 0xC96C5795D7870F42  # CRC-64/XZ, reflected
_BITS = 64


class PartDigest:
    """Computes ``md5`` (hex) and ``crc64``. Each is None if it was not asked for."""

    def __init__(self, *, md5: bool = False, crc64: bool = False) -> None:
        # usedforsecurity: it detects accidental changes, which FIPS mode allows.
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 else None
        self._known_md5: str | None = None
        self._crc64 = 0 if crc64 else None
        if crc64:
            from fastcrc.crc64 import xz  # imported here because few dialects need it

            self._xz = xz

    def update(self, block: memoryview | bytes) -> None:
        """Add the next block."""
        if self._md5 is not None:
            self._md5.update(block)
        if self._crc64 is not None:
            self._crc64 = self._xz(block, self._crc64)

    def record_md5(self, md5: str) -> None:
        """Record the MD5, in lower-case hex, that was computed separately from the same bytes."""
        self._known_md5 = md5

    @property
    def is_idle(self) -> bool:
        """Whether no digest is computed, so that the bytes need not be read into memory."""
        return self._md5 is None and self._crc64 is None

    @property
    def md5(self) -> str | None:
        """The MD5 so far, in lower-case hex."""
        return self._md5.hexdigest() if self._md5 is not None else self._known_md5

    @property
    def crc64(self) -> int | None:
        """The CRC-64/XZ so far, an unsigned 64-bit number; OSS writes it in decimal."""
        return self._crc64


def combine_crc64(first: int, second: int, second_size: int) -> int:
    """Return the CRC-64/XZ of two byte strings together, from that of each and the size of the second in bytes."""
    return _times(_zeros_operator(second_size), first) ^ second


@lru_cache(maxsize=8)
def _zeros_operator(size: int) -> tuple[int, ...]:
    """Return the matrix that *size* zero bytes apply to a CRC, as columns."""
    operator = tuple(1 << bit for bit in range(_BITS))
    power = (_POLYNOMIAL, *(1 << bit for bit in range(_BITS - 1)))  # the matrix of one zero bit
    bits = size * 8
    while bits:
        if bits & 1:
            operator = tuple(_times(power, column) for column in operator)
        power = tuple(_times(power, column) for column in power)
        bits >>= 1
    return operator


def _times(matrix: tuple[int, ...], vector: int) -> int:
    result = 0
    for column in matrix:
        if not vector:
            break
        if vector & 1:
            result ^= column
        vector >>= 1
    return result

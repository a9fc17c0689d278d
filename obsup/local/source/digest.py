"""The digests of a part, computed while its bytes pass by: MD5 for the ETag, CRC-64/XZ where the store answers one."""

from __future__ import annotations

import hashlib
from functools import lru_cache

_POLYNOMIAL = 0xC96C5795D7870F42  # CRC-64/XZ, reflected
_BITS = 64


class PartDigest:
    """Takes blocks in; gives ``md5`` in hex and ``crc64``, each None where it was not asked for."""

    def __init__(self, *, md5: bool = False, crc64: bool = False) -> None:
        # usedforsecurity: a proof against accidents, which no FIPS rule forbids.
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 else None
        self._crc64 = 0 if crc64 else None
        if crc64:
            from fastcrc.crc64 import xz  # here, and not above: few dialects need it

            self._xz = xz

    def update(self, block: memoryview | bytes) -> None:
        """Take the next block in."""
        if self._md5 is not None:
            self._md5.update(block)
        if self._crc64 is not None:
            self._crc64 = self._xz(block, self._crc64)

    @property
    def is_idle(self) -> bool:
        """Whether nothing was asked for, so that no byte need be looked at."""
        return self._md5 is None and self._crc64 is None

    @property
    def md5(self) -> str | None:
        """The MD5 so far, lower-case hex."""
        return self._md5.hexdigest() if self._md5 is not None else None

    @property
    def crc64(self) -> int | None:
        """The CRC-64/XZ so far, an unsigned 64-bit number, as OSS writes it in decimal."""
        return self._crc64


def combine_crc64(first: int, second: int, second_size: int) -> int:
    """Return the CRC-64/XZ of two runs of bytes together, from those of each and the size of the second in bytes."""
    return _times(_zeros_operator(second_size), first) ^ second


@lru_cache(maxsize=8)
def _zeros_operator(size: int) -> tuple[int, ...]:
    """Return the matrix that *size* zero bytes apply to a CRC; a column is where one bit goes."""
    operator = tuple(1 << bit for bit in range(_BITS))
    power = (_POLYNOMIAL, *(1 << bit for bit in range(_BITS - 1)))  # one zero bit
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

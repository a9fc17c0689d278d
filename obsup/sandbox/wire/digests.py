"""Hashes computed while receiving: MD5 always, others if a request needs them."""

from __future__ import annotations

import base64
import hashlib
import zlib
from array import array
from collections.abc import Callable, Iterable
from functools import cache

_POLYNOMIAL = 0xC96C5795D7870F42
_MASK = 0xFFFFFFFFFFFFFFFF


class Digest:
    """The running digests of one body. ``size`` is bytes."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """*names*: further digests out of ``sha256``, ``sha1``, ``crc32``, ``crc64``."""
        wanted = set(names)
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256() if "sha256" in wanted else None
        self._sha1 = hashlib.sha1(usedforsecurity=False) if "sha1" in wanted else None
        self._crc32: int | None = 0 if "crc32" in wanted else None
        self._crc64: int | None = 0 if "crc64" in wanted else None

    def update(self, block: memoryview) -> None:
        """Add a block."""
        self.size += len(block)
        self._md5.update(block)
        if self._sha256 is not None:
            self._sha256.update(block)
        if self._sha1 is not None:
            self._sha1.update(block)
        if self._crc32 is not None:
            self._crc32 = zlib.crc32(block, self._crc32)
        if self._crc64 is not None:
            self._crc64 = crc64(block, self._crc64)

    @property
    def md5(self) -> bytes:
        """The 16 raw bytes."""
        return self._md5.digest()

    @property
    def crc64(self) -> int | None:
        """CRC-64/XZ, if requested."""
        return self._crc64

    @property
    def sha256_hex(self) -> str:
        """Lower-case hex, empty if not requested."""
        return self._sha256.hexdigest() if self._sha256 is not None else ""

    def base64_of(self, name: str) -> str | None:
        """Return a digest as in the x-amz-checksum headers; None if not computed."""
        if name == "sha256" and self._sha256 is not None:
            return base64.b64encode(self._sha256.digest()).decode("ascii")
        if name == "sha1" and self._sha1 is not None:
            return base64.b64encode(self._sha1.digest()).decode("ascii")
        if name == "crc32" and self._crc32 is not None:
            return base64.b64encode(self._crc32.to_bytes(4, "big")).decode("ascii")
        return None


def crc64(data: memoryview, crc: int = 0) -> int:
    """Return the CRC-64/XZ ("crc64ecma" of OSS) of *data* appended to the data of *crc*."""
    return _crc64_function()(data, crc)


def combine_crc64(first: int, second: int, second_size: int) -> int:
    """Return the CRC of a concatenation from the CRCs of its two halves (as zlib's crc32_combine)."""
    if not second_size:
        return first
    odd = [_POLYNOMIAL, *(1 << n for n in range(63))]
    even = _square(odd)
    odd = _square(even)
    size = second_size
    while size:
        even = _square(odd)
        if size & 1:
            first = _times(even, first)
        size >>= 1
        odd, even = even, odd
    return first ^ second


def _times(matrix: list[int], vector: int) -> int:
    total = 0
    for row in matrix:
        if not vector:
            break
        if vector & 1:
            total ^= row
        vector >>= 1
    return total


def _square(matrix: list[int]) -> list[int]:
    return [_times(matrix, row) for row in matrix]


@cache
def _crc64_function() -> Callable[[memoryview, int], int]:
    """Return the C implementation if installed: it is about 500 times faster than the table."""
    try:
        import fastcrc
    except ImportError:
        return crc64_by_table
    function: Callable[[memoryview, int], int] = fastcrc.crc64.xz
    return function


def crc64_by_table(data: memoryview, crc: int = 0) -> int:
    """Compute CRC-64/XZ with the standard library alone, two bytes per step."""
    table = _table()
    crc ^= _MASK
    even = len(data) & ~1
    words = array("H", bytes(data[:even]))
    if array("H", b"\x01\x00")[0] != 1:
        words.byteswap()
    for word in words:
        crc = table[(crc ^ word) & 0xFFFF] ^ (crc >> 16)
    for byte in data[even:]:
        crc = _step(crc ^ byte, 8)
    return crc ^ _MASK


@cache
def _table() -> list[int]:
    bytewise = [_step(value, 8) for value in range(256)]
    halfway = (bytewise[value & 0xFF] ^ (value >> 8) for value in range(65536))
    return [bytewise[value & 0xFF] ^ (value >> 8) for value in halfway]


def _step(value: int, bits: int) -> int:
    for _ in range(bits):
        value = (value >> 1) ^ _POLYNOMIAL if value & 1 else value >> 1
    return value

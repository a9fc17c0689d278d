"""Hashes computed while receiving: MD5 always, others if a request needs them."""

from __future__ import annotations

import base64
import hashlib
import zlib
from array import array
from collections.abc import Callable, Iterable
from functools import cache

_POLYNOMIALS = {
    "crc32": (0xEDB88320, 32),
    "crc32c": (0x82F63B78, 32),
    "crc64": (0xC96C5795D7870F42, 64),
    "crc64nvme": (0x9A6C9329AC4BC9B5, 64),
}
"""Reflected polynomial and number of bits; "crc64" is the CRC-64/XZ, which OSS and OBS call crc64ecma."""
_MODELS = {"crc32c": "CRC32C", "crc64": "CRC64-XZ", "crc64nvme": "CRC64-NVME"}
"""The names of these CRCs in anycrc."""
_HASHES = frozenset({"sha1", "sha256"})


class Digest:
    """The running digests of one body. ``size`` is bytes."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """*names*: further digests out of ``sha256``, ``sha1``, ``crc32``, ``crc32c``, ``crc64``, ``crc64nvme``."""
        wanted = set(names)
        self.size = 0
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in {"md5"} | wanted & _HASHES}
        self._crcs = dict.fromkeys(wanted & _POLYNOMIALS.keys(), 0)

    def update(self, block: memoryview) -> None:
        """Add a block."""
        self.size += len(block)
        for digest in self._hashes.values():
            digest.update(block)
        for name, crc in self._crcs.items():
            self._crcs[name] = _crc_function(name)(block, crc)

    @property
    def md5(self) -> bytes:
        """The 16 raw bytes."""
        return self._hashes["md5"].digest()

    @property
    def crc64(self) -> int | None:
        """CRC-64/XZ, if requested."""
        return self._crcs.get("crc64")

    @property
    def sha256_hex(self) -> str:
        """Lower-case hex, empty if not requested."""
        return self._hashes["sha256"].hexdigest() if "sha256" in self._hashes else ""

    def base64_of(self, name: str) -> str | None:
        """Return a digest as in the x-amz-checksum headers; None if not computed."""
        if name in self._crcs:
            raw = self._crcs[name].to_bytes(_POLYNOMIALS[name][1] // 8, "big")
        elif name in self._hashes:
            raw = self._hashes[name].digest()
        else:
            return None
        return base64.b64encode(raw).decode("ascii")


def crc64(data: memoryview, crc: int = 0) -> int:
    """Return the CRC-64/XZ ("crc64ecma" of OSS) of *data* appended to the data of *crc*."""
    return _crc_function("crc64")(data, crc)


def combine_crc(first: int, second: int, second_size: int, *, name: str = "crc64") -> int:
    """Return the CRC of a concatenation from the CRCs of its two halves (as zlib's crc32_combine)."""
    if not second_size:
        return first
    polynomial, bits = _POLYNOMIALS[name]
    odd = [polynomial, *(1 << n for n in range(bits - 1))]
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
def _crc_function(name: str) -> Callable[[memoryview, int], int]:
    """Return the C implementation if installed: it is about 500 times faster than the table."""
    if name == "crc32":
        return zlib.crc32
    try:
        from anycrc import Model
    except ImportError:
        return lambda data, crc: crc_by_table(data, crc, name=name)
    calculate: Callable[[memoryview, int], int] = Model(_MODELS[name]).calc
    return calculate


def crc_by_table(data: memoryview, crc: int = 0, *, name: str = "crc64") -> int:
    """Compute a CRC without anycrc, two bytes at a time."""
    table = _table(name)
    mask = (1 << _POLYNOMIALS[name][1]) - 1
    crc ^= mask
    even = len(data) & ~1
    words = array("H", bytes(data[:even]))
    if array("H", b"\x01\x00")[0] != 1:
        words.byteswap()
    for word in words:
        crc = table[(crc ^ word) & 0xFFFF] ^ (crc >> 16)
    for byte in data[even:]:
        crc = _step(crc ^ byte, 8, _POLYNOMIALS[name][0])
    return crc ^ mask


@cache
def _table(name: str) -> list[int]:
    polynomial = _POLYNOMIALS[name][0]
    bytewise = [_step(value, 8, polynomial) for value in range(256)]
    halfway = (bytewise[value & 0xFF] ^ (value >> 8) for value in range(65536))
    return [bytewise[value & 0xFF] ^ (value >> 8) for value in halfway]


def _step(value: int, bits: int, polynomial: int) -> int:
    for _ in range(bits):
        value = (value >> 1) ^ polynomial if value & 1 else value >> 1
    return value

"""Digests of a part, computed while it is read: MD5 for the ETag, CRCs and SHA-256 for the checksums of stores.

Those of a window of a file are computed by an optional extension module, if that has them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from obsup.local.source.buffers import Block
from obsup.model import Checksum, Receipt

CRC64 = "crc64"
# Its names in anycrc; the vendors call crc64 "crc64ecma".
_MODELS = {CRC64: "CRC64-XZ", "crc64nvme": "CRC64-NVME", "crc32c": "CRC32C", "crc32": "CRC32"}
# Bit-reflected, as the extension module needs them.
_POLYNOMIALS = {
    CRC64: 0xC96C5795D7870F42,
    "crc64nvme": 0x9A6C9329AC4BC9B5,
    "crc32c": 0x82F63B78,
    "crc32": 0xEDB88320,
}
_CRC_BYTES = {"crc64nvme": 8, "crc32c": 4, "crc32": 4}
_HASHES = frozenset({"md5", "sha256", "sha1"})

Gate = Callable[[int], int]
"""Called before n bytes are read or sent; returns how many may be now. It may block, and it may raise."""


@cache
def fast_digests() -> Any:
    """Return the extension module; None if it was not built, or not for this machine."""
    try:
        from obsup.local.source import _fast_digest
    except ImportError:
        return None
    return _fast_digest


class PartDigest:
    """Computes ``md5`` (hex), ``crc64`` and one ``checksum`` of S3. Each is None if it was not asked for.

    *checksum* is its algorithm: ``crc64nvme``, ``crc32c``, ``crc32``, ``sha256``, ``sha1``, or ``crc64`` (OBS).
    """

    def __init__(self, *, md5: bool = False, crc64: bool = False, checksum: str | None = None) -> None:
        wanted = {
            name for name, is_wanted in (("md5", md5), (CRC64, crc64), (checksum, True)) if name and is_wanted
        }
        # usedforsecurity: it detects accidental changes, which FIPS mode allows.
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in wanted & _HASHES}
        self._crcs = dict.fromkeys(wanted & _MODELS.keys(), 0)
        self._known_md5: str | None = None
        self._current_md5: str | None = None
        self._known_crc64: int | None = None
        self._algorithm = checksum

    def update(self, block: memoryview | bytes) -> None:
        """Add the next block."""
        self._current_md5 = None
        for one in self._hashes.values():
            one.update(block)
        for name, value in self._crcs.items():
            self._crcs[name] = _calculate(name)(block, value)

    def add_window(
        self, descriptor: int, offset: int, size: int, gate: Gate | None, take_buffer: Callable[[], Block]
    ) -> bool:
        """Add a window of the open file *descriptor*, and return True, if the extension module has all digests.

        It is read into the buffer that *take_buffer* returns.
        If not, or if the window cannot be read, nothing is added: it must be read and added block by block.
        """
        crc = getattr(fast_digests(), "crc", None)
        if crc is None or self._hashes or not self._crcs:
            return False
        try:
            added = {
                name: crc(descriptor, offset, size, _POLYNOMIALS[name], value, gate, take_buffer())
                for name, value in self._crcs.items()
            }
        except (OSError, EOFError):
            return False
        self._crcs.update(added)
        return True

    def record_md5(self, md5: str) -> None:
        """Record the MD5, in lower-case hex, that was computed separately from the same bytes; compute it no more."""
        self._known_md5 = md5
        self._hashes.pop("md5", None)

    def record_crc64(self, crc64: int) -> None:
        """Record the CRC-64/XZ that was computed separately from the same bytes."""
        self._known_crc64 = crc64

    @property
    def is_idle(self) -> bool:
        """Whether no digest is computed, so that the bytes need not be read into memory."""
        return not self._hashes and not self._crcs

    @property
    def has_md5(self) -> bool:
        """Whether the MD5 is computed."""
        return "md5" in self._hashes

    @property
    def md5(self) -> str | None:
        """The MD5 so far, in lower-case hex."""
        if not self.has_md5:
            return self._known_md5
        if self._current_md5 is None:
            self._current_md5 = self._hashes["md5"].hexdigest()
        return self._current_md5

    @property
    def crc64(self) -> int | None:
        """The CRC-64/XZ so far, an unsigned 64-bit number; OSS writes it in decimal."""
        return self._crcs.get(CRC64, self._known_crc64)

    @property
    def checksum(self) -> Checksum | None:
        """The checksum so far."""
        if self._algorithm is None:
            return None
        if self._algorithm in self._hashes:
            return Checksum.of(self._algorithm, self._hashes[self._algorithm].digest())
        return _crc_checksum(self._algorithm, self._crcs[self._algorithm])

    def receipt(self, number: int, size: int, etag: str) -> Receipt:
        """Return the receipt of a part with these digests."""
        checksum = self.checksum if self._algorithm != CRC64 else None
        return Receipt(number, size, etag, self.md5, self.crc64, checksum=checksum)

    def is_of(self, receipt: Receipt) -> bool:
        """Return whether the digests are those of *receipt*, with those that it has not."""
        return (self.md5, self.crc64, self.checksum) == (receipt.md5, receipt.crc64, receipt.checksum)


def digest_like(receipt: Receipt) -> PartDigest:
    """Return an empty digest with the algorithms of *receipt*."""
    checksum = receipt.checksum
    return PartDigest(
        md5=receipt.md5 is not None,
        crc64=receipt.crc64 is not None,
        checksum=checksum.algorithm if checksum is not None else None,
    )


def combine_crc64(first: int, second: int, second_size: int) -> int:
    """Return the CRC-64/XZ of two byte strings together, from that of each and the size of the second in bytes."""
    return _combine(CRC64, first, second, second_size)


def combine_checksums(
    algorithm: str, parts: Iterable[tuple[Checksum | None, int]], *, is_full_object: bool
) -> Checksum | None:
    """Return the checksum of an object from the checksum and size of each part; None if one is unknown.

    That of the full object is the CRC of all bytes; a composite one is that of the checksums of the parts.
    Source: Amazon S3, "Checking object integrity for data uploads".
    """
    values = []
    total, digest = 0, PartDigest(checksum=algorithm)
    for checksum, size in parts:
        if checksum is None or checksum.algorithm != algorithm:
            return None
        values.append(checksum.raw)
        if is_full_object:
            total = _combine(algorithm, total, int.from_bytes(checksum.raw, "big"), size)
    if is_full_object:
        return _crc_checksum(algorithm, total)
    digest.update(b"".join(values))
    whole = digest.checksum
    return whole and Checksum(algorithm, f"{whole.value}-{len(values)}")


def _crc_checksum(algorithm: str, value: int) -> Checksum:
    if algorithm == CRC64:
        return Checksum(algorithm, str(value))
    return Checksum.of(algorithm, value.to_bytes(_CRC_BYTES[algorithm], "big"))


def _combine(name: str, first: int, second: int, second_size: int) -> int:
    combined: int = _model(name).combine(first, second, second_size)
    return combined


@cache
def _calculate(name: str) -> Callable[[memoryview | bytes, int], int]:
    calculate: Callable[[memoryview | bytes, int], int] = _model(name).calc
    return calculate


@cache
def _model(name: str) -> Any:
    from anycrc import Model  # imported here because not every run needs it

    return Model(_MODELS[name])

"""Hashes computed while receiving: MD5 always, others if a request needs them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from typing import Any

_CRCS = {"crc32": "CRC32", "crc32c": "CRC32C", "crc64": "CRC64-XZ", "crc64nvme": "CRC64-NVME"}
"""The names of these CRCs in anycrc; "crc64" is the CRC-64/XZ, which OSS and OBS call crc64ecma."""
_HASHES = frozenset({"sha1", "sha256"})


class Digest:
    """The running digests of one body. ``size`` is bytes."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """*names*: further digests out of ``sha256``, ``sha1``, ``crc32``, ``crc32c``, ``crc64``, ``crc64nvme``."""
        wanted = set(names)
        self.size = 0
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in {"md5"} | wanted & _HASHES}
        self._crcs = dict.fromkeys(wanted & _CRCS.keys(), 0)

    def update(self, block: memoryview) -> None:
        """Add a block."""
        self.size += len(block)
        for digest in self._hashes.values():
            digest.update(block)
        for name, crc in self._crcs.items():
            self._crcs[name] = _model(name).calc(block, crc)

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
            raw = self._crcs[name].to_bytes(4 if "32" in name else 8, "big")
        elif name in self._hashes:
            raw = self._hashes[name].digest()
        else:
            return None
        return base64.b64encode(raw).decode("ascii")


def combine_crc(first: int, second: int, second_size: int, *, name: str = "crc64") -> int:
    """Return the CRC of a concatenation from the CRCs of its two halves."""
    combined: int = _model(name).combine(first, second, second_size)
    return combined


@cache
def _model(name: str) -> Any:
    from anycrc import Model  # loaded for the first request that needs it

    return Model(_CRCS[name])

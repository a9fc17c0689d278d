"""The share of one machine in the files of a batch, without a coordinator: ``--shard I/N``."""

from __future__ import annotations

import re
from typing import NamedTuple

_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


class Shard(NamedTuple):
    """Share *number*, from 1 on, of *total*."""

    number: int
    total: int

    def has(self, key: str) -> bool:
        """Return whether the file with *key* belongs to this share. Each key belongs to exactly one."""
        import hashlib  # --help does not need it

        # Not in the encoding of the locale, which may differ between machines.
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.total == self.number - 1

    def __str__(self) -> str:
        """Return ``I/N``."""
        return f"{self.number}/{self.total}"


def parse_shard(text: str) -> Shard:
    """Return the shard ``I/N``, with I from 1 to N. Raises ValueError."""
    match = _SHARD.fullmatch(text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"invalid shard {text!r}: use I/N with I from 1 to N, for example 1/4")
    return Shard(int(match[1]), int(match[2]))

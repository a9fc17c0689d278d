"""The limits of the services; a test may lower them."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace

from obsup.sandbox.vendors import GIB

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes are bytes."""

    parts: int = 10_000
    """The highest part number, and the most parts in one Complete."""
    min_part: int | None = None
    """The smallest size of every part but the last; None: the vendor's (OBS, OSS 100 KiB; S3 5 MiB)."""
    max_part: int = 5 * GIB
    """The largest part, and the largest object of one PutObject."""
    page: int = 1000
    """The maximum number of items per page of a list."""
    skew: float = 0.0
    """How far the server's clock is off, in seconds."""


def parse_limit(rule: str, limits: Limits) -> Limits:
    """Return *limits* with ``NAME=VALUE`` applied; sizes take K, M, G. Raises ValueError."""
    name, equals, text = rule.partition("=")
    name = name.strip().replace("-", "_")
    known = [field.name for field in fields(Limits)]
    if not equals or name not in known:
        names = ", ".join(known).replace("_", "-")
        raise ValueError(f"limit {rule!r}: write NAME=VALUE, NAME one of {names}")
    if name == "skew":
        return replace(limits, skew=parse_seconds(text))
    value = parse_size(text)
    if value < (0 if name == "min_part" else 1):
        raise ValueError(f"limit {rule!r}: must be positive")
    return replace(limits, **{name: value})


def parse_size(text: str) -> int:
    """Return bytes from ``1048576``, ``100K``, ``5M``, ``1MiB``, ``2G``. Raises ValueError."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match:
        raise ValueError(f"not a size: {text!r} (write 1048576, 100K or 5M)")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def parse_seconds(text: str) -> float:
    """Return seconds from a number, which may be negative. Raises ValueError."""
    if not re.fullmatch(r"[+-]?[0-9]+(?:\.[0-9]+)?", text.strip()):
        raise ValueError(f"not a number of seconds: {text!r}")
    return float(text)

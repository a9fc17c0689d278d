"""Parse and format sizes and durations."""

from __future__ import annotations

import re

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

_BINARY = {"": 1, "K": KIB, "M": MIB, "G": GIB, "T": TIB}
_DECIMAL = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
# More digits are not a useful size or duration.
_NUMBER = r"([0-9]{1,20}(?:\.[0-9]{1,20})?)"
_SIZE = re.compile(_NUMBER + r"\s*([KMGT]?)(IB|B|)", re.IGNORECASE)
_DURATION = re.compile(_NUMBER + r"([smhd]?)")
_MAX_BYTES, _MAX_DURATION_S = 2**63 - 1, 36525 * 86400
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_size(text: str) -> int:
    """Return the bytes of a SIZE: ``1048576``, ``100K``, ``9M``, ``9MiB`` (binary) or ``9MB`` (decimal).

    Raises ValueError.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"invalid size {text!r}: use bytes, or for example 100K, 9M, 5G, 9MiB, 9MB")
    number, unit, suffix = match[1], match[2].upper(), match[3].upper()
    scale = _DECIMAL[unit] if suffix == "B" else _BINARY[unit]
    size = round(float(number) * scale) if "." in number else int(number) * scale
    if size > _MAX_BYTES:
        raise ValueError(f"size {text!r} is too large")
    return size


def parse_duration(text: str) -> float:
    """Return the seconds of a DURATION: ``30s``, ``15m``, ``7h``, ``2d``; a bare number is seconds.

    Raises ValueError.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"invalid duration {text!r}: use for example 30s, 15m, 7h or 2d")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > _MAX_DURATION_S:
        raise ValueError(f"duration {text!r} is longer than 100 years")
    return seconds


def format_size(size: float) -> str:
    """Return *size* bytes as a short text: ``523 B``, ``9.0 MiB``."""
    if size < KIB:
        return f"{size:.0f} B"
    for unit, scale in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size / KIB:.1f} KiB"


def counted(number: int, noun: str) -> str:
    """Return *number* with its noun: "1 part", "5 parts"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def exact_size(size: int) -> str:
    """Return *size* as a SIZE that parses back to the same bytes: ``9M`` for 9437184."""
    for unit, scale in (("T", TIB), ("G", GIB), ("M", MIB), ("K", KIB)):
        if size and size % scale == 0:
            return f"{size // scale}{unit}"
    return str(size)


def exact_duration(seconds: float) -> str:
    """Return *seconds*, to the nanosecond, as a DURATION that parses back to the same: ``2d``, ``90s``, ``0.5s``."""
    for unit in "dhm":
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def format_duration(seconds: float) -> str:
    """Return *seconds* as a short text: ``0.4 s``, ``42 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_clock(seconds: float) -> str:
    """Return *seconds* in the form of a clock: ``0:07``, ``12:03``, ``1:02:03``; from one day on ``3 d 4 h``."""
    whole = round(seconds)
    if whole >= 86400:
        return f"{whole // 86400} d {whole % 86400 // 3600} h"
    if whole >= 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"
    return f"{whole // 60}:{whole % 60:02}"

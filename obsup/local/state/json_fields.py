"""From what JSON has to what a field may be: a file that anybody may have written is no source of surprises."""

from __future__ import annotations

from typing import Any


def at_least(least: int, value: Any) -> int:
    """Return *value* as a number. Raises ValueError, TypeError, OverflowError."""
    number = int(value)
    if number < least:
        raise ValueError(f"{number} where at least {least} is meant")
    return number


def of_kind(value: Any, *kinds: type | None) -> Any:
    """Return *value*, which is of one of *kinds*; None stands for None. Raises TypeError."""
    kind = None if value is None else type(value)
    if kind not in kinds:
        raise TypeError(f"{kind} instead of one of {kinds}")
    return value

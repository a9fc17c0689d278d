"""Decode JSON into typed values: a file in the state directory may be damaged, or written by anyone."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from msgspec import convert

T = TypeVar("T")


def parse(data: bytes) -> Any:
    """Return the JSON document *data*. Raises ValueError.

    msgspec could decode typed values directly, but rejects the lone surrogates of a path that is not UTF-8.
    """
    try:
        return json.loads(data)
    except RecursionError as exc:
        raise ValueError("the JSON is nested too deeply") from exc


def decode(data: bytes, kind: type[T]) -> T:
    """Return the JSON document *data* as a value of *kind*; unknown fields are ignored. Raises ValueError."""
    return convert(parse(data), kind)

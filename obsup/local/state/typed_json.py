"""JSON files as typed values: a file in the state directory may be damaged, or written by anyone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from msgspec import convert, to_builtins

from obsup.local.files.own_file import UntrustedFile, read_own
from obsup.local.state.atomic_file import write_atomically
from obsup.units import MIB
from obsup.value import Value

T = TypeVar("T")
# That of an upload of 10,000 parts has about 1 MB.
MAX_RECORD_BYTES = 16 * MIB


def parse(data: bytes) -> Any:
    """Return the JSON document *data*. Raises ValueError.

    msgspec could decode typed values directly, but rejects the lone surrogates of a path that is not UTF-8.
    """
    try:
        return json.loads(data)
    except RecursionError as exc:
        raise ValueError("the JSON is nested too deeply") from exc


def read_record(path: Path, kind: type[T]) -> T | None:
    """Return the record at *path*; None if it is missing, unreadable, damaged, or not trusted."""
    try:
        return convert(parse(read_own(path, MAX_RECORD_BYTES)), kind)
    except (OSError, ValueError, UntrustedFile):
        return None


def write_record(path: Path, record: Value) -> None:
    """Replace the record at *path*. Raises OSError."""
    write_atomically(path, json.dumps(to_builtins(record)).encode())

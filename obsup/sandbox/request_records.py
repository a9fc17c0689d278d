"""One record per received request, in memory and optionally as JSON lines in a file."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field, fields
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request and its response."""

    time: float
    """Epoch seconds by the clock of this machine, when the request was recorded."""
    method: str
    operation: str
    bucket: str
    key: str
    upload_id: str
    part_number: int | None
    dialect: str
    """obs, aws2, aws4, oss1 or oss4; empty for a request without a signature."""
    status: int
    """The HTTP status; 0 if the connection ended without a response."""
    code: str
    """The vendor's error code, empty for success."""
    received: int
    """Bytes of the body received on the wire."""
    fault: str | None
    """The fault rules that were triggered, joined by a space."""
    connection: int
    """Number of the TCP connection, from 1."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """As received, including secrets: kept in memory only, never logged."""

    def to_json(self) -> str:
        """Return one JSON object on one line."""
        names = {"upload_id": "uploadId", "part_number": "partNumber"}
        shown = [field.name for field in fields(self) if field.name != "headers"]
        values = {names.get(name, name): getattr(self, name) for name in shown}
        return json.dumps(values, ensure_ascii=False)


class Journal:
    """Collects records. Thread-safe."""

    def __init__(self, path: Path | None = None) -> None:
        """With *path*, each record is also appended to that file by a single write."""
        self._lock = threading.Lock()
        self._records: list[RequestRecord] = []
        flags = (
            os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        )
        self._file = os.open(path, flags, 0o666) if path is not None else None

    def add(self, record: RequestRecord) -> None:
        """Add a record."""
        line = (record.to_json() + "\n").encode("utf-8", "backslashreplace")
        with self._lock:
            self._records.append(record)
            if self._file is not None:
                os.write(self._file, line)

    def snapshot(self) -> list[RequestRecord]:
        """Return the records so far."""
        with self._lock:
            return list(self._records)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

"""Decode Transfer-Encoding: chunked, which http.server does not."""

from __future__ import annotations

import io
import re
from typing import Any

from obsup.sandbox.refusals import Refused


class ChunkedStream(io.BufferedIOBase):
    """The decoded body of a request with Transfer-Encoding: chunked.

    S3 accepts it from clients that send a checksum trailer, for example boto3.
    """

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self._left = 0
        self.is_at_end = False

    def readable(self) -> bool:
        """Return True, for io."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into *buffer*; return 0 at the last chunk or if the client disconnects (see is_at_end)."""
        view = memoryview(buffer).cast("B")
        if not self._left and not self._next_chunk():
            return 0
        count = self._stream.readinto(view[: min(self._left, len(view))]) or 0
        self._left -= count
        if count and not self._left:
            self._stream.readline(3)
        return count

    def readline(self, size: int | None = -1) -> bytes:
        """Read a line across chunks, byte by byte; used only for the short lines of aws-chunked."""
        most = size if size is not None and size >= 0 else 65536
        line = bytearray()
        byte = bytearray(1)
        while len(line) < most and not line.endswith(b"\n") and self.readinto(byte):
            line += byte
        return bytes(line)

    def _next_chunk(self) -> bool:
        if self.is_at_end:
            return False
        header = self._stream.readline(1024)
        if not header:
            return False
        self._left = chunk_size(header)
        if not self._left:
            while self._stream.readline(1024).strip():
                pass
            self.is_at_end = True
        return self._left > 0


def chunk_size(line: bytes) -> int:
    """Return the size in a chunk's header, HTTP's or AWS's. Raises Refused (400 IncompleteBody)."""
    digits = line.partition(b";")[0].strip()
    if not re.fullmatch(rb"[0-9a-fA-F]{1,12}", digits):
        raise Refused(400, "IncompleteBody", f"Not a chunk header: {line[:80]!r}")
    return int(digits, 16)

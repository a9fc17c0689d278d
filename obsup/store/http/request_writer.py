"""One request and its answer on a connection that no proxy stands before: all that urllib3 does for others left out.

A small file is one request, and what urllib3, http.client and the email package do for it costs more than the rest.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from http.client import IncompleteRead, LineTooLong, UnknownProtocol
from typing import Any

from obsup.store.http.connections import WholeAnswer
from obsup.store.http.sockets import AnsweredEarly
from obsup.units import KIB, MIB

BLOCK = 1 * MIB
# A body that is no larger goes out with its head, in one piece.
ONE_PIECE = 64 * KIB
_MOST_HEADERS, _LONGEST_LINE = 200, 64 * KIB
# An answer and the interim ones before it.
_MOST_HEADS = 100


class FastResponse(WholeAnswer):
    """An answer whose head is read line by line.

    ``fields`` are its headers by lower-case name; those that come more than once are joined by a comma.
    """

    fields: dict[str, str]

    def begin(self) -> None:
        """Read the head. Raises HTTPException where it is none, or breaks off."""
        for _ in range(_MOST_HEADS):
            version, status, self.reason = self._read_status()  # type: ignore[attr-defined]
            self.fields = _read_head(self.fp)
            if not 100 <= status < 200 or status == 101:
                break
        else:
            raise UnknownProtocol("interim answers without end")
        if not version.startswith("HTTP/1."):
            raise UnknownProtocol(version)
        self.version = 10 if version == "HTTP/1.0" else 11
        self.code = self.status = status
        self.headers = self.msg = self.fields  # type: ignore[assignment]
        self.chunked = self.fields.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        length = self.fields.get("content-length", "")
        is_told = length.isascii() and length.isdigit() and len(length) < 20 and not self.chunked
        self.length = int(length) if is_told else None
        if status in (204, 304) or self._method == "HEAD":  # type: ignore[attr-defined]
            self.length = 0
        ends_with_the_line = not self.chunked and self.length is None
        self.will_close = self._check_close() or ends_with_the_line  # type: ignore[attr-defined]


def exchange_directly(
    connection: Any, head: bytes, body: Any, size: int, *, method: str, answer_timeout_s: float
) -> FastResponse:
    """Send *head*, then *size* bytes that *body* is or hands out, and return the answer with its head read.

    Raises as sockets, urllib3's connections and http.client do.
    """
    if connection.sock is None:
        connection.connect()
    try:
        if size <= ONE_PIECE:
            _send_in_one(connection, head + _whole(body, size))
        else:
            connection.send(head)
            _send_in_blocks(connection, body)
    except (AnsweredEarly, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
        # What the store said before it hung up is still to be read.
        connection.is_cut = True
    connection.sock.settimeout(answer_timeout_s)
    answer = FastResponse(connection.sock, method=method)
    try:
        answer.begin()
    except BaseException:
        answer.close()
        raise
    return answer


def head_of(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    """Return the head of a request. Raises ValueError for what would be read as another one."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        raise ValueError("a header with a line break")
    return text.encode("latin-1")


def _send_in_one(connection: Any, piece: bytes) -> None:
    """Send what begins a request: nothing of it can have been answered yet."""
    connection.sock.settimeout(connection.stall_timeout_s)
    count = connection.sock.send(piece)
    if count < len(piece):
        connection.send(piece[count:])


def _whole(body: Any, size: int) -> bytes:
    if isinstance(body, bytes) or not size:
        return body if size else b""
    blocks = bytearray()
    while block := body.read(BLOCK):
        blocks += block
    return bytes(blocks)


def _send_in_blocks(connection: Any, body: Any) -> None:
    if isinstance(body, bytes):
        connection.send(body)
        return
    if getattr(body, "is_unseen", False):
        connection.send_unseen(body)
    while block := body.read(BLOCK):
        connection.send(block)


def _read_head(stream: Any) -> dict[str, str]:
    """Return the headers that follow in *stream*. Raises IncompleteRead, LineTooLong."""
    fields: dict[str, str] = {}
    name = ""
    for _line in range(_MOST_HEADERS):
        line = stream.readline(_LONGEST_LINE + 1)
        if line in (b"\r\n", b"\n"):
            return fields
        if len(line) > _LONGEST_LINE:
            raise LineTooLong("header line")
        text = line.decode("latin-1")
        if name and text.startswith((" ", "\t")):  # folded, as RFC 9112 still has it
            fields[name] = f"{fields[name]} {text.strip()}"
            continue
        name, colon, value = text.partition(":")
        if not colon or not line.endswith(b"\n") or not name.strip():
            raise IncompleteRead(line)
        name, value = name.strip().lower(), value.strip()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    raise IncompleteRead(b"")

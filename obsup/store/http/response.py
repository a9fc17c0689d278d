"""Read a response from a connection without a proxy. http.client and the email package would take longer for it."""

from __future__ import annotations

import io
import re
from typing import Any

from obsup.errors import LongResponse, NetworkError, UnknownProtocol
from obsup.store.http.sockets import ResponseStream
from obsup.units import KIB, MIB
from obsup.value import Value

# The longest valid response is a page of 1,000 uploads whose keys have 1,024 bytes, each written as %XX.
MAX_RESPONSE_BYTES = 8 * MIB
_STATUS_LINE = re.compile(rb"HTTP/1\.(\d+)\s+([1-9]\d\d)(?=\s|$)")
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})\s*(?:;.*)?\r?\n", re.DOTALL)
_MAX_HEADERS = 200
_MAX_LINE_BYTES = 64 * KIB
# Of one response: the final head and the interim ones before it.
_MAX_HEADS = 100


class Head(Value):
    """The head of a response. ``length`` is that of its body in bytes, None if only its end shows it.

    ``headers`` are by lower-case name; the values of repeated ones are joined by a comma. ``is_last`` is whether the
    store closes the connection after the response.
    """

    status: int
    headers: dict[str, str]
    length: int | None
    is_chunked: bool
    is_last: bool


def open_stream(sock: Any, *, timeout_s: float, limit_s: float) -> io.BufferedReader:
    """Return the bytes that arrive on *sock*; see ``ResponseStream``."""
    return io.BufferedReader(ResponseStream(sock, timeout_s=timeout_s, limit_s=limit_s))


def read_head(stream: io.BufferedReader, method: str) -> Head:
    """Return the head of the response to a request with *method*, without the interim ones before it.

    Raises NetworkError if it is invalid or breaks off, ConnectionResetError if it is missing.
    """
    for _ in range(_MAX_HEADS):
        line = _read_line(stream)
        if not line:
            raise ConnectionResetError("the connection was closed without a response")
        match = _STATUS_LINE.match(line)
        if match is None:
            raise _invalid("not HTTP/1", UnknownProtocol)
        status, headers = int(match[2]), _read_headers(stream)
        if not 100 <= status < 200 or status == 101:
            return _head(status, headers, method=method, is_old=match[1] == b"0")
    raise _invalid("too many interim responses")


def read_body(stream: io.BufferedReader, head: Head) -> bytes:
    """Return the body, not decompressed, because obsup does not request compression. Raises NetworkError, OSError."""
    if head.length is not None:
        return _read_exactly(stream, head.length)
    if head.is_chunked:
        return _read_chunks(stream)
    body = stream.read(MAX_RESPONSE_BYTES + 1)
    check_size(len(body))
    return body


def _head(status: int, headers: dict[str, str], *, method: str, is_old: bool) -> Head:
    """Return the head; *is_old*: of HTTP/1.0. Equal lengths become one; raises NetworkError if they differ."""
    is_chunked = headers.get("transfer-encoding", "").lower() == "chunked"
    text, *others = {one.strip() for one in headers.get("content-length", "").split(",")}
    if others:
        raise _invalid("contradictory Content-Length")
    if text:
        headers["content-length"] = text
    length = int(text) if text.isascii() and text.isdigit() and len(text) < 20 and not is_chunked else None
    if status in (204, 304) or method == "HEAD":
        length = 0
    option = headers.get("connection", "").lower()
    is_last = "keep-alive" not in option if is_old else "close" in option
    return Head(status, headers, length, is_chunked, is_last or (length is None and not is_chunked))


def _read_headers(stream: io.BufferedReader) -> dict[str, str]:
    headers: dict[str, str] = {}
    name = ""
    for _ in range(_MAX_HEADERS):
        line = _read_line(stream)
        if line in (b"\r\n", b"\n"):
            return headers
        text = line.decode("latin-1")
        if name and text.startswith((" ", "\t")):  # a folded line; RFC 9112 still allows it
            headers[name] = f"{headers[name]} {text.strip()}"
            continue
        name, colon, value = text.partition(":")
        if not colon or not line.endswith(b"\n") or not name.strip():
            raise _incomplete()
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    raise _incomplete()


def _read_line(stream: io.BufferedReader) -> bytes:
    line = stream.readline(_MAX_LINE_BYTES + 1)
    if len(line) > _MAX_LINE_BYTES:
        raise _invalid("a line is too long")
    return line


def _read_chunks(stream: io.BufferedReader) -> bytes:
    body = bytearray()
    while True:
        line = _read_line(stream)
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise _incomplete() if not line.endswith(b"\n") else _invalid("not a size of a chunk")
        size = int(match[1], 16)
        if not size:
            break
        check_size(len(body) + size)
        body += _read_exactly(stream, size)
        if _read_line(stream) not in (b"\r\n", b"\n"):
            raise _incomplete()
    while _read_line(stream) not in (b"\r\n", b"\n", b""):
        pass  # trailers
    return bytes(body)


def _read_exactly(stream: io.BufferedReader, size: int) -> bytes:
    check_size(size)
    body = stream.read(size) if size else b""
    if len(body) != size:
        raise _incomplete()
    return body


def check_size(size: int) -> None:
    """Raise LongResponse if a body of *size* bytes is too long."""
    if size > MAX_RESPONSE_BYTES:
        raise LongResponse(
            "incomplete", f"the response has more than {MAX_RESPONSE_BYTES // MIB} MiB", sent=True
        )


def _incomplete() -> NetworkError:
    return NetworkError("incomplete", "the response was incomplete", sent=True)


def _invalid(reason: str, error_class: type[NetworkError] = NetworkError) -> NetworkError:
    return error_class("reset", f"the response is invalid: {reason}", sent=True)

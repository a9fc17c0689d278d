"""Send one request on an open connection, and read the head of its response.

A small file is one request, for which urllib3, http.client and the email package need more time than everything else.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from obsup.errors import NetworkError
from obsup.store.http.library_internals import StoreResponse
from obsup.store.http.sockets import EarlyResponse, send_all, set_timeout
from obsup.units import KIB, MIB

BLOCK_BYTES = 1 * MIB
# A body of at most this size is sent together with the head.
MAX_JOINED_BODY_BYTES = 64 * KIB


def send_request(
    connection: Any, head: bytes, body: Any, size: int, *, method: str, response_timeout_s: float
) -> StoreResponse:
    """Send *head* and the *size* bytes of *body*, and return the response with its head read.

    Raises NetworkError for a success of a request that was not sent completely, and the errors of sockets and
    http.client.
    """
    try:
        if size <= MAX_JOINED_BODY_BYTES:
            # No response can exist yet, so nothing looks for one.
            send_all(connection.sock, head + _read_all(body, size), connection.stall_timeout_s)
        else:
            connection.send(head)
            _send_blocks(connection, body)
    except (EarlyResponse, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
        # The response that the store sent before it closed the connection can still be read.
        connection.is_broken = True
    set_timeout(connection.sock, response_timeout_s)
    response = StoreResponse(connection.sock, limit_s=connection.response_limit_s, method=method)
    try:
        response.begin()
        _require_whole_request(connection, response.status)
    except BaseException:
        response.close()
        raise
    return response


def _require_whole_request(connection: Any, status: int) -> None:
    """Raise NetworkError if *status* reports success, but the request was not sent completely on *connection*.

    A proxy may respond so, and pass on what it has received.
    """
    is_success = 200 <= status < 300 or status == HTTPStatus.SEE_OTHER
    if is_success and connection.is_broken:
        detail = f"the server responded {status} before it had the whole request"
        raise NetworkError("incomplete", detail, sent=True)


def head_of(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    """Return the head of a request. Raises ValueError for a line break, which would start another header."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        raise ValueError("a header with a line break")
    return text.encode("latin-1")


def _read_all(body: Any, size: int) -> bytes:
    if isinstance(body, bytes) or not size:
        return body if size else b""
    content = bytearray()
    while block := body.read(BLOCK_BYTES):
        content += block
    return bytes(content)


def _send_blocks(connection: Any, body: Any) -> None:
    if isinstance(body, bytes):
        connection.send(body)
        return
    if getattr(body, "can_sendfile", False):
        connection.send_file(body)
    while block := body.read(BLOCK_BYTES):
        connection.send(block)

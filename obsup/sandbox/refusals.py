"""Exceptions that end a request with an error response."""

from __future__ import annotations

from collections.abc import Mapping


class Refused(Exception):
    """The request is rejected with an HTTP status and a vendor's error code.

    ``details`` become further elements of the ``<Error>`` document (``StringToSign``, ``Region``, …),
    ``headers`` further headers of the response.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})


class ConnectionLost(Exception):
    """The client disconnected, or a fault rule simulates that: no response can be sent."""


class ResetConnection(ConnectionLost):
    """Like ConnectionLost, but the socket is closed with an RST instead of a FIN."""

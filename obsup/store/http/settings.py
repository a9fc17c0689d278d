"""Connection settings, and the response as the transport returns it."""

from __future__ import annotations

from collections.abc import Mapping

from obsup.value import Value


class ConnectionSettings(Value):
    """How to reach the store. All times are seconds.

    ``stall_timeout_s`` limits the time in which no byte moves in either direction. ``response_limit_s`` limits the
    time that a response takes after its first byte, however its bytes move. ``client_cert`` is a PEM file with the
    certificate that the client shows, and with its private key unless ``client_key`` has it.
    """

    connect_timeout_s: float = 15.0
    stall_timeout_s: float = 60.0
    ca_bundle: str | None = None
    verify_tls: bool = True
    client_cert: str | None = None
    client_key: str | None = None
    proxy: str | None = None
    connections: int = 64
    response_limit_s: float = 900.0


class Response(Value):
    """A complete response. Header names are lower-case. It contains no secret of its request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

"""Connection settings, and the response as the transport returns it."""

from __future__ import annotations

from collections.abc import Mapping

from obsup.value import Value


class ConnectionSettings(Value):
    """How to reach the store. Timeouts are seconds; ``stall_timeout_s`` counts only while no byte moves, either way.

    ``answer_limit_s`` bounds an answer that comes in drops, from its first byte to its last.
    """

    connect_timeout_s: float = 15.0
    stall_timeout_s: float = 60.0
    ca_bundle: str | None = None
    verify_tls: bool = True
    proxy: str | None = None
    connections: int = 64
    answer_limit_s: float = 3600.0


class Response(Value):
    """A whole answer: header names are lower-case. ``secrets`` are those of its request, which it may repeat."""

    _hidden = ("secrets",)

    status: int
    headers: Mapping[str, str]
    body: bytes
    secrets: tuple[str, ...] = ()

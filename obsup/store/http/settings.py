"""Connection settings, the limit of one attempt, and the response as the transport returns it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from obsup.value import Value


class ConnectionSettings(Value):
    """How to reach the store. All times are seconds.

    ``stall_timeout_s`` limits the time in which no byte moves in either direction. ``response_limit_s`` limits the
    time that a response takes after its first byte, however its bytes move. ``client_cert`` is a PEM file with the
    certificate that the client shows, and with its private key unless ``client_key`` has it. ``proxy`` may contain a
    password.
    """

    _hidden = ("proxy",)

    connect_timeout_s: float = 15.0
    stall_timeout_s: float = 60.0
    ca_bundle: str | None = None
    verify_tls: bool = True
    client_cert: str | None = None
    client_key: str | None = None
    proxy: str | None = None
    connections: int = 64
    response_limit_s: float = 900.0


class _Attempt(threading.local):
    idle_limit_s: float | None = None


_attempt = _Attempt()


@contextmanager
def idle_limit(limit_s: float | None) -> Iterator[None]:
    """Inside the context, each timeout of this thread's requests is at most *limit_s* seconds, None for no limit."""
    before, _attempt.idle_limit_s = _attempt.idle_limit_s, limit_s
    try:
        yield
    finally:
        _attempt.idle_limit_s = before


def limited(timeout_s: float) -> float:
    """Return *timeout_s*, or the limit of this attempt if that is shorter."""
    limit_s = _attempt.idle_limit_s
    return timeout_s if limit_s is None else min(timeout_s, limit_s)


class Response(Value):
    """A complete response. Header names are lower-case. It contains no secret of its request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

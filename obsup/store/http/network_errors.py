"""Convert the exceptions of sockets, TLS and urllib3 to one NetworkError."""

from __future__ import annotations

import errno
import os
import re
import ssl
from http.client import HTTPException, IncompleteRead
from typing import Any

import urllib3

from obsup.errors import NetworkError
from obsup.store.http.library_internals import NoTLS

# The first match applies, so a specific cause comes before the exception that wraps it. The boolean: whether the store
# may have received any of the request.
_KINDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str, bool], ...] = (
    (ssl.SSLCertVerificationError, "certificate", False),
    (urllib3.exceptions.ProxyError, "proxy", False),
    (NoTLS, "no-tls", False),
    (urllib3.exceptions.NameResolutionError, "resolve", False),
    (ConnectionRefusedError, "refused", False),
    (urllib3.exceptions.ConnectTimeoutError, "connect", False),
    (urllib3.exceptions.NewConnectionError, "connect", False),
    (ssl.SSLError, "tls", True),
    (urllib3.exceptions.ReadTimeoutError, "stall", True),
    (TimeoutError, "stall", True),
    ((urllib3.exceptions.IncompleteRead, IncompleteRead), "incomplete", True),
    ((urllib3.exceptions.ProtocolError, HTTPException), "reset", True),
    (OSError, "reset", True),
)

# OpenSSL's names of the alerts with which a server rejects what the client shows or can do.
_REJECTING_ALERTS = re.compile(
    r"ALERT_(CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_(EXPIRED|REVOKED|UNKNOWN)"
    r"|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED|PROTOCOL_VERSION|INSUFFICIENT_SECURITY)|UNSUPPORTED_PROTOCOL"
)

_DETAILS = {
    "alert": "the server rejected the TLS connection",
    "certificate": "the server's TLS certificate was not accepted",
    "proxy": "the proxy did not respond",
    "tunnel": "the proxy refused to connect",
    "resolve": "the host name could not be resolved",
    "refused": "connection refused (nothing is listening there)",
    "connect": "no connection could be established",
    "no-tls": "the server does not use TLS",
    "tls": "the TLS connection failed",
    "stall": "the connection was idle for too long",
    "incomplete": "the response was incomplete",
    "reset": "the connection was closed",
}

_REFUSED_TUNNEL = re.compile(r"Tunnel connection failed: (4\d\d)")


def network_error(exc: BaseException) -> NetworkError:
    """Return the NetworkError for *exc*, which a request raised."""
    if isinstance(exc, NetworkError):
        return exc
    causes = _causes(exc)
    for types, kind, sent in _KINDS:
        cause = next((cause for cause in causes if isinstance(cause, types)), None)
        if cause is not None:
            rejected = _refused_tunnel(causes) if kind == "proxy" else _rejecting_alert(causes)
            return rejected or NetworkError(kind, _detail(kind, cause), sent)
    return NetworkError("reset", f"{type(exc).__name__}", sent=True)


def _causes(exc: BaseException) -> list[BaseException]:
    """Return *exc* and all exceptions that it wraps as causes, contexts, reasons or arguments, outermost first."""
    causes: list[BaseException] = []
    pending: list[Any] = [exc]
    while pending:
        cause = pending.pop(0)
        if isinstance(cause, BaseException) and cause not in causes:
            causes.append(cause)
            pending += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
    return causes


def _refused_tunnel(causes: list[BaseException]) -> NetworkError | None:
    """Return the error for a proxy that rejects the tunnel permanently; None if it may accept it later."""
    texts = (str(cause) for cause in causes if isinstance(cause, OSError))
    match = next(filter(None, map(_REFUSED_TUNNEL.search, texts)), None)
    return NetworkError("tunnel", f"{_DETAILS['tunnel']} ({match[1]})", sent=False) if match else None


def _rejecting_alert(causes: list[BaseException]) -> NetworkError | None:
    """Return the error for a server that rejects the client's TLS permanently; None if it may accept it later."""
    reasons = (str(getattr(cause, "reason", None)) for cause in causes if isinstance(cause, ssl.SSLError))
    reason = next(filter(_REJECTING_ALERTS.search, reasons), None)
    if reason is None:
        return None
    what = reason.partition("ALERT_")[2] or reason
    return NetworkError("alert", f"{_DETAILS['alert']}: {what.replace('_', ' ').lower()}", sent=False)


def _detail(kind: str, exc: BaseException) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"{_DETAILS[kind]}: {exc.verify_message}"
    if isinstance(exc, OSError) and exc.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNRESET):
        return f"{_DETAILS[kind]} ({os.strerror(exc.errno).lower()})"
    return _DETAILS[kind]

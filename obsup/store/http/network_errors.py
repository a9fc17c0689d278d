"""From the exceptions of sockets, TLS and urllib3 to one NetworkError that says what broke."""

from __future__ import annotations

import errno
import os
import re
import ssl
from http.client import HTTPException, IncompleteRead
from typing import Any

import urllib3

from obsup.errors import NetworkError
from obsup.store.http.connections import NoTLS

# First match wins; the innermost truth stands before the wrapper that hides it. The last word: whether any of
# the request may have reached the store.
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

_SENTENCES = {
    "certificate": "the server's TLS certificate was not accepted",
    "proxy": "the proxy did not answer",
    "tunnel": "the proxy refused to connect",
    "resolve": "the host name could not be resolved",
    "refused": "nobody listens there (connection refused)",
    "connect": "no connection could be made",
    "no-tls": "no TLS is spoken there",
    "tls": "the TLS connection broke",
    "stall": "the line stood still",
    "incomplete": "the answer broke off",
    "reset": "the connection was closed",
}

_REFUSED_TUNNEL = re.compile(r"Tunnel connection failed: (4\d\d)")


def network_error(exc: BaseException) -> NetworkError:
    """Return what *exc*, which a request raised, means for the line."""
    if isinstance(exc, NetworkError):
        return exc
    causes = _causes(exc)
    for types, kind, sent in _KINDS:
        found = next((one for one in causes if isinstance(one, types)), None)
        if found is not None:
            refused = _refused_tunnel(causes) if kind == "proxy" else None
            return refused or NetworkError(kind, _detail(kind, found), sent)
    return NetworkError("reset", f"{type(exc).__name__}", sent=True)


def _causes(exc: BaseException) -> list[BaseException]:
    """Return *exc* and all that it wraps, outermost first: causes, contexts, reasons and arguments."""
    found: list[BaseException] = []
    waiting: list[Any] = [exc]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return found


def _refused_tunnel(causes: list[BaseException]) -> NetworkError | None:
    """Return the error for a proxy that says no, as it will say again; None where it merely failed."""
    texts = (str(one) for one in causes if isinstance(one, OSError))
    match = next(filter(None, map(_REFUSED_TUNNEL.search, texts)), None)
    return NetworkError("tunnel", f"{_SENTENCES['tunnel']} ({match[1]})", sent=False) if match else None


def _detail(kind: str, exc: BaseException) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"{_SENTENCES[kind]}: {exc.verify_message}"
    if isinstance(exc, OSError) and exc.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNRESET):
        return f"{_SENTENCES[kind]} ({os.strerror(exc.errno).lower()})"
    return _SENTENCES[kind]

"""Convert the exceptions of sockets, TLS, urllib3 and http.client to one NetworkError."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from obsup.dialects.addressing import DEFAULT_PORTS
from obsup.errors import NO_DESCRIPTOR, NetworkError, UnknownProtocol

# The first match applies, so a specific cause comes before the exception that wraps it. The boolean: whether the store
# may have received any of the request. Names, because only requests through a proxy load urllib3 and http.client.
KINDS: tuple[tuple[tuple[str, ...], str, bool], ...] = (
    (("ssl.SSLCertVerificationError",), "certificate", False),
    (("obsup.store.http.connection.NoTLS",), "no-tls", False),
    (("urllib3.exceptions.NameResolutionError", "socket.gaierror"), "resolve", False),
    (("builtins.ConnectionRefusedError",), "refused", False),
    (("urllib3.exceptions.ConnectTimeoutError", "obsup.store.http.sockets.NoAnswer"), "connect", False),
    (("urllib3.exceptions.NewConnectionError", "obsup.store.http.connection.NotConnected"), "connect", False),
    (("ssl.SSLError",), "tls", True),
    (("urllib3.exceptions.ReadTimeoutError", "builtins.TimeoutError"), "stall", True),
    (("urllib3.exceptions.IncompleteRead", "http.client.IncompleteRead"), "incomplete", True),
    (("urllib3.exceptions.ProtocolError", "http.client.HTTPException"), "reset", True),
    (("builtins.OSError",), "reset", True),
)
# Of them, those that mean that --connect-timeout has passed.
_CONNECT_TIMEOUTS = ("urllib3.exceptions.ConnectTimeoutError", "obsup.store.http.sockets.NoAnswer")
PROXY_ERROR = "urllib3.exceptions.ProxyError"

# OpenSSL's names of the alerts with which a server rejects what the client shows or can do.
_REJECTING_ALERTS = re.compile(
    r"ALERT_(CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_(EXPIRED|REVOKED|UNKNOWN)"
    r"|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED|PROTOCOL_VERSION|INSUFFICIENT_SECURITY)|UNSUPPORTED_PROTOCOL"
)

# OpenSSL's codes for a certificate whose issuer is not trusted.
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})
# And for one that is not valid yet, or has expired.
_OUTSIDE_DATES = frozenset({9, 10})

# What a proxy replies to the request to connect to the store: an HTTP status, or a reply of SOCKS as PySocks words it.
_PROXY_REPLY = re.compile(
    r"Tunnel connection failed: (?P<status>\d{3})|0x(?P<code>[0-9a-f]{2}): (?P<text>[\w ]+)"
    r"|(?P<login>authentication (?:failed|methods were rejected)|username/password)|(?P<other>sent invalid data)"
    r"|(?P<closed>closed unexpectedly)"
)
# Those that may be different later. 501: the server does not implement CONNECT, so it is not a proxy.
_TEMPORARY_STATUSES = frozenset({408, 421, 425, 429, 499, *range(500, 600)}) - {501}
# RFC 1928, section 6: no permission, unknown command, unknown kind of address; and two of SOCKS4.
_FINAL_SOCKS_CODES = ("02", "07", "08", "5c", "5d")

_NAMED_CODES = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNRESET})
_DETAILS = {
    "alert": "the {server} rejected the TLS connection",
    "files": "no connection can be opened",
    "certificate": "the {server}'s TLS certificate was not accepted",
    "resolve": "the host name {host} could not be resolved",
    "refused": "connection refused (nothing is listening on {place})",
    "connect": "no connection to {place} could be established",
    "no-tls": "the {server} does not use TLS",
    "tls": "the TLS connection failed",
    "stall": "the connection was idle for too long",
    "incomplete": "the response was incomplete",
    "reset": "the connection was closed",
}
# What may come of a proxy that uses another protocol than obsup.
_UNANSWERED_KINDS = ("connect", "tls", "stall", "reset")
# What concerns the proxy's configuration, not its reachability, if the proxy is the server.
_TLS_KINDS = ("alert", "certificate", "dates", "no-tls")


def network_error(
    exc: BaseException,
    url: str,
    *,
    by_proxy: bool = False,
    trust: Callable[[], str] = str,
    dates: Callable[[], str] = str,
) -> NetworkError:
    """Return the NetworkError for *exc*, which a request raised.

    *url* is that of the store or the proxy that obsup connects to. *by_proxy*: the proxy is the server, not the store.
    *trust* describes the trusted certificates, *dates* those between which that of the server is valid.
    """
    if isinstance(exc, NetworkError):
        return exc
    causes = causes_of(exc)
    before_store = any(PROXY_ERROR in _names_of_types(cause) for cause in causes)
    if before_store and (reply := _reply_of_proxy(causes)):
        return reply
    if before_store and any(_name_of(type(cause)) == "http.client.BadStatusLine" for cause in causes):
        return UnknownProtocol("proxy-protocol", "the proxy does not use HTTP", sent=False)
    kind, sent, detail = _classify(causes)
    if kind == "files":
        return NetworkError(kind, detail, sent)
    is_proxy = before_store or by_proxy
    host, place = _names_of(url)
    detail = detail.format(server="proxy" if is_proxy else "server", host=host, place=place)
    if any(getattr(cause, "verify_code", None) in _UNKNOWN_ISSUER for cause in causes) and (known := trust()):
        detail = f"{detail}; the trusted certificates are those of {known}"
    if kind == "dates" and (known := dates()):
        detail = f"{detail}; {known}"
    if is_proxy and kind in _TLS_KINDS:
        return NetworkError(f"proxy-{kind}", detail, sent=False)
    if before_store:
        error_class = UnknownProtocol if kind in _UNANSWERED_KINDS else NetworkError
        return error_class("proxy", f"no connection through the proxy: {detail}", sent=False)
    is_closed = kind == "reset" and any(isinstance(cause, ConnectionError) for cause in causes)
    error_class = UnknownProtocol if is_closed or kind == "no-tls" else NetworkError
    return error_class(kind, f"{detail}; the request went to the proxy {place}" if by_proxy else detail, sent)


def _names_of(url: str) -> tuple[str, str]:
    """Return the host of *url*, and HOST:PORT."""
    address = urlsplit(url if "://" in url else f"http://{url}")  # as requests takes the URL of a proxy
    host, port = address.hostname or "", address.port or DEFAULT_PORTS.get(address.scheme)
    place = f"[{host}]" if ":" in host else host
    return host, place if port is None else f"{place}:{port}"


def _classify(causes: list[BaseException]) -> tuple[str, bool, str]:
    """Return kind, whether the store may have received any of the request, and the detail."""
    if any(isinstance(cause, OSError) and cause.errno in NO_DESCRIPTOR for cause in causes):
        return "files", False, _DETAILS["files"]
    for names, kind, sent in KINDS:
        cause = next((cause for cause in causes if not _names_of_types(cause).isdisjoint(names)), None)
        if cause is None:
            continue
        if getattr(cause, "verify_code", None) in _OUTSIDE_DATES:
            kind = "dates"
        alert = _rejecting_alert(causes)
        if alert is not None and kind not in ("certificate", "dates", "no-tls"):
            return "alert", False, f"{_DETAILS['alert']}: {alert}"
        return kind, sent, _detail(kind, cause, causes)
    return "reset", True, type(causes[0]).__name__


def _names_of_types(exc: BaseException) -> set[str]:
    """Return the names of all types that *exc* is an instance of."""
    return {_name_of(one) for one in type(exc).__mro__}


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def causes_of(exc: BaseException) -> list[BaseException]:
    """Return *exc* and all exceptions that it wraps as causes, contexts, reasons or arguments, outermost first."""
    causes: list[BaseException] = []
    pending: list[Any] = [exc]
    while pending:
        cause = pending.pop(0)
        if isinstance(cause, BaseException) and cause not in causes:
            causes.append(cause)
            pending += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
    return causes


def _reply_of_proxy(causes: list[BaseException]) -> NetworkError | None:
    """Return the error for the reply of a proxy that did not connect to the store; None if there was none."""
    texts = (str(cause) for cause in causes if isinstance(cause, OSError))
    match = next(filter(None, map(_PROXY_REPLY.search, texts)), None)
    if match is None:
        return None
    status, reply = match["status"], match["status"] or match["text"]
    if match["login"] or status == "407":
        return NetworkError("proxy-login", "the proxy rejected the user or the password", sent=False)
    if match["other"]:
        return UnknownProtocol("proxy-protocol", "the proxy does not use SOCKS", sent=False)
    if match["closed"]:
        return UnknownProtocol("proxy", "the proxy closed the connection to it without a reply", sent=False)
    is_final = int(status) not in _TEMPORARY_STATUSES if status else match["code"] in _FINAL_SOCKS_CODES
    if is_final:
        return NetworkError("tunnel", f"the proxy refused to connect ({reply})", sent=False)
    return NetworkError("proxy", f"the proxy could not connect to the store ({reply})", sent=False)


def _rejecting_alert(causes: list[BaseException]) -> str | None:
    """Return the alert of a server that rejects the client's TLS permanently; None if it may accept it later."""
    reasons = (str(getattr(cause, "reason", None)) for cause in causes if isinstance(cause, ssl.SSLError))
    reason = next(filter(_REJECTING_ALERTS.search, reasons), None)
    if reason is None:
        return None
    return (reason.partition("ALERT_")[2] or reason).replace("_", " ").lower()


def _detail(kind: str, exc: BaseException, causes: list[BaseException]) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"{_DETAILS['certificate']}: {exc.verify_message}"
    codes = [cause.errno for cause in causes if isinstance(cause, OSError)]
    if code := next(filter(_NAMED_CODES.__contains__, codes), None):
        return f"{_DETAILS[kind]} ({os.strerror(code).lower()})"
    if kind == "resolve":
        why = next((one.strerror for one in causes if isinstance(one, socket.gaierror) and one.strerror), "")
        return f"{_DETAILS[kind]} ({why.lower()})" if why else _DETAILS[kind]
    if _name_of(type(exc)) in _CONNECT_TIMEOUTS:
        return "no connection to {place} within --connect-timeout"
    return _DETAILS[kind]

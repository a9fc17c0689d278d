"""The line by itself, before any request: does the name resolve, does anyone listen, what does TLS agree on?"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi

from obsup.dialects.endpoints import is_loopback
from obsup.errors import NetworkError
from obsup.store.http.network_errors import network_error
from obsup.store.http.settings import ConnectionSettings
from obsup.value import Value

_PORTS = {"http": 80, "https": 443}


class Encryption(Value):
    """What TLS agreed on. ``valid_until`` is the certificate's own word; empty where it was not looked at."""

    version: str
    cipher: str
    valid_until: str


def find_proxy(url: str, line: ConnectionSettings) -> str | None:
    """Return the host of the proxy that requests to *url* go through, None where they go straight."""
    parts = urlsplit(url)
    named = line.proxy
    if named is None and not proxy_bypass(parts.netloc):
        proxies = getproxies()
        named = proxies.get(parts.scheme) or proxies.get("all")
    return urlsplit(named).hostname if named else None


def resolve(url: str) -> list[str]:
    """Return the addresses of the host of *url*. Raises NetworkError."""
    host, port = _place(url)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise NetworkError(
            "resolve", f"the host name {host} could not be resolved: {exc.strerror}", False
        ) from exc
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def measure(url: str, timeout_s: float, monotonic: Callable[[], float] = time.monotonic) -> float:
    """Return the seconds that a TCP connection to the host of *url* takes. Raises NetworkError."""
    begun = monotonic()
    try:
        with socket.create_connection(_place(url), timeout_s):
            return monotonic() - begun
    except OSError as exc:
        raise network_error(exc) from exc


def encrypt(url: str, line: ConnectionSettings, environ: Mapping[str, str] = os.environ) -> Encryption:
    """Return what TLS agrees on with the host of *url*, whose certificate is checked as for a request.

    Raises NetworkError.
    """
    named = environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")
    context = ssl.create_default_context(cafile=line.ca_bundle or named or certifi.where())
    if not line.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(_place(url), line.connect_timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=urlsplit(url).hostname) as secure,
        ):
            cipher = secure.cipher()
            certificate = secure.getpeercert() or {}
            return Encryption(
                secure.version() or "", cipher[0] if cipher else "", str(certificate.get("notAfter", ""))
            )
    except OSError as exc:
        raise network_error(exc) from exc


def _place(url: str) -> tuple[str, int]:
    """Return host and port of *url*; names of this machine are this machine, whatever a resolver thinks."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_name_of_this = is_loopback(host) and host.endswith("localhost")
    return ("127.0.0.1" if is_name_of_this else host), parts.port or _PORTS[parts.scheme]

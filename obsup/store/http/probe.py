"""Checks of the network without a request: name resolution, connection time, TLS."""

from __future__ import annotations

import os
import ssl
import time
from functools import partial
from urllib.parse import urlsplit

from obsup.dialects.addressing import DEFAULT_PORTS
from obsup.errors import NetworkError
from obsup.store.http.network_errors import network_error
from obsup.store.http.settings import ConnectionSettings
from obsup.store.http.sockets import find_addresses, open_connection
from obsup.store.http.tls_files import describe_trust, tls_context
from obsup.value import Value


class Encryption(Value):
    """The result of a TLS handshake. ``valid_until`` is the certificate's end date; empty if it was not verified."""

    version: str
    cipher: str
    valid_until: str


def resolve(url: str, timeout_s: float) -> list[str]:
    """Return the addresses of the host of *url*. Raises NetworkError."""
    host, port = _host_and_port(url)
    try:
        addresses = find_addresses(host, port, timeout_s)
    except OSError as exc:
        raise NetworkError(
            "resolve", f"the host name {host} could not be resolved: {exc.strerror}", False
        ) from exc
    return list(dict.fromkeys(str(address[4][0]) for address in addresses))


def measure_connect_s(url: str, timeout_s: float) -> float:
    """Return the seconds that a TCP connection to the host of *url* takes. Raises NetworkError."""
    started = time.monotonic()
    try:
        with open_connection(*_host_and_port(url), timeout_s):
            return time.monotonic() - started
    except OSError as exc:
        raise network_error(exc, url) from exc


def check_tls(url: str, settings: ConnectionSettings) -> Encryption:
    """Return the result of a TLS handshake with the host of *url*; the certificate is verified as for a request.

    Raises NetworkError.
    """
    context = tls_context(settings, os.environ)
    try:
        with (
            open_connection(*_host_and_port(url), settings.connect_timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=urlsplit(url).hostname) as secure,
        ):
            cipher = secure.cipher()
            certificate = secure.getpeercert() or {}
            return Encryption(
                secure.version() or "", cipher[0] if cipher else "", str(certificate.get("notAfter", ""))
            )
    except OSError as exc:
        raise network_error(exc, url, trust=partial(describe_trust, settings, os.environ)) from exc


def uses_tls(url: str, timeout_s: float) -> bool:
    """Return whether the host of *url*, which begins with http, completes a TLS handshake within *timeout_s*.

    Its certificate is not verified, because nothing is sent to it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            open_connection(*_host_and_port(url), timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=urlsplit(url).hostname),
        ):
            return True
    except OSError:
        return False


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]

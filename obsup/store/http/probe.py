"""Checks of the network without a request: name resolution, connection time, TLS."""

from __future__ import annotations

import os
import ssl
import time
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

from obsup.dialects.addressing import DEFAULT_PORTS
from obsup.errors import NetworkError
from obsup.store.http.network_errors import network_error
from obsup.store.http.proxy import origin_of
from obsup.store.http.settings import ConnectionSettings
from obsup.store.http.sockets import find_addresses, open_connection
from obsup.store.http.tls_files import describe_trust, tls_context
from obsup.value import Value

# That of a SOCKS proxy whose URL has none, for PySocks as well.
SOCKS_PORT = 1080
# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which the module ssl does not name.
_NO_CHECK_TIME = 0x200000
# The protocol of the proxy whose URL has this scheme; all others are SOCKS.
_PROTOCOLS = {"http": "HTTP", "https": "TLS"}
# The beginning of a request in each of these protocols.
_GREETINGS = (("SOCKS", b"\x05\x01\x00"), ("HTTP", b"GET / HTTP/1.0\r\n\r\n"))
# The beginning of any answer, or of what a server sends first. More than one protocol may begin so.
_FIRST_BYTES = (
    (b"\x05", "SOCKS"),
    (b"HTTP/", "HTTP"),
    (b"SSH-", "SSH"),
    (b"220", "SMTP or FTP"),
    (b"+OK", "POP3"),
    (b"* OK", "IMAP"),
    (b"RFB ", "VNC"),
)


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
        trust = partial(describe_trust, settings, os.environ)
        raise network_error(exc, url, trust=trust, dates=partial(describe_dates, url, settings)) from exc


def describe_dates(url: str, settings: ConnectionSettings) -> str:
    """Return when the certificate of the host of *url* is valid, and what this computer's clock shows.

    Returns "" if the certificate is rejected for another reason as well.
    """
    context = tls_context(settings, os.environ)
    context.verify_flags |= _NO_CHECK_TIME
    with (
        suppress(OSError),
        open_connection(*_host_and_port(url), settings.connect_timeout_s) as plain,
        context.wrap_socket(plain, server_hostname=urlsplit(url).hostname) as secure,
    ):
        certificate = secure.getpeercert() or {}
        now = time.strftime("%b %d %H:%M:%S %Y GMT", time.gmtime())
        return (
            f"it is valid from {certificate['notBefore']} to {certificate['notAfter']}, "
            f"and the clock of this computer shows {now}"
        )
    return ""


def check_protocol_of_proxy(proxy: str, error: NetworkError, timeout_s: float) -> NetworkError:
    """Return the error for *proxy*, the URL that obsup connects to, if its first connection failed with *error*.

    Returns *error* itself, unless the proxy answers to another protocol than that of its URL, or unless its response
    was invalid and a second request gets no valid one either.
    """
    url = _with_scheme(proxy)
    wanted, found = _find_protocol(url, timeout_s)
    is_other = found or (error.kind == "proxy-protocol" and not _uses(url, wanted, timeout_s))
    return _wrong_protocol(proxy, wanted, found) if is_other else error


def require_no_tls(proxy: str, timeout_s: float) -> None:
    """Raise NetworkError if *proxy* uses TLS, but not its URL: such servers answer to HTTP with an error."""
    url = _with_scheme(proxy)
    if urlsplit(url).scheme == "http" and uses_tls(url, timeout_s):
        raise _wrong_protocol(proxy, "HTTP", "TLS")


def _with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


def _wrong_protocol(proxy: str, wanted: str, found: str) -> NetworkError:
    detail = (
        f"the proxy does not use {wanted}{f', but {found}' if found else ''} ({origin_of(proxy)} names it)"
    )
    return NetworkError("proxy-protocol", detail, sent=False)


def check_protocol_of_store(url: str, error: NetworkError, timeout_s: float) -> NetworkError:
    """Return the error for the store at *url*, if its first connection failed with *error*.

    It is another one if the server shows that it uses another protocol, and *error* itself otherwise.
    """
    wanted, found = _find_protocol(url, timeout_s)
    if found == "TLS":
        return NetworkError("needs-tls", "the server uses TLS, and closed the connection", sent=False)
    if found in ("", "HTTP"):
        return error
    return NetworkError("protocol", f"the server does not use {wanted}, but {found}", sent=False)


def _find_protocol(url: str, timeout_s: float) -> tuple[str, str]:
    """Return the protocol that *url* names, and which other one its server answers to; "" for an unknown one."""
    wanted = _PROTOCOLS.get(urlsplit(url).scheme, "SOCKS")
    # First TLS: such servers answer to HTTP as well, with an error.
    if wanted != "TLS" and uses_tls(url, timeout_s):
        return wanted, "TLS"
    answers = (_answer(url, hello, timeout_s) for name, hello in _GREETINGS if name != wanted)
    known = (name for answer in answers for start, name in _FIRST_BYTES if answer.startswith(start))
    return wanted, next((name for name in known if name != wanted), "")


def _uses(url: str, protocol: str, timeout_s: float) -> bool:
    """Return whether the server of *url* answers to *protocol*."""
    if protocol == "TLS":
        return uses_tls(url, timeout_s)
    answer = _answer(url, dict(_GREETINGS)[protocol], timeout_s)
    return any(name == protocol and answer.startswith(start) for start, name in _FIRST_BYTES)


def _answer(url: str, request: bytes, timeout_s: float) -> bytes:
    with suppress(OSError), open_connection(*_host_and_port(url), timeout_s) as sock:
        sock.settimeout(timeout_s)
        sock.sendall(request)
        return sock.recv(16)
    return b""


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
    return parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, SOCKS_PORT)

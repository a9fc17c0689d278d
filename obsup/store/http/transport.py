"""Send one HTTP request and return its response. All requests to stores pass through this module.

The request is sent exactly as it was signed: the path byte by byte, no redirect followed, no cookie, no .netrc, and no
header added by requests.
"""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obsup.dialects.addressing import DEFAULT_PORTS
from obsup.dialects.dialect import Address
from obsup.dialects.encoding import encode_query
from obsup.errors import NetworkError, UnknownProtocol
from obsup.store.http.body import Body
from obsup.store.http.connection import ConnectionPool, head_of, open_directly
from obsup.store.http.network_errors import network_error
from obsup.store.http.proxy import check_proxy, find_proxy
from obsup.store.http.redaction import redact, secrets_in, secrets_of_proxy
from obsup.store.http.settings import ConnectionSettings, Response, limited
from obsup.store.http.tls_files import check_tls_files, describe_trust, tls_context
from obsup.value import Value
from obsup.version import __version__

if TYPE_CHECKING:
    from obsup.store.http.library_internals import ThroughProxy

# To assemble thousands of parts takes the stores minutes, and not all of them send white space in the meantime. The
# response to such a request may take this many times the stall timeout.
LONG_TIMEOUT_FACTOR = 10
# A server with another protocol may wait for the rest of a request.
PROBE_TIMEOUT_S = 1.0
# Those of the last requests, if keys are renewed for weeks.
MAX_LASTING_SECRETS = 16
USER_AGENT = f"obsup/{__version__}"

Sign = Callable[[Mapping[str, str]], Mapping[str, str]]
"""Returns the headers that sign a request with the given headers."""


class _Host(Value):
    """The way to the store at one URL. ``url`` is what obsup connects to: the store, or the proxy of ``through``."""

    _hidden = ("url", "proxy_secrets")

    pool: ConnectionPool
    url: str
    through: ThroughProxy | None = None
    proxy_secrets: tuple[str, ...] = ()

    @property
    def is_forwarded(self) -> bool:
        """Whether a proxy receives the request itself."""
        return self.through is not None and self.through.is_forwarded

    @property
    def is_tunneled(self) -> bool:
        """Whether a proxy passes on what obsup and the store send."""
        return self.through is not None and not self.through.is_forwarded


class Transport:
    """Sends requests on pooled connections. Safe to share between threads.

    Raises BadConfiguration if a certificate file cannot be used.
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        check_tls_files(settings, os.environ)
        self._settings = settings
        self._hosts: dict[str, _Host] = {}
        self._tls: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._may_use_another_protocol = True  # nothing has answered yet
        self._lasting_secrets: tuple[str, ...] = ()

    def exchange(
        self,
        method: str,
        address: Address,
        query: tuple[tuple[str, str | None], ...],
        *,
        headers: Mapping[str, str],
        body: Body | bytes,
        sign: Sign | None,
        takes_long: bool = False,
        is_download: bool = False,
    ) -> Response:
        """Send one request, signed by *sign*, and return the complete response, whatever its status.

        *takes_long*: the store works for minutes before it responds. *is_download*: the body of a success is content.
        Raises NetworkError unless a complete response arrives. Errors that *body* raises are passed unchanged.
        """
        root = f"{address.scheme}://{address.host}"
        target = address.path + ("?" + encode_query(query) if query else "")
        size = len(body) if isinstance(body, bytes) else body.size
        unsigned = _unsigned(headers, address.host, size)
        host = self._hosts.get(root) or self._find_host(root)
        signed = _signed(method, unsigned, sign=sign, is_empty=not size and method in ("PUT", "POST"))
        sent = signed if host.through is None else {**signed, **host.through.headers}
        head = head_of(method, root + target if host.is_forwarded else target, sent)
        timeout_s = limited(self._settings.stall_timeout_s * (LONG_TIMEOUT_FACTOR if takes_long else 1))
        connection = host.pool.take()
        try:
            response = connection.exchange(method, head, body, size, response_timeout_s=timeout_s)
        except (OSError, UnknownProtocol) as exc:
            # No local variable: its traceback would keep the connection open until the next garbage collection.
            raise self._network_error(exc, host).after(timeout_s) from exc
        finally:
            host.pool.give_back(connection)
        self._check_first(response, host)
        secrets = secrets_in(signed, query)
        hidden = {*secrets, *self._with_lasting(secrets), *host.proxy_secrets}
        return redact(response, hidden, is_content=is_download and response.status < 300)

    def _with_lasting(self, secrets: Mapping[str, bool]) -> tuple[str, ...]:
        """Return the lasting ones of *secrets*, and those of earlier requests."""
        known = self._lasting_secrets
        if new := [secret for secret, lasts in secrets.items() if lasts and secret not in known]:
            known = self._lasting_secrets = (*known, *new)[-MAX_LASTING_SECRETS:]
        return known

    def _network_error(self, exc: OSError | UnknownProtocol, host: _Host) -> NetworkError:
        trust = partial(describe_trust, self._settings, os.environ)
        if not isinstance(exc, UnknownProtocol):
            dates = partial(self._describe_dates, host)
            error = network_error(exc, host.url, by_proxy=host.is_forwarded, trust=trust, dates=dates)
        elif host.is_forwarded and self._may_use_another_protocol:
            error = UnknownProtocol("proxy-protocol", exc.detail, exc.sent)
        else:
            error = UnknownProtocol(exc.kind, exc.detail, exc.sent)
        return self._explained(error, host)

    def _describe_dates(self, host: _Host) -> str:
        from obsup.store.http.probe import describe_dates  # imported here because few runs need it

        return describe_dates(host.url, self._settings) if host.through is None else ""

    def _explained(self, error: NetworkError, host: _Host) -> NetworkError:
        """Return *error*, or that of a first server which uses another protocol than obsup, as far as it shows."""
        found = error
        is_plain = host.is_forwarded or host.url.startswith("http:") or error.kind == "no-tls"
        is_of_server = error.kind.startswith("proxy") if host.is_tunneled else is_plain
        if is_of_server and self._may_use_another_protocol and isinstance(error, UnknownProtocol):
            # Imported here because few runs need it.
            from obsup.store.http.probe import check_protocol_of_proxy, check_protocol_of_store

            check = check_protocol_of_store if host.through is None else check_protocol_of_proxy
            found = check(host.url, error, self._probe_timeout_s)
            if found is error:
                self._may_use_another_protocol = False
        if found is error and error.kind == "proxy-protocol":
            # Only this once: it has responded before, or to the check.
            return NetworkError("proxy", error.detail, error.sent)
        return found

    def _check_first(self, response: Response, host: _Host) -> None:
        """Raise NetworkError if the first *response* is that of a proxy that expects TLS."""
        if self._may_use_another_protocol and host.is_forwarded and response.status == HTTPStatus.BAD_REQUEST:
            from obsup.store.http.probe import require_no_tls  # imported here because few runs need it

            require_no_tls(host.url, self._probe_timeout_s)
        self._may_use_another_protocol = False

    @property
    def _probe_timeout_s(self) -> float:
        return limited(min(self._settings.connect_timeout_s, PROBE_TIMEOUT_S))

    def _find_host(self, root: str) -> _Host:
        """Return the way to the store at *root*, which stays the same. Raises BadConfiguration."""
        proxy, url = self.proxy_of(root), urlsplit(root)
        if proxy is None:
            open_socket = partial(
                open_directly,
                url.hostname or "",
                url.port or DEFAULT_PORTS[url.scheme],
                tls=self._shared_tls if url.scheme == "https" else None,
                settings=self._settings,
            )
            host = _Host(ConnectionPool(open_socket, self._settings), root)
        else:
            from obsup.store.http.library_internals import ThroughProxy  # it loads requests and urllib3

            check_proxy(proxy)
            through = ThroughProxy(root, proxy, tls=self._shared_tls, settings=self._settings)
            pool = ConnectionPool(through.open_socket, self._settings)
            host = _Host(pool, proxy, through, secrets_of_proxy(proxy))
        return self._hosts.setdefault(root, host)

    def _shared_tls(self) -> ssl.SSLContext:
        """Return the TLS context of all connections: reading the trusted certificates takes long."""
        with self._lock:
            if self._tls is None:
                self._tls = tls_context(self._settings, os.environ)
            return self._tls

    def proxy_of(self, url: str) -> str | None:
        """Return the URL of the proxy for requests to *url*, None without one."""
        return find_proxy(url, self._settings)

    def close(self) -> None:
        """Close all connections."""
        hosts, self._hosts = self._hosts, {}
        for host in hosts.values():
            host.pool.close()


def _merged(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of both: one of *second* replaces that of *first* with the same name in any case."""
    named = {name.lower(): (name, value) for name, value in (*first.items(), *second.items())}
    return dict(named.values())


def _unsigned(headers: Mapping[str, str], host: str, size: int) -> dict[str, str]:
    """Return *headers* with those that every request to *host* with a body of *size* bytes has."""
    own = {"Host": host, "User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if size:
        own["Content-Length"] = str(size)
    return _merged(headers, own)


def _signed(method: str, headers: Mapping[str, str], *, sign: Sign | None, is_empty: bool) -> dict[str, str]:
    """Return *headers* with those that *sign* returns for them; *is_empty*: with the length of an empty body."""
    signed = _merged(headers, sign(headers) if sign is not None else {})
    if is_empty:
        # After signing: the vendors' clients do not sign the length of an empty body.
        signed["Content-Length"] = "0"
    if method in ("GET", "HEAD"):
        # A cache on the way may keep what the store says of a public object, and proxies change this header.
        signed = _merged({"Cache-Control": "no-cache"}, signed)
    return signed

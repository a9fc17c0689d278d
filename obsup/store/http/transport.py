"""Send one HTTP request and return its response. All requests to stores pass through this module.

The request is sent exactly as it was signed: the path byte by byte, no redirect followed, no cookie, no .netrc, and no
header added by requests.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cached_property, partial
from http.client import HTTPException, IncompleteRead
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from obsup.dialects.dialect import Address
from obsup.dialects.encoding import encode_query
from obsup.errors import NetworkError
from obsup.store.http.body import Body
from obsup.store.http.library_internals import (
    StoreResponse,
    open_taken,
    pool_classes,
    return_connection,
    take_connection,
)
from obsup.store.http.network_errors import causes_of, network_error
from obsup.store.http.proxy import SOCKS_SCHEMES, check_proxy, find_proxy
from obsup.store.http.redaction import redact, secrets_in, secrets_of_proxy
from obsup.store.http.request_writer import head_of, send_request
from obsup.store.http.settings import ConnectionSettings, Response, limited
from obsup.store.http.tls_files import check_tls_files, describe_trust, tls_context
from obsup.units import KIB, MIB
from obsup.value import Value
from obsup.version import __version__

# To assemble thousands of parts takes the stores minutes, and not all of them send white space in the meantime. The
# response to such a request may take this many times the stall timeout.
LONG_TIMEOUT_FACTOR = 10
# The longest valid response is a page of 1,000 uploads whose keys have 1,024 bytes, each written as %XX.
MAX_RESPONSE_BYTES = 8 * MIB
# A server without TLS may wait for the rest of a request.
TLS_PROBE_TIMEOUT_S = 2.0
# Those of the last requests, if keys are renewed for weeks.
MAX_LASTING_SECRETS = 16
USER_AGENT = f"obsup/{__version__}"

Sign = Callable[[Mapping[str, str]], Mapping[str, str]]
"""Returns the headers that sign a request with the given headers."""


class RequestSigner(AuthBase):
    """Add the headers that *sign*, a pure function of the request's headers, returns."""

    def __init__(self, sign: Sign) -> None:
        self._sign = sign

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers = _merged(r.headers, self._sign(r.headers))  # type: ignore[assignment]
        return r


class _HostPool(Value):
    """urllib3's pool of connections to one host, or to the proxy; ``url`` is the address of that.

    ``is_forwarded``: the proxy receives the request itself, and not a tunnel to the store.
    """

    _hidden = ("url", "proxy_secrets")

    pool: Any
    url: str
    is_forwarded: bool = False
    proxy_secrets: tuple[str, ...] = ()

    @property
    def has_tunnel(self) -> bool:
        """Whether its connections are tunnels through a proxy."""
        return self.pool.proxy is not None and not self.is_forwarded


class Transport:
    """Sends requests on pooled connections. Safe to share between threads.

    Raises BadConfiguration if a certificate file cannot be used.
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        check_tls_files(settings, os.environ)
        self._settings = settings
        self._adapter: Any = HTTPAdapter(pool_connections=4, pool_maxsize=settings.connections)
        self._pools: dict[str, _HostPool] = {}
        self._may_need_tls = True
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
    ) -> Response:
        """Send one request, signed by *sign*, and return the complete response, whatever its status.

        *takes_long*: the store works for minutes before it responds. Raises NetworkError unless a
        complete response arrives. Errors that *body* raises are passed unchanged.
        """
        root = f"{address.scheme}://{address.host}"
        path = address.path + ("?" + encode_query(query) if query else "")
        size = len(body) if isinstance(body, bytes) else body.size
        request = _build_request(method, root + path, address.host, headers, size, sign)
        # A file-like body of length 0, and an empty body without a length, would be sent in chunks.
        request.body = body if size else None  # type: ignore[assignment]
        timeout_s = limited(self._settings.stall_timeout_s * (LONG_TIMEOUT_FACTOR if takes_long else 1))
        url, by_proxy = root, False
        try:
            host = self._pool_of(root)
            url = host.url
            by_proxy = host.is_forwarded
            target = root + path if by_proxy else path
            response = self._send(host, request, target, size, timeout_s=timeout_s)
        except (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError) as exc:
            # No local variable: its traceback would keep the connection open until the next garbage collection.
            raise self._network_error(exc, url, by_proxy=by_proxy).after(timeout_s) from exc
        self._may_need_tls = False
        secrets = secrets_in(request.headers, query)
        return redact(response, {*secrets, *self._with_lasting(secrets), *host.proxy_secrets})

    def _with_lasting(self, secrets: Mapping[str, bool]) -> tuple[str, ...]:
        """Return the lasting ones of *secrets*, and those of earlier requests."""
        known = self._lasting_secrets
        if new := [secret for secret, lasts in secrets.items() if lasts and secret not in known]:
            known = self._lasting_secrets = (*known, *new)[-MAX_LASTING_SECRETS:]
        return known

    def _send(
        self, host: _HostPool, request: requests.PreparedRequest, target: str, size: int, *, timeout_s: float
    ) -> Response:
        method, pool = str(request.method), host.pool
        headers = {**request.headers, **pool.proxy_headers} if host.is_forwarded else request.headers
        head = head_of(method, target, headers)
        connection = take_connection(pool)
        is_reusable = False
        try:
            connection.timeout = limited(self._settings.connect_timeout_s)
            if connection.sock is None:
                open_taken(pool, connection, through_tunnel=host.has_tunnel)
            response = send_request(
                connection, head, request.body, size, method=method, response_timeout_s=timeout_s
            )
            with closing(response):
                content = _read(response)
            is_reusable = not response.will_close and not connection.is_broken
        finally:
            return_connection(pool, connection, is_reusable=is_reusable)
        return Response(response.status, response.fields, content)

    def _network_error(self, exc: BaseException, url: str, *, by_proxy: bool) -> NetworkError:
        """Return the error for *exc*. A server that closes the first connection may expect TLS on it."""
        trust = partial(describe_trust, self._settings, os.environ)
        error = network_error(exc, url, by_proxy=by_proxy, trust=trust)
        is_closed = error.kind == "reset" and any(isinstance(one, ConnectionError) for one in causes_of(exc))
        if is_closed and self._may_need_tls and url.startswith("http:") and not by_proxy:
            from obsup.store.http.probe import uses_tls  # imported here because few runs need it

            self._may_need_tls = False
            if uses_tls(url, limited(min(self._settings.connect_timeout_s, TLS_PROBE_TIMEOUT_S))):
                return NetworkError("needs-tls", "the server closed the connection, and uses TLS", sent=False)
        return error

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """The context of all connections. Otherwise, urllib3 reads all trusted certificates for each connection."""
        return tls_context(self._settings, os.environ)

    def _pool_of(self, root: str) -> _HostPool:
        """Return the pool for *root*, created at the first request. Raises BadConfiguration."""
        host = self._pools.get(root)
        if host is None or host.pool.pool is None:
            host = self._pools[root] = self._open_pool(root, self.proxy_of(root))
        return host

    def _open_pool(self, root: str, proxy: str | None) -> _HostPool:
        address, proxy_scheme, manager = urlsplit(root), "", self._adapter.poolmanager
        if proxy is not None:
            check_proxy(proxy)
            proxy = proxy if "://" in proxy else f"http://{proxy}"
            proxy_scheme = urlsplit(proxy).scheme
            tls = {"proxy_ssl_context": self._tls} if proxy_scheme == "https" else {}
            manager = self._adapter.proxy_manager_for(proxy, **tls)
        manager.pool_classes_by_scheme = pool_classes(
            self._settings.stall_timeout_s,
            self._settings.response_limit_s,
            through_socks=proxy_scheme in SOCKS_SCHEMES,
        )
        options = {"ssl_context": self._tls} if "https" in (address.scheme, proxy_scheme) else {}
        pool = manager.connection_from_host(
            address.hostname, address.port, address.scheme, pool_kwargs=options
        )
        if pool.proxy is None:
            return _HostPool(pool, proxy or root)
        return _HostPool(pool, str(proxy), address.scheme == "http", secrets_of_proxy(str(pool.proxy)))

    def proxy_of(self, url: str) -> str | None:
        """Return the URL of the proxy for requests to *url*, None without one."""
        return find_proxy(url, self._settings)

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()


def _read(response: StoreResponse) -> bytes:
    """Return the body of *response*, not decompressed, because obsup does not request compression.

    Raises NetworkError if it is too long, IncompleteRead if it is shorter than announced.
    """
    body, length = bytearray(), response.length
    while len(body) != length and (block := response.read1(64 * KIB)):
        body += block
        if len(body) > MAX_RESPONSE_BYTES:
            raise NetworkError(
                "incomplete", f"the response has more than {MAX_RESPONSE_BYTES // MIB} MiB", sent=True
            )
    if length is not None and len(body) != length:
        raise IncompleteRead(bytes(body), length - len(body))
    return bytes(body)


def _merged(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of both: one of *second* replaces that of *first* with the same name in any case."""
    named = {name.lower(): (name, value) for name, value in (*first.items(), *second.items())}
    return dict(named.values())


def _build_request(
    method: str, url: str, host: str, headers: Mapping[str, str], size: int, sign: Sign | None
) -> requests.PreparedRequest:
    """Return a signed request without its body.

    ``Request.prepare()`` would change "a/../b" to "b" and "%7E" to "~", a different object, and would measure the file
    below a body instead of its window.
    """
    request = requests.PreparedRequest()
    request.method, request.url = method, url
    own = {"Host": host, "User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if size:
        own["Content-Length"] = str(size)
    request.headers = _merged(headers, own)  # type: ignore[assignment]
    if sign is not None:
        RequestSigner(sign)(request)
    if not size and method in ("PUT", "POST"):
        # After signing: the vendors' clients do not sign the length of an empty body.
        request.headers["Content-Length"] = "0"
    return request

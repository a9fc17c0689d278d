"""Open connections through a proxy. They alone need requests and urllib3, which take longer to load than all of obsup.

All private names of these libraries, and of http.client, are in this module; ``test_library_internals.py`` lists each
of them, and pyproject.toml has upper bounds for the libraries because of them.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Mapping
from functools import partial
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
)

from obsup.errors import NetworkError
from obsup.store.http.connection import naming_no_tls
from obsup.store.http.network_errors import network_error
from obsup.store.http.proxy import is_forwarded, is_socks
from obsup.store.http.settings import ConnectionSettings, limited
from obsup.store.http.sockets import ResponseStream, find_addresses, open_connection, send_all


class FailedThroughProxy(OSError):
    """requests, urllib3 or http.client failed; the cause says how."""


class _TunnelResponse(HTTPResponse):
    """The response of a proxy to CONNECT."""

    def __init__(self, sock: Any, *, limit_s: float, **options: Any) -> None:
        stream = ResponseStream(sock, timeout_s=sock.gettimeout(), limit_s=limit_s)
        super().__init__(stream, **options)  # type: ignore[arg-type]


class _Connection(HTTPConnection):
    """A connection that tries all addresses of the proxy."""

    longest_stall_s = 60.0
    has_tunnel = False

    def _new_conn(self) -> socket.socket:
        try:
            return open_connection(self._dns_host, self.port, self.timeout)  # type: ignore[arg-type]
        except socket.gaierror as exc:
            raise NameResolutionError(self.host, self, exc) from exc
        except TimeoutError as exc:
            raise ConnectTimeoutError(self, str(exc)) from exc
        except OSError as exc:
            raise NewConnectionError(self, str(exc)) from exc


class _SecureConnection(_Connection, HTTPSConnection):
    def send(self, data: Any) -> None:
        """Send the request for a tunnel."""
        stall_timeout_s = limited(self.longest_stall_s)
        send_all(self.sock, data, stall_timeout_s)
        # On TLS, sending leaves a socket that does not wait, and the response of the proxy follows at once.
        self.sock.settimeout(stall_timeout_s)

    def _tunnel(self) -> None:
        super()._tunnel()
        self.sock.settimeout(limited(self.longest_stall_s))
        self.has_tunnel = True

    def connect(self) -> None:
        with naming_no_tls():
            super().connect()


def _address_that_answers(host: str, port: int, timeout_s: float) -> str:
    """Return the address of *host*, or, if it has several, the first that accepts a connection. Raises OSError."""
    addresses = find_addresses(host, port, timeout_s)
    if len(addresses) == 1:
        return str(addresses[0][4][0])
    with open_connection(host, port, timeout_s) as connection:
        return str(connection.getpeername()[0])


def _address_for_socks(host: str, port: int, timeout_s: float, *, is_version_4: bool) -> str:
    """Return the address of the store at *host* that a SOCKS proxy is asked to connect to. Raises NetworkError."""
    try:
        addresses = find_addresses(host, port, timeout_s)
    except OSError as exc:
        error = network_error(exc, f"http://{host}:{port}")
        hint = f"a URL with {'socks4a' if is_version_4 else 'socks5h'}:// lets the proxy resolve it"
        raise NetworkError(error.kind, f"{error.detail}; {hint}", error.sent) from exc
    usable = (str(one[4][0]) for one in addresses if one[0] == socket.AF_INET or not is_version_4)
    if address := next(usable, None):
        return address
    raise NetworkError("resolve", f"the host {host} has no IPv4 address, which SOCKS 4 requires", sent=False)


def _socks_connection() -> type[HTTPConnection]:
    """Return the class of connections through a SOCKS proxy. Needs PySocks."""
    from socks import PROXY_TYPE_SOCKS4
    from urllib3.contrib.socks import SOCKSConnection

    class ThroughSocks(SOCKSConnection):
        def _new_conn(self) -> socket.socket:
            options, name, timeout_s = self._socks_options, self._dns_host, float(self.timeout)  # type: ignore[arg-type]
            host, port = str(options["proxy_host"]), int(options["proxy_port"] or 0)
            end_s = time.monotonic() + timeout_s
            try:
                # PySocks tries only the first address of each family, one after the other, each with the whole timeout.
                address = _address_that_answers(host, port, timeout_s)
                self._socks_options = {**options, "proxy_host": address}
                if not options["rdns"]:  # PySocks would wait for the name servers without a limit
                    is_version_4 = options["socks_version"] == PROXY_TYPE_SOCKS4
                    left_s = max(0, end_s - time.monotonic())
                    self._dns_host = _address_for_socks(name, self.port, left_s, is_version_4=is_version_4)
                connected = super()._new_conn()
            except (HTTPError, OSError) as exc:
                raise ProxyError("SOCKS", exc) from exc
            finally:
                self._socks_options, self._dns_host = options, name
            # From here on it is an ordinary socket, which the kernel can send files on.
            plain = socket.socket(fileno=connected.detach())
            plain.settimeout(timeout_s)
            return plain

    return ThroughSocks


def _pool_classes(settings: ConnectionSettings, *, through_socks: bool) -> dict[str, Any]:
    """Return the classes of connection pools by scheme."""
    first: tuple[Any, ...] = (_socks_connection(),) if through_socks else ()

    class Plain(*first, _Connection):  # type: ignore[misc]
        pass

    class Secure(*first, _SecureConnection):  # type: ignore[misc]
        longest_stall_s = settings.stall_timeout_s
        response_class = partial(_TunnelResponse, limit_s=settings.response_limit_s)  # type: ignore[assignment]

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class ThroughProxy:
    """The way to the store at *root*, a URL, through *proxy*.

    ``is_forwarded``: the proxy receives the request itself, with its own ``headers``, and not a tunnel to the store.
    """

    def __init__(
        self, root: str, proxy: str, *, tls: Callable[[], ssl.SSLContext], settings: ConnectionSettings
    ) -> None:
        self._root = urlsplit(root)
        self._proxy = proxy if "://" in proxy else f"http://{proxy}"
        self._tls = tls
        self._settings = settings
        self._adapter: Any = HTTPAdapter(pool_connections=1, pool_maxsize=1)
        self._pool: Any = None
        self.is_forwarded = is_forwarded(root, proxy)
        self.headers: Mapping[str, str] = (
            self._adapter.proxy_headers(self._proxy) if self.is_forwarded else {}
        )

    def open_socket(self) -> Any:
        """Return a socket whose other end is the store, or a proxy that forwards requests. Raises OSError."""
        if self._pool is None:
            self._pool = self._open_pool()
        connection = self._pool._new_conn()
        connection.timeout = limited(self._settings.connect_timeout_s)
        try:
            self._connect(connection)
            sock, connection.sock = connection.sock, None
        except (HTTPError, HTTPException) as exc:
            raise FailedThroughProxy from exc
        finally:
            connection.close()
        return sock

    def _open_pool(self) -> Any:
        root, has_tls = self._root, self._proxy.lower().startswith("https:")
        tls = {"proxy_ssl_context": self._tls()} if has_tls else {}
        manager = self._adapter.proxy_manager_for(self._proxy, **tls)
        manager.pool_classes_by_scheme = _pool_classes(self._settings, through_socks=is_socks(self._proxy))
        options = {"ssl_context": self._tls()} if has_tls or root.scheme == "https" else {}
        return manager.connection_from_host(root.hostname, root.port, root.scheme, pool_kwargs=options)

    def _connect(self, connection: Any) -> None:
        """Open *connection*. Raises ProxyError if a proxy prevents it, before it reaches the store."""
        has_proxy = self._pool.proxy is not None  # urllib3 takes that of SOCKS for a part of the connection
        try:
            if has_proxy and not self.is_forwarded:
                self._pool._prepare_proxy(connection)
            else:
                connection.connect()
        except (OSError, HTTPException, HTTPError) as exc:
            if not has_proxy or connection.has_tunnel:
                raise
            raise ProxyError("no connection", exc) from exc

"""The line: one HTTP exchange over requests. Nothing else in obsup speaks HTTP to a store.

What is sent is what was signed: the path goes out byte for byte, redirects are not followed here, no cookie,
no .netrc, no header of requests' own.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Protocol

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from obsup import __version__
from obsup.dialects.dialect import Address
from obsup.dialects.encoding import encode_query
from obsup.errors import LineError
from obsup.units import MIB

BLOCK = 1 * MIB
ANSWER_LIMIT = 16 * MIB
USER_AGENT = f"obsup/{__version__}"


class Body(Protocol):
    """What a request carries: *size* bytes that ``read`` hands out in blocks."""

    size: int

    def read(self, amount: int = ..., /) -> bytes | bytearray | memoryview: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How to reach the store. Timeouts are seconds; ``stall_timeout_s`` counts only while no byte moves."""

    connect_timeout_s: float = 15.0
    stall_timeout_s: float = 60.0
    ca_bundle: str | None = None
    verify_tls: bool = True
    proxy: str | None = None
    connections: int = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Auth(AuthBase):
    """Add what *sign* computes from the prepared request's own headers."""

    def __init__(self, sign: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        self._sign = sign

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers.update(self._sign(dict(r.headers)))
        return r


def _send_in_steps(sock: Any, data: Any, stall_timeout_s: float) -> None:
    """Send *data*; raise TimeoutError only when not one byte moves for *stall_timeout_s*.

    ``sendall`` would hold its timeout against the whole block, and cut a slow line that moves.
    """
    sock.settimeout(stall_timeout_s)
    with memoryview(data) as whole:
        view = whole.cast("B")
        while view:
            view = view[sock.send(view) :]


def _connection_classes(stall_timeout_s: float) -> dict[str, Any]:
    """Return urllib3's pool classes with connections that watch for stalls and know ``*.localhost``."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            if self._dns_host.endswith(".localhost"):  # RFC 6761: loopback, whatever the resolver thinks
                self._dns_host = "127.0.0.1"
            return super()._new_conn()

        def send(self, data: Any) -> None:
            if self.sock is None:
                self.connect()
            _send_in_steps(self.sock, data, stall_timeout_s)

    class Secure(HTTPSConnection):
        def send(self, data: Any) -> None:
            if self.sock is None:
                self.connect()
            _send_in_steps(self.sock, data, stall_timeout_s)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class _Adapter(HTTPAdapter):
    """requests' adapter with large blocks, our connections, and paths left alone."""

    def __init__(self, settings: LineSettings) -> None:
        self._pools = _connection_classes(settings.stall_timeout_s)
        super().__init__(pool_connections=4, pool_maxsize=settings.connections)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block=block, blocksize=BLOCK, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, blocksize=BLOCK, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        # requests would fold "//leading" into "/leading": a different object.
        folded = super().request_url(request, proxies)
        return request.path_url if folded.startswith("/") else folded


class Transport:
    """Sends requests to stores, keeping one pool of connections. Safe to share between threads."""

    def __init__(self, settings: LineSettings) -> None:
        self._settings = settings
        self._session = requests.Session()
        self._session.trust_env = settings.proxy is None
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = _Adapter(settings)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._environment: dict[str, dict[str, Any]] = {}

    def exchange(
        self,
        method: str,
        address: Address,
        query: tuple[tuple[str, str | None], ...],
        *,
        headers: Mapping[str, str],
        body: Body | bytes,
        sign: Callable[[Mapping[str, str]], Mapping[str, str]] | None,
        answer_timeout_s: float,
    ) -> Answer:
        """Send one request, signed now, and return the whole answer whatever its status.

        Raises LineError when there is no answer or only half of one. Errors that *body* raises while it is
        read pass through unchanged.
        """
        root = f"{address.scheme}://{address.host}"
        prepared = requests.Request(method, root + "/", headers=dict(headers)).prepare()
        # prepare() would fold "a/../b" into "b" and "%7E" into "~": a different object.
        prepared.url = root + address.path + ("?" + encode_query(query) if query else "")
        prepared.headers["User-Agent"] = USER_AGENT
        prepared.headers["Accept-Encoding"] = "identity"
        size = len(body) if isinstance(body, bytes) else body.size
        if size or method in ("PUT", "POST"):
            prepared.headers["Content-Length"] = str(size)
        # A file-like body of length 0, and an empty body without a length, would go out chunked.
        prepared.body = body if size else None  # type: ignore[assignment]
        if sign is not None:
            prepared.prepare_auth(_Auth(sign))
        return self._send(prepared, root, answer_timeout_s)

    def _send(self, prepared: requests.PreparedRequest, root: str, answer_timeout_s: float) -> Answer:
        try:
            response = self._session.send(
                prepared,
                stream=True,
                allow_redirects=False,
                timeout=(self._settings.connect_timeout_s, answer_timeout_s),
                **self._settings_for(root),
            )
            with response:
                body = self._read(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
            raise _line_error(exc) from exc
        return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body)

    def _read(self, response: requests.Response) -> bytes:
        body: bytes = response.raw.read(ANSWER_LIMIT + 1, decode_content=True)
        if len(body) > ANSWER_LIMIT:
            raise LineError("incomplete", f"an answer of more than {ANSWER_LIMIT // MIB} MiB", sent=True)
        response.raw.drain_conn()
        return body

    def _settings_for(self, root: str) -> dict[str, Any]:
        """Return requests' proxies, verify and cert for *root*: ours, then the environment's."""
        if root not in self._environment:
            proxy = self._settings.proxy
            given = {"http": proxy, "https": proxy} if proxy else {}
            verify = (self._settings.ca_bundle or True) if self._settings.verify_tls else False
            self._environment[root] = dict(
                self._session.merge_environment_settings(root, given, None, verify, None)
            )
            self._environment[root].pop("stream")
        return self._environment[root]

    def close(self) -> None:
        """Close every connection."""
        self._session.close()


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


# First match wins; the innermost truth stands before the wrapper that hides it.
_KINDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str, bool], ...] = (
    (ssl.SSLCertVerificationError, "certificate", False),
    (urllib3.exceptions.ProxyError, "proxy", False),
    (urllib3.exceptions.NameResolutionError, "resolve", False),
    (ConnectionRefusedError, "refused", False),
    (urllib3.exceptions.ConnectTimeoutError, "connect", False),
    (urllib3.exceptions.NewConnectionError, "connect", False),
    (ssl.SSLError, "tls", True),
    (urllib3.exceptions.ReadTimeoutError, "stall", True),
    (TimeoutError, "stall", True),
    (urllib3.exceptions.IncompleteRead, "incomplete", True),
    (urllib3.exceptions.ProtocolError, "reset", True),
    (OSError, "reset", True),
)

_SENTENCES = {
    "certificate": "the server's TLS certificate was not accepted",
    "proxy": "the proxy did not answer",
    "resolve": "the host name could not be resolved",
    "refused": "nobody listens there (connection refused)",
    "connect": "no connection could be made",
    "tls": "the TLS connection broke",
    "stall": "the line stood still",
    "incomplete": "the answer broke off",
    "reset": "the connection was closed",
}


def _line_error(exc: BaseException) -> LineError:
    if isinstance(exc, LineError):
        return exc
    causes = _causes(exc)
    for types, kind, sent in _KINDS:
        found = next((one for one in causes if isinstance(one, types)), None)
        if found is not None:
            return LineError(kind, _detail(kind, found), sent)
    return LineError("reset", f"{type(exc).__name__}", sent=True)


def _detail(kind: str, exc: BaseException) -> str:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"{_SENTENCES[kind]}: {exc.verify_message}"
    if isinstance(exc, OSError) and exc.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNRESET):
        return f"{_SENTENCES[kind]} ({os.strerror(exc.errno).lower()})"
    return _SENTENCES[kind]

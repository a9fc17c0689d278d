"""The line: one HTTP exchange over requests. Nothing else in obsup speaks HTTP to a store.

What is sent is what was signed: the path goes out byte for byte, redirects are not followed here, no cookie,
no .netrc, no header of requests' own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from http.client import HTTPException, IncompleteRead
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from msgspec.structs import replace
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict

from obsup.dialects.dialect import Address
from obsup.dialects.encoding import encode_query
from obsup.dialects.endpoints import is_loopback
from obsup.errors import NetworkError
from obsup.store.http.body import Body
from obsup.store.http.connections import pool_classes
from obsup.store.http.network_errors import network_error
from obsup.store.http.redaction import secrets_in
from obsup.store.http.request_writer import BLOCK, exchange_directly, head_of
from obsup.store.http.settings import ConnectionSettings, Response
from obsup.units import KIB, MIB
from obsup.value import Value
from obsup.version import __version__

# Assembling thousands of parts takes the stores minutes, in which not all of them send white space now and then:
# the answer to such work may be so many times as long in coming as any other.
LONG_TIMEOUT_FACTOR = 10
# The longest honest answer is a page of 1,000 uploads with keys of 1,024 bytes, each byte written %XX.
ANSWER_LIMIT = 8 * MIB
USER_AGENT = f"obsup/{__version__}"


class _Auth(AuthBase):
    """Add what *sign* computes from the request's own headers."""

    def __init__(self, sign: Callable[[Mapping[str, str]], Mapping[str, str]]) -> None:
        self._sign = sign

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers.update(self._sign(dict(r.headers)))
        return r


class _Line(Value):
    """The way to one host: urllib3's connections, and whether no proxy stands between."""

    pool: Any
    is_direct: bool


class _Adapter(HTTPAdapter):
    """requests' adapter with large blocks, our connections, and paths left alone."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self._pools = pool_classes(settings.stall_timeout_s)
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
        return request.path_url if folded.startswith("/") else str(request.url)


class Transport:
    """Sends requests to stores, keeping one pool of connections. Safe to share between threads."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self._settings = settings
        self._session = requests.Session()
        self._session.trust_env = settings.proxy is None
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = _Adapter(settings)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._environment: dict[str, dict[str, Any]] = {}
        self._lines: dict[str, _Line] = {}
        if not settings.verify_tls:
            # Said once, in our own words, by who turned it off; not on every request.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def exchange(
        self,
        method: str,
        address: Address,
        query: tuple[tuple[str, str | None], ...],
        *,
        headers: Mapping[str, str],
        body: Body | bytes,
        sign: Callable[[Mapping[str, str]], Mapping[str, str]] | None,
        takes_long: bool = False,
    ) -> Response:
        """Send one request, signed now, and return the whole answer whatever its status.

        *takes_long*: the store works before it answers. Raises NetworkError when there is no answer or only half of
        one. Errors that *body* raises while it is read pass through unchanged.
        """
        root = f"{address.scheme}://{address.host}"
        size = len(body) if isinstance(body, bytes) else body.size
        path = address.path + ("?" + encode_query(query) if query else "")
        # Not prepare(): it would fold "a/../b" into "b" and "%7E" into "~": a different object.
        request = requests.PreparedRequest()
        request.method, request.url = method, root + path
        request.headers = CaseInsensitiveDict(
            {**headers, "Host": address.host, "User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        )
        if size:
            request.headers["Content-Length"] = str(size)
        # A file-like body of length 0, and an empty body without a length, would go out chunked.
        request.body = body if size else None  # type: ignore[assignment]
        if sign is not None:
            # Not prepare_auth(): it would measure the body anew, by its file and not by its window.
            _Auth(sign)(request)
        if not size and method in ("PUT", "POST"):
            # After signing: the vendors' clients sign the length of a body, where they do, and not that there is none.
            request.headers["Content-Length"] = "0"
        answer_timeout_s = self._settings.stall_timeout_s * (LONG_TIMEOUT_FACTOR if takes_long else 1)
        try:
            line = self._line_to(root)
            if line.is_direct:
                head = head_of(method, path, request.headers)
                answer = self._notices(
                    line.pool, head, body, size, method=method, answer_timeout_s=answer_timeout_s
                )
            else:
                answer = self._send(request, root, answer_timeout_s)
        except (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError) as exc:
            raise network_error(exc) from exc
        if answer.status < 300 and not answer.body:
            return answer
        # A refusal, or a document, which may be one too.
        return replace(answer, secrets=secrets_in(request.headers, query))

    def _notices(
        self, pool: Any, head: bytes, body: Body | bytes, size: int, *, method: str, answer_timeout_s: float
    ) -> Response:
        """Exchange a request and its answer on a connection of *pool*."""
        connection = pool._get_conn()
        is_fit = False
        try:
            connection.timeout = self._settings.connect_timeout_s
            heard = exchange_directly(
                connection, head, body, size, method=method, answer_timeout_s=answer_timeout_s
            )
            with closing(heard):
                content = self._read(heard.read1, heard.length)
            is_fit = not heard.will_close and not connection.is_cut
        finally:
            if not is_fit:
                connection.close()
            pool._put_conn(connection)
        return Response(heard.status, heard.fields, content)

    def _send(self, request: requests.PreparedRequest, root: str, answer_timeout_s: float) -> Response:
        """Exchange a request and its answer by way of requests and urllib3, which know how to speak to proxies."""
        response = self._session.send(
            request,
            stream=True,
            allow_redirects=False,
            timeout=(self._settings.connect_timeout_s, answer_timeout_s),
            **self._settings_for(root),
        )
        with response:
            content = self._read(lambda size: response.raw.read1(size, decode_content=False), None)
        return Response(response.status_code, {k.lower(): v for k, v in response.headers.items()}, content)

    def _read(self, read: Callable[[int], bytes], length: int | None) -> bytes:
        """Return the answer's body as it came: packed ones were not asked for. Bounded in size and in time.

        Raises NetworkError, and IncompleteRead where *length* tells of more bytes.
        """
        body = bytearray()
        deadline = time.monotonic() + self._settings.answer_limit_s
        while len(body) != length and (block := read(64 * KIB)):
            body += block
            if len(body) > ANSWER_LIMIT:
                raise NetworkError(
                    "incomplete", f"an answer of more than {ANSWER_LIMIT // MIB} MiB", sent=True
                )
            if time.monotonic() > deadline:
                raise NetworkError("stall", "the answer came in drops and never ended", sent=True)
        if length is not None and len(body) != length:
            raise IncompleteRead(bytes(body), length - len(body))
        return bytes(body)

    def _line_to(self, root: str) -> _Line:
        """Return the way to *root*, found once. Raises RequestException."""
        line = self._lines.get(root)
        if line is None or line.pool.pool is None:
            found = self._settings_for(root)
            request = requests.Request("GET", root + "/").prepare()
            adapter: Any = self._session.get_adapter(root)
            pool = adapter.get_connection_with_tls_context(
                request, found["verify"], proxies=found["proxies"], cert=found["cert"]
            )
            adapter.cert_verify(pool, request.url, found["verify"], found["cert"])
            line = self._lines[root] = _Line(pool, is_direct=pool.proxy is None)
        return line

    def _settings_for(self, root: str) -> dict[str, Any]:
        """Return requests' proxies, verify and cert for *root*: ours, then the environment's."""
        if root not in self._environment:
            settings, host = self._settings, urlsplit(root).hostname or ""
            given = {"http": settings.proxy, "https": settings.proxy} if settings.proxy else {}
            if not given and is_loopback(host):
                # A proxy of the environment reaches its own loopback, not ours.
                given = {"no_proxy": host}
            verify = (settings.ca_bundle or True) if settings.verify_tls else False
            found = dict(self._session.merge_environment_settings(root, given, None, verify, None))
            found.pop("stream")
            self._environment[root] = found
        return self._environment[root]

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

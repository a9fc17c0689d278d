"""Connections to stores: urllib3's, which here hear an answer that comes early, and watch for stalls."""

from __future__ import annotations

import io
import socket
import ssl
import time
from email.errors import FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect
from functools import partial
from http.client import HTTPResponse, IncompleteRead
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from obsup.store.http.sockets import LISTEN_EVERY_S, Incoming, listen, send_in_steps, send_what_fits

# No path of a request begins so: in a key the colon is encoded.
_MASK = "/absolute:"
_TORN = (MissingHeaderBodySeparatorDefect, FirstHeaderLineIsContinuationDefect)


class _Lines:
    """A stream of which the last line read is remembered."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.last = b""

    def readline(self, *limit: int) -> bytes:
        self.last = self._stream.readline(*limit)
        return self.last

    def close(self) -> None:
        self._stream.close()


class WholeAnswer(HTTPResponse):
    """An answer whose head is whole. http.client takes one that breaks off for a short one, without its ETag."""

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = io.BufferedReader(Incoming(sock))

    def begin(self) -> None:
        stream = self.fp
        lines = _Lines(stream)
        self.fp = lines  # type: ignore[assignment]
        try:
            super().begin()
        finally:
            if self.fp is not None:
                self.fp = stream
        torn = [defect for defect in self.headers.defects if isinstance(defect, _TORN)]
        if torn or lines.last not in (b"\r\n", b"\n"):
            raise IncompleteRead(b"")


class _Connection(HTTPConnection):
    """A connection that reads ``*.localhost`` as loopback, and that stops sending where nobody listens any more."""

    response_class = WholeAnswer
    stall_timeout_s = 60.0
    is_cut = False  # a request was left unfinished: the connection must not carry another
    _listens_from_s = 0.0

    def _new_conn(self) -> socket.socket:
        self.is_cut = False
        name = self._dns_host
        if name.endswith(".localhost"):  # RFC 6761: loopback, whatever the resolver thinks
            self._dns_host = "127.0.0.1"
        try:
            return super()._new_conn()
        finally:
            self._dns_host = name

    def putrequest(self, method: str, url: str, *args: Any, **options: Any) -> None:
        super().putrequest(method, url.removeprefix(_MASK), *args, **options)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        try:
            self._listen_now_and_then()
            send_in_steps(self.sock, data, self.stall_timeout_s)
        except OSError:
            self.is_cut = True
            raise

    def send_unseen(self, body: Any) -> None:
        """Have the kernel send what it can of *body*, from its file: all of it, or nothing under TLS."""
        if type(self.sock) is not socket.socket:
            return
        try:
            while body.can_sendfile and body.sent < body.size:
                self._listen_now_and_then()
                send_what_fits(self.sock, partial(body.send_to, self.sock.fileno()), self.stall_timeout_s)
        except OSError:
            self.is_cut = True
            raise

    def _listen_now_and_then(self) -> None:
        """Raise AnsweredEarly where the store speaks although there is room: else the wait for room hears it."""
        now_s = time.monotonic()
        if now_s >= self._listens_from_s:
            self._listens_from_s = now_s + LISTEN_EVERY_S
            listen(self.sock)


class NoTLS(ssl.SSLError):
    """The very first bytes that came were none of TLS: something else is spoken there."""


class _SecureConnection(_Connection, HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except ssl.SSLError as exc:
            if exc.reason == "WRONG_VERSION_NUMBER":
                raise NoTLS(*exc.args) from exc
            raise


class _Pool(HTTPConnectionPool):
    def urlopen(self, method: str, url: str, **options: Any) -> Any:  # type: ignore[override]
        if not url.startswith("/"):
            # An absolute target, as a proxy wants it. urllib3 would fold "a/../b" in it into "b": a different
            # object. Masked as a path it is passed on as it is, but then the proxy's headers are ours to add.
            options["headers"] = {**options["headers"], **self.proxy_headers}
            url = _MASK + url
        return super().urlopen(method, url, **options)

    def _put_conn(self, conn: Any) -> None:
        if conn is not None and conn.is_cut:
            conn.close()
        super()._put_conn(conn)


def pool_classes(stall_timeout_s: float) -> dict[str, Any]:
    """Return the classes of connection pools by scheme. *stall_timeout_s* is seconds in which no byte moves."""

    class Plain(_Connection):
        pass

    class Secure(_SecureConnection):
        pass

    Plain.stall_timeout_s = Secure.stall_timeout_s = stall_timeout_s

    class PlainPool(_Pool):
        ConnectionCls = Plain

    class SecurePool(_Pool, HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}

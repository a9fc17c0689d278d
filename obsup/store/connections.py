"""Connections to stores: urllib3's, which here hear an answer that comes early, and watch for stalls."""

from __future__ import annotations

import array
import errno
import fcntl
import io
import os
import socket
import ssl
import termios
from collections.abc import Callable, MutableMapping
from email.errors import FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect
from functools import partial
from http.client import HTTPResponse, IncompleteRead
from typing import Any
from weakref import WeakKeyDictionary

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.wait import wait_for_read, wait_for_socket

# How often within a stall timeout it is looked whether bytes move.
LOOKS = 8
# No path of a request begins so: in a key the colon is encoded.
_MASK = "/absolute:"
_TORN = (MissingHeaderBodySeparatorDefect, FirstHeaderLineIsContinuationDefect)
_INFORMATIONAL = (b"HTTP/1.1 1", b"HTTP/1.0 1")


class AnsweredEarly(BrokenPipeError):
    """The store said its word, or hung up, before it had the whole body. urllib3 then goes on to read the answer."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "the store answered before it had the whole body")


# What a secure connection said while a request was being sent: TLS gives it out once.
_heard: MutableMapping[Any, bytes] = WeakKeyDictionary()


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


class _Incoming(io.RawIOBase):
    """What comes from *sock*. No answer can come while the request still moves out of this machine's buffers."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._timeout_s = sock.gettimeout()
        self._held = sock.makefile("rb", buffering=0)  # keeps the socket open until the answer is read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if word := _heard.pop(self._sock, b""):
            count = min(len(word), len(buffer))
            buffer[:count] = word[:count]
            if word[count:]:
                _heard[self._sock] = word[count:]
            return count

        def receive(wait_s: float) -> int:
            _set_timeout(self._sock, wait_s)
            return int(self._sock.recv_into(buffer))

        return _unless_still(self._sock, self._timeout_s, receive)

    def close(self) -> None:
        self._held.close()
        super().close()


class WholeAnswer(HTTPResponse):
    """An answer whose head is whole. http.client takes one that breaks off for a short one, without its ETag."""

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_Incoming(sock))

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
            _send_in_steps(self.sock, data, self.stall_timeout_s)
        except OSError:
            self.is_cut = True
            raise

    def send_unseen(self, body: Any) -> None:
        """Have the kernel send what it can of *body*, from its file: all of it, or nothing under TLS."""
        if type(self.sock) is not socket.socket:
            return
        try:
            while body.is_unseen and body.sent < body.size:
                send = partial(_send_plain, self.sock, partial(body.send_to, self.sock.fileno()))
                _step(self.sock, self.stall_timeout_s, send)
        except OSError:
            self.is_cut = True
            raise


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


def _send_in_steps(sock: Any, data: Any, stall_timeout_s: float) -> None:
    """Send *data*. Raises AnsweredEarly, and TimeoutError where no byte moves for *stall_timeout_s*.

    ``sendall`` would hold its timeout against the whole block, and cut a slow line that moves. So would the wait for
    room: a socket has none to give until a third of its buffer is free, which on a slow line takes minutes.
    """
    if type(sock) is ssl.SSLSocket:
        _listen_secure(sock)
    with memoryview(data) as whole:
        view = whole.cast("B")
        while view:
            if type(sock) is socket.socket:
                # Not sock.send(): it asks for room before each call, and each time lets go of the interpreter.
                send = partial(_send_plain, sock, partial(os.write, sock.fileno(), view))
            else:
                send = partial(_send_secure if type(sock) is ssl.SSLSocket else _send_wrapped, sock, view)
            view = view[_step(sock, stall_timeout_s, send) :]


def _step(sock: Any, stall_timeout_s: float, send: Callable[[float], int]) -> int:
    """Return how many bytes *send* sent. Raises as _send_in_steps does."""
    try:
        return _unless_still(sock, stall_timeout_s, send)
    except TimeoutError as exc:
        if wait_for_read(sock, timeout=0):
            raise AnsweredEarly from exc
        raise
    except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError) as exc:
        # What the store said before it hung up is still to be read.
        raise AnsweredEarly from exc


def _send_plain(sock: socket.socket, send: Callable[[], int], wait_s: float) -> int:
    """Send what there is room for. Where there is none, wait for it and send nothing yet."""
    _listen(sock)
    try:
        return send()
    except BlockingIOError:
        if not wait_for_socket(sock, read=True, write=True, timeout=wait_s):
            raise TimeoutError from None
        return 0


def _send_secure(sock: ssl.SSLSocket, view: memoryview, wait_s: float) -> int:
    """Send one record, or what was left of it; wait only where there is no room."""
    _set_timeout(sock, 0)
    try:
        return sock.send(view)
    except (ssl.SSLWantWriteError, ssl.SSLWantReadError) as exc:
        is_full = isinstance(exc, ssl.SSLWantWriteError)
        if not wait_for_socket(sock, read=True, write=is_full, timeout=wait_s):
            raise TimeoutError from None
        _listen_secure(sock)
        return 0


def _send_wrapped(sock: Any, view: memoryview, wait_s: float) -> int:
    """Send on urllib3's TLS within TLS, as a proxy that is itself spoken to over TLS needs it."""
    _set_timeout(sock, wait_s)
    return int(sock.send(view))


def _set_timeout(sock: Any, timeout_s: float) -> None:
    if sock.gettimeout() != timeout_s:
        sock.settimeout(timeout_s)


def _unless_still(sock: Any, stall_timeout_s: float, act: Callable[[float], int]) -> int:
    """Return what *act* does, which is told how long to wait for it at a time.

    Raises TimeoutError once no byte has left this machine for *stall_timeout_s*, however long it takes in all.
    """
    left, looks = -1, LOOKS
    while True:
        try:
            return act(stall_timeout_s / LOOKS)
        except TimeoutError:
            left, before = _left_to_go(sock), left
            looks = looks - 1 if left == before else LOOKS - 1
            if not looks:
                raise


def _listen(sock: socket.socket) -> None:
    """Raise AnsweredEarly where the store speaks."""
    if not wait_for_read(sock, timeout=0):
        return
    try:
        word = sock.recv(16, socket.MSG_PEEK)
    except OSError as exc:
        raise AnsweredEarly from exc
    if not word.startswith(_INFORMATIONAL):
        raise AnsweredEarly


def _listen_secure(sock: ssl.SSLSocket) -> None:
    """Raise AnsweredEarly where the store speaks; what comes may as well be a session ticket, which is no word.

    What was heard is kept for the reader of the answer.
    """
    if not (sock.pending() or wait_for_read(sock, timeout=0)):
        return
    _set_timeout(sock, 0)
    try:
        word = sock.recv(16)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return
    except OSError as exc:
        raise AnsweredEarly from exc
    word = _heard.pop(sock, b"") + word
    if word:
        _heard[sock] = word
    if not word.startswith(_INFORMATIONAL):
        raise AnsweredEarly


def _left_to_go(sock: Any) -> int:
    """Return how many bytes this machine holds that the other end has not acknowledged; 0 where nobody tells."""
    count = array.array("i", [0])
    try:
        fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, count)
    except OSError:
        return 0
    return count[0]

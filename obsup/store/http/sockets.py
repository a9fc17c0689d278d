"""Open sockets, send as far as there is room, and notice a response that arrives before the request is complete.

A connection fails only if no byte moves, however slow it is.
"""

from __future__ import annotations

import errno
import io
import os
import selectors
import socket
import ssl
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from functools import partial
from itertools import zip_longest
from typing import Any
from weakref import WeakKeyDictionary

from obsup.errors import NetworkError
from obsup.local.platform.processes import call_within
from obsup.local.platform.sockets import send_now, unsent_bytes
from obsup.store.http.settings import limited
from obsup.units import MIB

# While the socket has room, how often to check for a response.
RESPONSE_CHECK_INTERVAL_S = 0.05
# How often to check for progress during a stall timeout.
CHECKS_PER_STALL_TIMEOUT = 8
# How long an address of a host may take to answer before the next one is tried, too. RFC 8305, section 5.
NEXT_ADDRESS_DELAY_S = 0.25
# Of one response with everything around it. Its body alone has a lower limit.
MAX_BYTES = 32 * MIB
# Windows has no poll(). Elsewhere, select() takes only the first 1,024 descriptors.
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)
_INFORMATIONAL = (b"HTTP/1.1 1", b"HTTP/1.0 1")


class EarlyResponse(BrokenPipeError):
    """The store responded or closed the connection before it had the whole body. The response can be read."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "the store responded before it had the whole body")


class NoAnswer(TimeoutError):
    """No address of the host answered in time."""


# Bytes that were read from a TLS connection while a request was being sent. TLS returns them only once.
_early_bytes: MutableMapping[Any, bytes] = WeakKeyDictionary()


class ResponseStream(io.RawIOBase):
    """The bytes that arrive on *sock*. The timeout starts when this computer has sent the whole request.

    *timeout_s* is seconds in which no byte moves. From its first byte on, the whole response, with interim ones before
    it and trailers after it, must arrive within *limit_s*, or within *timeout_s* if that is longer. Raises NetworkError
    if it does not, or is too long.
    """

    def __init__(self, sock: Any, *, timeout_s: float, limit_s: float) -> None:
        self._sock = sock
        self._limit_s = max(limited(limit_s), timeout_s)
        self._end_s: float | None = None
        self._bytes_left = MAX_BYTES
        self._timeout_s = timeout_s

    def readable(self) -> bool:
        return True

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return the stream with a buffer: http.client asks a socket for it."""
        return io.BufferedReader(self)

    def readinto(self, buffer: Any) -> int:
        if early := _early_bytes.pop(self._sock, b""):
            count = min(len(early), len(buffer))
            buffer[:count] = early[:count]
            if early[count:]:
                _early_bytes[self._sock] = early[count:]
            return count

        def receive(wait_s: float) -> int:
            set_timeout(self._sock, self._time_left_s(wait_s))
            return int(self._sock.recv_into(buffer))

        count = _run_until_stall(self._sock, self._timeout_s, receive)
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise NetworkError("incomplete", f"the response has more than {MAX_BYTES // MIB} MiB", sent=True)
        return count

    def _time_left_s(self, wait_s: float) -> float:
        """Return how long to wait for bytes, at most *wait_s*. Raises NetworkError after the end of the limit."""
        now_s = time.monotonic()
        if self._end_s is None:
            if self._bytes_left < MAX_BYTES:
                self._end_s = now_s + self._limit_s
            return wait_s
        if now_s >= self._end_s:
            raise NetworkError("slow", "the response arrived too slowly", sent=True)
        return min(wait_s, self._end_s - now_s)


def find_addresses(host: str, port: int, timeout_s: float) -> list[Any]:
    """Return what ``getaddrinfo`` does, the families of addresses in turn. Raises socket.gaierror.

    Names under localhost are loopback, whatever the resolver returns (RFC 6761).
    """
    name = "127.0.0.1" if host.endswith(".localhost") else host
    try:
        found = _resolve(name, port, timeout_s)
    except UnicodeError as exc:
        raise socket.gaierror(socket.EAI_NONAME, "the name is not valid") from exc
    except TimeoutError as exc:
        raise socket.gaierror(socket.EAI_AGAIN, "no name server answered in time") from exc
    first = [one for one in found if one[0] == found[0][0]]
    others = [one for one in found if one[0] != found[0][0]]
    return [one for pair in zip_longest(first, others) for one in pair if one is not None]


def _resolve(name: str, port: int, timeout_s: float) -> list[Any]:
    """Return the addresses of *name*. While the resolver waits for name servers, it handles no signal."""
    # For bytes, Python loads no tables of other alphabets.
    host = name.encode() if name.isascii() else name
    resolve = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    with suppress(socket.gaierror):
        return resolve(flags=socket.AI_NUMERICHOST)
    return call_within(timeout_s, resolve)


def open_connection(host: str, port: int, timeout_s: float) -> socket.socket:
    """Return a connection to *host*, whose resolver and addresses together have *timeout_s*. Raises OSError.

    An address that does not answer delays the next one only for a moment; the first connection is used.
    """
    end_s = time.monotonic() + timeout_s
    addresses = find_addresses(host, port, timeout_s)
    error = OSError(f"{host} has no address")
    next_s = time.monotonic()
    with selectors.DefaultSelector() as pending:
        try:
            while addresses or pending.get_map():
                now_s = time.monotonic()
                if now_s >= end_s:
                    raise NoAnswer("no address answered in time")
                try:
                    if addresses and now_s >= next_s:
                        next_s = now_s + NEXT_ADDRESS_DELAY_S
                        _start_to_connect(addresses.pop(0), pending)
                    wake_s = min(next_s, end_s) if addresses else end_s
                    for key, _ in pending.select(wake_s - now_s):
                        pending.unregister(key.fileobj)
                        return _require_connected(key.fileobj, timeout_s)
                except OSError as exc:
                    error, next_s = exc, now_s
        finally:
            for key in [*pending.get_map().values()]:
                key.fileobj.close()  # type: ignore[union-attr]
    raise error


def _start_to_connect(address: Any, pending: selectors.BaseSelector) -> None:
    """Start to connect to *address*, and register the socket in *pending*. Raises OSError."""
    family, kind, protocol, _, place = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(BlockingIOError):
            sock.connect(place)
        pending.register(sock, selectors.EVENT_WRITE)
    except BaseException:
        sock.close()
        raise


def _require_connected(sock: Any, timeout_s: float) -> socket.socket:
    """Return *sock* with its timeout. Raises OSError if it could not connect."""
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        sock.close()
        raise OSError(code, os.strerror(code))
    sock.settimeout(timeout_s)
    return sock  # type: ignore[no-any-return]


def send_all(sock: Any, data: Any, stall_timeout_s: float) -> None:
    """Send *data*. Raises EarlyResponse, and TimeoutError if no byte moves for *stall_timeout_s*.

    ``sendall`` applies its timeout to the whole block, so it would fail on a slow connection that makes progress. A
    plain wait for room would, too: a socket has none until a third of its buffer is free, which may take minutes.
    """
    with memoryview(data) as whole:
        view = whole.cast("B")
        while view:
            if type(sock) is socket.socket:
                sent = send_available(sock, partial(send_now, sock, view), stall_timeout_s)
            elif isinstance(sock, ssl.SSLSocket):
                sent = _send_step(sock, stall_timeout_s, partial(_send_secure, sock, view, True))
            else:
                sent = _send_wrapped(sock, view, stall_timeout_s)
            view = view[sent:]


def send_available(sock: socket.socket, send: Callable[[], int], stall_timeout_s: float) -> int:
    """Return how many bytes *send*, which does not wait, has sent; 0 if it first had to wait for room.

    Raises as ``send_all``.
    """
    try:
        return send()
    except (BlockingIOError, ConnectionError):
        return _send_step(sock, stall_timeout_s, partial(_send_plain, sock, send))


def check_for_response(sock: Any) -> None:
    """Raise EarlyResponse if the store has started to respond."""
    if type(sock) is socket.socket:
        _check_plain(sock)
    elif isinstance(sock, ssl.SSLSocket):
        _check_secure(sock)


def _send_step(sock: Any, stall_timeout_s: float, send: Callable[[float], int]) -> int:
    """Return how many bytes *send* has sent. Raises as ``send_all``."""
    try:
        return _run_until_stall(sock, stall_timeout_s, send)
    except TimeoutError as exc:
        if is_ready(sock, read=True, timeout_s=0):
            raise EarlyResponse from exc
        raise
    except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError) as exc:
        # The response that the store sent before it closed the connection can still be read.
        raise EarlyResponse from exc


def _send_plain(sock: socket.socket, send: Callable[[], int], wait_s: float) -> int:
    """Send what there is room for. Without room, wait for it and send nothing yet."""
    try:
        return send()
    except BlockingIOError:
        if not is_ready(sock, read=True, write=True, timeout_s=wait_s):
            raise TimeoutError from None
        check_for_response(sock)
        return 0


def _send_secure(sock: ssl.SSLSocket, view: memoryview, sees_response: bool, wait_s: float) -> int:
    """Send what there is room for, record by record. Without room, wait for it and send nothing yet.

    Raises EarlyResponse if the store responds and *sees_response*: what arrives is the response itself.
    """
    set_timeout(sock, 0)
    sent = 0
    try:
        while sent < len(view):
            sent += sock.send(view[sent:])
    except (ssl.SSLWantWriteError, ssl.SSLWantReadError) as exc:
        is_full = isinstance(exc, ssl.SSLWantWriteError)
        wait_for_bytes = sees_response or not is_full
        if not sent and not is_ready(sock, read=wait_for_bytes, write=is_full, timeout_s=wait_s):
            raise TimeoutError from None
        if sees_response:
            _check_secure(sock)
    return sent


def _send_wrapped(sock: Any, view: memoryview, stall_timeout_s: float) -> int:
    """Send on urllib3's TLS within TLS, for a proxy that is itself reached over TLS.

    Its own send() loses a record that a slow connection takes only a part of, and the store then rejects the next one.
    """
    sent = int(sock.sslobj.write(view))
    records = memoryview(sock.outgoing.read())
    while records:
        # What arrives is encrypted again, session tickets for example; a response is noticed when nothing is taken.
        send = partial(_send_secure, sock.socket, records, False)
        records = records[_send_step(sock.socket, stall_timeout_s, send) :]
    return sent


def is_ready(sock: Any, *, read: bool = False, write: bool = False, timeout_s: float) -> bool:
    """Return whether *sock* can be read, or written, within *timeout_s*."""
    events = selectors.EVENT_READ * read | selectors.EVENT_WRITE * write
    with _Selector() as selector:
        selector.register(sock, events)
        return bool(selector.select(timeout_s))


def set_timeout(sock: Any, timeout_s: float) -> None:
    """Set the timeout of *sock*, with a system call only if it has another one."""
    if sock.gettimeout() != timeout_s:
        sock.settimeout(timeout_s)


def _run_until_stall(sock: Any, stall_timeout_s: float, operation: Callable[[float], int]) -> int:
    """Return what *operation* returns; its argument is how long it may wait at a time.

    Raises TimeoutError as soon as no byte has left this computer for *stall_timeout_s*, whatever the total time.
    """
    unsent, checks = -1, CHECKS_PER_STALL_TIMEOUT
    while True:
        try:
            return operation(stall_timeout_s / CHECKS_PER_STALL_TIMEOUT)
        except TimeoutError:
            unsent, before = unsent_bytes(sock), unsent
            checks = checks - 1 if unsent == before else CHECKS_PER_STALL_TIMEOUT - 1
            if not checks:
                raise


def _check_plain(sock: socket.socket) -> None:
    if not is_ready(sock, read=True, timeout_s=0):
        return
    try:
        start = sock.recv(16, socket.MSG_PEEK)
    except OSError as exc:
        raise EarlyResponse from exc
    if not start.startswith(_INFORMATIONAL):
        raise EarlyResponse


def _check_secure(sock: ssl.SSLSocket) -> None:
    """Raise EarlyResponse if the store responds. A session ticket is not a response.

    The bytes are kept for the reader of the response.
    """
    if not (sock.pending() or is_ready(sock, read=True, timeout_s=0)):
        return
    set_timeout(sock, 0)
    try:
        start = sock.recv(16)
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return
    except OSError as exc:
        raise EarlyResponse from exc
    start = _early_bytes.pop(sock, b"") + start
    if start:
        _early_bytes[sock] = start
    if not start.startswith(_INFORMATIONAL):
        raise EarlyResponse

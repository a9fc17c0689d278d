"""Sockets to stores: bytes go out as there is room for them, with an ear for an answer that comes early.

What stands still is cut, and what moves never, however slowly.
"""

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
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from urllib3.util.wait import wait_for_read, wait_for_socket

# While there is room for what is sent, it is looked so often whether the store speaks, in seconds.
LISTEN_EVERY_S = 0.05
# How often within a stall timeout it is looked whether bytes move.
MAX_CHECKS = 8
_INFORMATIONAL = (b"HTTP/1.1 1", b"HTTP/1.0 1")


class AnsweredEarly(BrokenPipeError):
    """The store said its word, or hung up, before it had the whole body. urllib3 then goes on to read the answer."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "the store answered before it had the whole body")


# What a secure connection said while a request was being sent: TLS gives it out once.
_received: MutableMapping[Any, bytes] = WeakKeyDictionary()


class Incoming(io.RawIOBase):
    """What comes from *sock*. No answer can come while the request still moves out of this machine's buffers."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._timeout_s = sock.gettimeout()
        self._held = sock.makefile("rb", buffering=0)  # keeps the socket open until the answer is read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if word := _received.pop(self._sock, b""):
            count = min(len(word), len(buffer))
            buffer[:count] = word[:count]
            if word[count:]:
                _received[self._sock] = word[count:]
            return count

        def receive(wait_s: float) -> int:
            _set_timeout(self._sock, wait_s)
            return int(self._sock.recv_into(buffer))

        return _unless_still(self._sock, self._timeout_s, receive)

    def close(self) -> None:
        self._held.close()
        super().close()


def send_in_steps(sock: Any, data: Any, stall_timeout_s: float) -> None:
    """Send *data*. Raises AnsweredEarly, and TimeoutError where no byte moves for *stall_timeout_s*.

    ``sendall`` would hold its timeout against the whole block, and cut a slow line that moves. So would the wait for
    room: a socket has none to give until a third of its buffer is free, which on a slow line takes minutes.
    """
    with memoryview(data) as whole:
        view = whole.cast("B")
        while view:
            if type(sock) is socket.socket:
                # Not sock.send(): it asks for room before each call, and each time lets go of the interpreter.
                sent = send_what_fits(sock, partial(os.write, sock.fileno(), view), stall_timeout_s)
            else:
                send = _send_secure if type(sock) is ssl.SSLSocket else _send_wrapped
                sent = _step(sock, stall_timeout_s, partial(send, sock, view))
            view = view[sent:]


def send_what_fits(sock: socket.socket, send: Callable[[], int], stall_timeout_s: float) -> int:
    """Return how many bytes *send* sent, which does not wait for room: none where there was none, but now is.

    Raises as ``send_in_steps`` does.
    """
    try:
        return send()  # there is room for most, and nothing more around it
    except (BlockingIOError, ConnectionError):
        return _step(sock, stall_timeout_s, partial(_send_plain, sock, send))


def _step(sock: Any, stall_timeout_s: float, send: Callable[[float], int]) -> int:
    """Return how many bytes *send* sent. Raises as send_in_steps does."""
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
    try:
        return send()
    except BlockingIOError:
        if not wait_for_socket(sock, read=True, write=True, timeout=wait_s):
            raise TimeoutError from None
        listen(sock)
        return 0


def _send_secure(sock: ssl.SSLSocket, view: memoryview, wait_s: float) -> int:
    """Send record by record what there is room for. Where there is none, wait for it and send nothing yet."""
    _set_timeout(sock, 0)
    sent = 0
    try:
        while sent < len(view):
            sent += sock.send(view[sent:])
    except (ssl.SSLWantWriteError, ssl.SSLWantReadError) as exc:
        is_full = isinstance(exc, ssl.SSLWantWriteError)
        if not sent and not wait_for_socket(sock, read=True, write=is_full, timeout=wait_s):
            raise TimeoutError from None
        _listen_secure(sock)
    return sent


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
    left, looks = -1, MAX_CHECKS
    while True:
        try:
            return act(stall_timeout_s / MAX_CHECKS)
        except TimeoutError:
            left, before = _left_to_go(sock), left
            looks = looks - 1 if left == before else MAX_CHECKS - 1
            if not looks:
                raise


def listen(sock: Any) -> None:
    """Raise AnsweredEarly where the store speaks."""
    if type(sock) is socket.socket:
        _listen_plain(sock)
    elif type(sock) is ssl.SSLSocket:
        _listen_secure(sock)


def _listen_plain(sock: socket.socket) -> None:
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
    word = _received.pop(sock, b"") + word
    if word:
        _received[sock] = word
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

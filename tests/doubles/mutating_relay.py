"""A relay between a client and the sandbox that lets a function change responses before they are sent."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import IO

from tests.doubles.listener import Relay

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """A response of the store: the header lines as they are sent, the body without its framing."""

    operation: str
    method: str
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class Wire:
    """What is sent for a response: *data*, and then the connection stays open, is closed, or stalls."""

    data: bytes
    then: str = "open"  # or "close", "reset", "stall"


def framed(answer: Answer) -> bytes:
    """Return *answer* as HTTP/1.1, with the length of its body."""
    headers = [(name, value) for name, value in answer.headers if name.lower() != "content-length"]
    # The response to HEAD has the length that the body of GET would have.
    lengths = [value for name, value in answer.headers if name.lower() == "content-length"]
    length = (lengths or ["0"])[0] if answer.method == "HEAD" else str(len(answer.body))
    if answer.status >= 200 and answer.status not in (204, 304):
        headers.append(("Content-Length", length))
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}", *(f"{name}: {value}" for name, value in headers)]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
    return head if answer.method == "HEAD" else head + answer.body


def with_other_headers(
    answer: Answer, *, drop: Collection[str] = (), add: Mapping[str, str] | None = None
) -> Wire:
    """Return *answer* without the headers *drop*, which are lower-case, and with the headers *add*."""
    headers = [(name, value) for name, value in answer.headers if name.lower() not in drop]
    return Wire(framed(replace(answer, headers=(*headers, *(add or {}).items()))))


@dataclass
class MutatingRelay(Relay):
    """A relay; *change* returns what is sent instead of an answer, or None."""

    change: Callable[[Answer], Wire | None] = lambda _: None
    operations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._lock = threading.Lock()

    def _connect(self, connection: socket.socket) -> None:
        self._listener.run_in_thread(self._relay, connection)

    def _relay(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            store = socket.create_connection(("127.0.0.1", self.port))
            with store, connection.makefile("rb") as requests, store.makefile("rb") as answers:
                while self._relay_one(connection, store, requests, answers):
                    pass

    def _relay_one(
        self, connection: socket.socket, store: socket.socket, requests: IO[bytes], answers: IO[bytes]
    ) -> bool:
        """Relay one request and its answer; return whether the connection stays open."""
        head = _read_head(requests)
        if not head:
            return False
        store.sendall(head + _read_body(requests, head))
        answer_head = _read_head(answers)
        if not answer_head:
            return False
        method = head.split(b" ")[0].decode("latin-1")
        has_body = method != "HEAD"
        body = _read_body(answers, answer_head) if has_body else b""
        line, *lines = answer_head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        _, status, reason = line.split(" ", 2)
        headers = tuple((name, value) for name, _, value in (one.partition(": ") for one in lines))
        answer = Answer(_operation(head.decode("latin-1")), method, int(status), reason, headers, body)
        with self._lock:
            self.operations.append(answer.operation)
            wire = self.change(answer) or Wire(framed(answer))
        connection.sendall(wire.data)
        if wire.then == "stall":
            with contextlib.suppress(OSError):
                connection.settimeout(20)
                connection.recv(1)  # until the client closes the connection
        return wire.then == "open"


def _read_head(stream: IO[bytes]) -> bytes:
    head = b""
    while line := stream.readline():
        head += line
        if line == b"\r\n":
            return head
    return b""


def _read_body(stream: IO[bytes], head: bytes) -> bytes:
    if _CHUNKED.search(head):
        body = b""
        while True:
            line = stream.readline()
            body += line
            size = int(line.split(b";")[0], 16)
            body += stream.read(size + 2)
            if size == 0:
                return body
    match = _LENGTH.search(head)
    return stream.read(int(match[1])) if match else b""


def _operation(head: str) -> str:
    """Return the operation of a request by its head."""
    method, target, _ = head.split(" ", 2)
    path, _, query = target.partition("?")
    names = {one.partition("=")[0] for one in query.split("&")}
    if method == "PUT" and "partNumber" in names:
        return "copy" if "-copy-source:" in head.lower() else "part"
    if "uploadId" in names:
        return {"POST": "complete", "DELETE": "abort"}.get(method, "parts")
    if "uploads" in names:
        return "initiate" if method == "POST" else "uploads"
    is_bucket = path.strip("/").count("/") == 0
    return method.lower() if not is_bucket else f"bucket-{method.lower()}"

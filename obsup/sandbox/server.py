"""The HTTP server on 127.0.0.1, with one thread per connection."""

from __future__ import annotations

import contextlib
import http.server
import socket
import socketserver
import ssl
import struct
import sys
import threading
from typing import Any

from obsup.sandbox.request_records import Journal
from obsup.sandbox.service import Service
from obsup.sandbox.transaction import Ending, Transaction, Wire

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 s: close() sends an RST."""


class Server(http.server.ThreadingHTTPServer):
    """Accepts connections and serves each in a daemon thread."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, port: int, service: Service, journal: Journal, tls: ssl.SSLContext | None = None
    ) -> None:
        self.service = service
        self.journal = journal
        self.tls = tls
        self.stopping = threading.Event()
        self.connections = 0
        self._lock = threading.Lock()
        self._numbers: dict[socket.socket, int] = {}
        super().__init__(("127.0.0.1", port), Handler)

    def server_bind(self) -> None:
        """Bind without HTTPServer's host name lookup."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection and give it its number."""
        connection, address = super().get_request()
        with self._lock:
            self.connections += 1
            self._numbers[connection] = self.connections
        return connection, address

    def number_of(self, connection: socket.socket) -> int:
        """Return the number of an open connection, from 1."""
        with self._lock:
            return self._numbers[connection]

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, with an RST if it was prepared for that, otherwise with a FIN."""
        with self._lock:
            self._numbers.pop(request, None)
        if _is_to_be_reset(request):
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an error of the sandbox itself; a disconnected client is not an error."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError) and not self.stopping.is_set():
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Stop accepting connections and close the open ones."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            left = list(self._numbers)
        for connection in left:
            with contextlib.suppress(OSError):  # It may already be closed.
                connection.shutdown(socket.SHUT_RDWR)


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        """Start TLS in the connection's thread, so that a silent client does not block others."""
        self._number = self.server.number_of(self.request)
        if self.server.tls is not None:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        """Close the connection's files and the TLS socket, which the server does not track."""
        super().finish()
        if self.server.tls is not None:
            self.request.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Print nothing: the journal records all requests."""

    def handle_one_request(self) -> None:
        """Wait for a request, at most as long as a close-idle fault allows."""
        self.connection.settimeout(self.server.service.faults.idle_s())
        super().handle_one_request()

    def handle_expect_100(self) -> bool:
        """Delay "100 Continue" until the body is read, so that an error can be sent instead."""
        return True

    def serve(self) -> None:
        """Execute the request whose head was just read."""
        self.connection.settimeout(None)
        wire = Wire(
            method=self.command,
            # BaseHTTPRequestHandler.path folds leading slashes, which belong to the key.
            target=self.requestline.split(" ")[1],
            headers=[(name, _as_utf8(value)) for name, value in self.headers.items()],
            stream=self.rfile,
            connection=self.connection,
            number=self._number,
            stopping=self.server.stopping,
        )
        ending = Transaction(wire, self.server.service, self.server.journal).run()
        if ending is not Ending.KEEP:
            self.close_connection = True
        if ending is Ending.RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    # The names that http.server calls.
    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = do_PATCH = serve  # noqa: N815


def _as_utf8(value: str) -> str:
    """Undo http.server's ISO-8859-1 decoding: clients send and sign UTF-8."""
    return value.encode("latin-1").decode("utf-8", "surrogateescape")


def _is_to_be_reset(connection: socket.socket) -> bool:
    try:
        return connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESET)) == _RESET
    except OSError:  # TLS now owns the descriptor.
        return False

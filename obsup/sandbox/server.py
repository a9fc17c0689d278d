"""The socket side: a server on 127.0.0.1, and one thread per connection."""

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
    """Accepts connections, each served by a daemonic thread of its own."""

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
        """Bind without the look-up of a host name that HTTPServer does."""
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
        """Close a connection: by an RST where it was so prepared, else by a FIN."""
        with self._lock:
            self._numbers.pop(request, None)
        if _is_to_be_reset(request):
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an error of the sandbox itself; that a client leaves is none."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError) and not self.stopping.is_set():
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Stop accepting, and cut every open connection."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            left = list(self._numbers)
        for connection in left:
            with contextlib.suppress(OSError):  # It may be closed meanwhile.
                connection.shutdown(socket.SHUT_RDWR)


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        """Begin TLS here, in the connection's own thread, so that a silent client blocks no other."""
        self._number = self.server.number_of(self.request)
        if self.server.tls is not None:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        """Close the connection's files, and the TLS socket, which the server does not know."""
        super().finish()
        if self.server.tls is not None:
            self.request.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Print nothing: the journal has it all."""

    def handle_one_request(self) -> None:
        """Wait for a request, but not longer than a close-idle fault allows."""
        self.connection.settimeout(self.server.service.faults.idle_s())
        super().handle_one_request()

    def handle_expect_100(self) -> bool:
        """Leave "100 Continue" to the first read of the body: a refusal should come instead of it."""
        return True

    def serve(self) -> None:
        """Carry out the request whose head was just read."""
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
    """Undo http.server's ISO-8859-1: what the clients send and sign is UTF-8."""
    return value.encode("latin-1").decode("utf-8", "surrogateescape")


def _is_to_be_reset(connection: socket.socket) -> bool:
    try:
        return connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESET)) == _RESET
    except OSError:  # TLS took the descriptor over.
        return False

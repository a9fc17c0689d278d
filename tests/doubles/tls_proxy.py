"""An HTTP proxy that is itself reached over TLS: tunnels with CONNECT, and forwards other requests."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

MAX_HEAD_BYTES = 65_536


class TlsProxy:
    """Listens on 127.0.0.1. ``methods`` are the methods of the requests it has served; CONNECT for tunnels."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.methods: list[str] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server(("127.0.0.1", 0))

    @property
    def port(self) -> int:
        """The port of the proxy."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """The URL of the proxy."""
        return f"https://127.0.0.1:{self.port}"

    def __enter__(self) -> TlsProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), self._context.wrap_socket(plain, server_side=True) as client:
            head = b""
            while b"\r\n\r\n" not in head and len(head) < MAX_HEAD_BYTES:
                block = client.recv(MAX_HEAD_BYTES)
                if not block:
                    return
                head += block
            method, target, _ = head.split(b" ", 2)
            self.methods.append(method.decode())
            is_tunnel = method == b"CONNECT"
            parts = urlsplit(f"//{target.decode()}" if is_tunnel else target.decode())
            with socket.create_connection((parts.hostname or "", parts.port or 80)) as server:
                if is_tunnel:
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
                    # One request per connection, so that each has a head of its own here.
                    server.sendall(
                        head.replace(target, path.encode(), 1).replace(
                            b"\r\n", b"\r\nConnection: close\r\n", 1
                        )
                    )
                upwards = threading.Thread(target=_copy, args=(client, server), daemon=True)
                upwards.start()
                _copy(server, client)
                # A socket that is closed while a thread reads from it: its TLS alert could go to the next file opened.
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
                upwards.join()


def _copy(source: socket.socket, destination: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(MAX_HEAD_BYTES):
            destination.sendall(block)
        destination.shutdown(socket.SHUT_WR)

"""A listener on 127.0.0.1 with one thread per connection, which test doubles use."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self


class Listener:
    """Listens as soon as it exists. ``start`` passes each connection to *on_connection*; ``stop`` closes everything."""

    def __init__(self, on_connection: Callable[[socket.socket], None]) -> None:
        self._on_connection = on_connection
        self.stopping = threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.threads: list[threading.Thread] = []
        self.open: list[socket.socket] = []

    def start(self) -> None:
        """Accept connections from now on."""
        self._accept_thread = threading.Thread(target=self._accept, daemon=True)
        self._accept_thread.start()

    def stop(self) -> None:
        """Close all connections and wait for all threads."""
        self.stopping.set()
        _shut_down(self.socket)
        self._accept_thread.join()
        for connection in list(self.open):
            _shut_down(connection)
        for thread in self.threads:
            thread.join()
        for connection in (self.socket, *self.open):
            connection.close()

    def run_in_thread(self, work: Callable[..., None], *arguments: object) -> None:
        """Run *work* in a new thread."""
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.open.append(connection)
            self._on_connection(connection)


@dataclass
class Relay:
    """Relays to the store at *port* while its ``with`` block runs. Subclasses define what a connection does."""

    port: int

    def __post_init__(self) -> None:
        self._listener = Listener(self._connect)

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.stop()

    @property
    def endpoint(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://{self._listener.address}"

    def _connect(self, connection: socket.socket) -> None:
        raise NotImplementedError


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)

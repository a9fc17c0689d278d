"""What the doubles that stand on 127.0.0.1 hold: a listener, a thread for each line, and the end of all."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class Listener:
    """Listens from its making on; from ``begin`` each connection goes to *take*, and ``end`` hangs all up."""

    def __init__(self, take: Callable[[socket.socket], None]) -> None:
        self._take = take
        self.stopping = threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.lines: list[threading.Thread] = []
        self.open: list[socket.socket] = []

    def begin(self) -> None:
        """Take connections from now on."""
        self._accepts = threading.Thread(target=self._accept, daemon=True)
        self._accepts.start()

    def end(self) -> None:
        """Hang everything up, and return once nobody works any more."""
        self.stopping.set()
        _hang_up(self.socket)
        self._accepts.join()  # nobody comes any more
        for one in list(self.open):
            _hang_up(one)
        for thread in self.lines:
            thread.join()
        for one in (self.socket, *self.open):
            one.close()

    def start(self, work: Callable[..., None], *arguments: object) -> None:
        """Have a thread of its own do *work*."""
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self.lines.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.open.append(connection)
            self._take(connection)


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)

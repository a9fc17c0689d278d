"""Run obsup as a program ``obsup`` that scripts find in PATH, without the time that importing it takes.

A server process imports obsup once. The program sends it the arguments, the environment, the current directory and the
three standard streams, and exits with the code of the process that the server forks for that.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

_PROGRAM = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    words = [sys.argv[1:], dict(os.environ), os.getcwd()]
    data = json.dumps(words).encode()
    socket.send_fds(server, [len(data).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(data)
    code = server.recv(1)
os._exit(code[0] if code else 70)
"""


class ForkedCommands:
    """The server. ``folder`` is the directory of the program ``obsup``."""

    def __enter__(self) -> ForkedCommands:
        self._temporary = tempfile.TemporaryDirectory(prefix="obsup-")
        self.folder = Path(self._temporary.name)
        self._socket = self.folder / "socket"
        program = self.folder / "obsup"
        program.write_text(_PROGRAM.format(python=sys.executable, path=str(self._socket)))
        program.chmod(0o700)
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forked_commands", str(self._socket)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._server.stdout is not None
        assert self._server.stdout.readline(), "the server of commands did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self._server.pid, signal.SIGKILL)  # and commands that still run
        self._server.communicate()
        self._temporary.cleanup()


def serve(path: str) -> None:
    """Serve the program at the socket *path* until this process is killed."""
    from obsup.cli import main  # noqa: F401 - with these, what most commands import
    from obsup.cli.actions import batch, gc, listings, steps, stream, upload, verify  # noqa: F401

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _address = listener.accept()
            if os.fork() == 0:
                listener.close()
                _handle(connection)
            connection.close()
            _reap()


def _reap() -> None:
    """Remove the processes that have ended."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def _handle(connection: socket.socket) -> None:
    """Run one command in a process of its own, send its exit code, and end this process."""
    head, streams, _flags, _address = socket.recv_fds(connection, 4, 3)
    size = int.from_bytes(head, "big")
    data = bytearray()
    while len(data) < size:
        data += connection.recv(1 << 16)
    child = os.fork()
    if child == 0:
        connection.close()
        _run(streams, *json.loads(data))
    _pid, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    with contextlib.suppress(OSError):  # the program was killed
        connection.sendall(bytes([code if code >= 0 else 128 - code]))
    os._exit(0)


def _run(streams: list[int], arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """Run ``obsup ARGUMENTS`` in this process, which ends with it."""
    from obsup.__main__ import main

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["obsup", *arguments]
    main()


if __name__ == "__main__":
    serve(sys.argv[1])

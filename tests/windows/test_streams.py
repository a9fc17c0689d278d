"""Upload streams under Windows: standard input, and the output of commands."""

from __future__ import annotations

import contextlib
import socket

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.windows.windows_machine import SCRIPTS, WindowsMachine, windows_path

pytestmark = [pytest.mark.windows, pytest.mark.xdist_group("windows")]


def test_standard_input_is_binary(windows: WindowsMachine, sandbox: Sandbox) -> None:
    """Line ends and Ctrl-Z are bytes like all others."""
    content = b"a\r\nb\n\x1a\x00c" * 100_000
    done = windows.run("upload", "-", "bucket/key", "--part-size", "200K", stdin=content)
    assert (done.code, done.err) == (0, "")
    assert sandbox.object_path("bucket", "key").read_bytes() == content


def test_output_of_a_command(windows: WindowsMachine, sandbox: Sandbox) -> None:
    """The object exists only if the command succeeds; its exit code is in the message."""
    program = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 2000); sys.exit(int(sys.argv[1]))"
    (windows.folder / "make.py").write_text(program)
    command = ("--", "python.exe", "make.py")
    upload = ("upload", "--from-command", "bucket/key")
    failed = windows.run(*upload, *command, "3")
    assert failed.code != 0
    assert "3" in failed.err
    assert not sandbox.object_path("bucket", "key").exists()
    assert not sandbox.uploads()
    done = windows.run(*upload, *command, "0")
    assert (done.code, done.err) == (0, "")
    assert sandbox.object_path("bucket", "key").read_bytes() == bytes(range(256)) * 2000


def test_the_command_ends_with_obsup(windows: WindowsMachine) -> None:
    """Also if TerminateProcess ends obsup: nothing would read what the command writes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(windows.timeout_s)
        port = listener.getsockname()[1]
        program = f"import socket; socket.create_connection(('127.0.0.1', {port})).recv(1)"
        (windows.folder / "make.py").write_text(program)
        upload = ("upload", "--from-command", "bucket/key", "--", "python.exe", "make.py")
        process = windows.start_python(windows_path(SCRIPTS / "terminate.py"), *upload)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(windows.timeout_s)
            assert windows.outcome(process, b"\n").out == "1\n"
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""

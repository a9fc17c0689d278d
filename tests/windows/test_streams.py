"""Upload streams under Windows: standard input, and the output of commands."""

from __future__ import annotations

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.windows.windows_machine import WindowsMachine

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

"""The command of --from-command: its output, its exit code, and how it is ended."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from obsup.errors import CommandFailed, ObsupError, SourceChanged, SourceUnreadable
from obsup.local.source.command import CommandSource, command_digest
from obsup.local.source.stream import Descriptor, open_standard_input
from tests.support.waiting import wait_for


def read_all(source: CommandSource | Descriptor) -> bytes:
    """Return all bytes of *source*."""
    buffer = bytearray(65536)
    data = b""
    while count := source.readinto(memoryview(buffer)):
        data += buffer[:count]
    return data


def run(*command: str, grace_s: float = 5.0) -> CommandSource:
    """Return the started *command*."""
    source = CommandSource(command, grace_s=grace_s)
    source.start()
    return source


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe."""
    read, write = os.pipe()
    yield read, write
    for descriptor in (read, write):
        try:
            os.close(descriptor)
        except OSError:
            assert descriptor == write


def test_the_output_and_the_success_of_a_command_are_known(tmp_path: Path) -> None:
    """More bytes than a pipe holds; it is finished only after its exit."""
    may_end = tmp_path / "may-end"
    script = f"head -c 3000000 /dev/zero; exec >&-; until [ -e {may_end} ]; do sleep 0.01; done"
    with closing(run("sh", "-c", script)) as source:
        assert read_all(source) == bytes(3_000_000)
        assert not source.is_finished(0.0)
        may_end.touch()
        assert source.is_finished(20.0)


@pytest.mark.parametrize(
    ("script", "words"), [("exit 7", "sh exited with 7"), ("kill -TERM $$", "sh was ended by SIGTERM")]
)
def test_a_failed_command_is_an_error(script: str, words: str) -> None:
    """With its exit code or signal."""
    with closing(run("sh", "-c", script)) as source:
        assert read_all(source) == b""
        with pytest.raises(CommandFailed, match=words) as caught:
            source.is_finished(20.0)
    assert caught.value.exit_code == 76


def test_the_output_before_a_failure_is_read() -> None:
    """Complete parts of it are kept for a replay."""
    with closing(run("sh", "-c", "printf first; sleep 0.3; printf second; exit 1")) as source:
        assert read_all(source) == b"firstsecond"


@pytest.mark.parametrize("command", [("no-such-command",), ("",), ("/",), ("a\0b",)])
def test_a_command_that_cannot_be_run_is_an_error(command: tuple[str, ...]) -> None:
    """Closing it does nothing."""
    source = CommandSource(command)
    with pytest.raises(CommandFailed, match="cannot be run"):
        source.start()
    source.close()


def test_a_command_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """After grace_s."""
    ready = tmp_path / "ready"
    source = run("sh", "-c", f"trap '' TERM; touch {ready}; while :; do sleep 0.05; done", grace_s=0.2)
    wait_for(ready.exists, within_s=20)
    source.close()
    with pytest.raises(CommandFailed, match="SIGKILL"):
        source.is_finished(0.0)


CLEANS_UP = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def clean_up(*_):
    time.sleep(0.3)
    (folder / "end").write_text("clean")
    os._exit(0)
signal.signal(signal.SIGINT, clean_up)
signal.signal(signal.SIGTERM, lambda *_: os._exit(9))
(folder / "ready").touch()
while True:
    time.sleep(0.05)
"""


def test_a_command_can_clean_up_after_a_forwarded_signal(tmp_path: Path) -> None:
    """No second signal follows within grace_s.

    Python instead of a shell: a shell that is started with SIGINT ignored, for example after &, cannot trap it.
    """
    source = run(sys.executable, "-c", CLEANS_UP, str(tmp_path))
    wait_for((tmp_path / "ready").exists, within_s=20)
    source.signal(signal.SIGINT)
    source.close()
    assert (tmp_path / "end").read_text() == "clean"


def test_the_digest_of_a_command_depends_on_all_its_words() -> None:
    """Words are not joined: a b and "a b" are two commands."""
    assert command_digest(["a", "b"]) == command_digest(("a", "b"))
    assert (
        len({command_digest(one) for one in (["a", "b"], ["a b"], ["ab"], ["b", "a"], ["a", "b", ""])}) == 5
    )


def test_a_cancelled_read_is_an_error(pipe: tuple[int, int]) -> None:
    """It must not look like the end of the stream."""
    source = Descriptor(pipe[0], "a pipe")
    caught: list[BaseException] = []

    def read() -> None:
        try:
            source.readinto(memoryview(bytearray(10)))
        except ObsupError as exc:
            caught.append(exc)

    thread = threading.Thread(target=read)
    thread.start()
    source.cancel()
    thread.join(20)
    assert [str(one) for one in caught] == ["reading a pipe was cancelled"]


def test_reading_a_non_blocking_pipe_waits(pipe: tuple[int, int]) -> None:
    """Another process may have made it non-blocking."""
    read, write = pipe
    os.set_blocking(read, False)
    idle: list[bytes] = []

    def write_once_idle() -> None:
        idle.append(b"late")
        os.write(write, b"late")
        os.close(write)

    assert read_all(Descriptor(read, "a pipe", on_idle=write_once_idle)) == b"late"
    assert idle == [b"late"]


def test_a_closed_standard_input_and_a_folder_are_unreadable() -> None:
    """Exit status 66."""
    with pytest.raises(SourceUnreadable, match="standard input is closed"):
        open_standard_input(is_open=False)
    folder = os.open("/", os.O_RDONLY)
    with pytest.raises(SourceUnreadable, match="cannot be read"):
        Descriptor(folder, "a folder").readinto(memoryview(bytearray(10)))
    os.close(folder)


def test_a_file_as_standard_input_that_changes_is_an_error(tmp_path: Path) -> None:
    """A redirected file can be modified while it is read, as a named one, also with its modification time restored."""
    path = tmp_path / "file"
    path.write_bytes(b"one")
    (tmp_path / "another name").hardlink_to(path)
    with path.open("r+b") as file:
        source, view = Descriptor(file.fileno(), "standard input"), memoryview(bytearray(1))
        assert source.readinto(view) == 1
        (tmp_path / "another name").unlink()  # changes the change time, but not the content
        assert source.readinto(view) == 1
        status = path.stat()
        path.write_bytes(b"two")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(SourceChanged, match="standard input changed while it was read"):
            source.readinto(view)

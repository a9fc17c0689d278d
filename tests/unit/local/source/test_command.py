"""The command behind --from-command: its output, its end, and the end it is put to."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from obsup.errors import CommandFailed, ObsupError, SourceUnreadable
from obsup.local.source.command import CommandSource, command_digest
from obsup.local.source.stream import Descriptor, open_standard_input
from tests.support.waiting import wait_for


def read_all(source: CommandSource | Descriptor) -> bytes:
    """Return what *source* gives until its end."""
    buffer = bytearray(65536)
    data = b""
    while count := source.readinto(memoryview(buffer)):
        data += buffer[:count]
    return data


def run(*command: str, grace_s: float = 5.0) -> CommandSource:
    """Return a producer that has begun *command*."""
    producer = CommandSource(command, grace_s=grace_s)
    producer.start()
    return producer


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


def test_its_output_is_read_and_its_success_known() -> None:
    """More than a pipe holds, and the end only after the exit."""
    with closing(run("sh", "-c", "head -c 3000000 /dev/zero; exec >&-; sleep 0.2")) as producer:
        assert read_all(producer) == bytes(3_000_000)
        assert not producer.is_finished(0.0)
        assert producer.is_finished(20.0)


@pytest.mark.parametrize(
    ("script", "words"), [("exit 7", "sh exited with 7"), ("kill -TERM $$", "sh was ended by SIGTERM")]
)
def test_its_failure_is_known(script: str, words: str) -> None:
    """The exit code or the signal, in the error."""
    with closing(run("sh", "-c", script)) as producer:
        assert read_all(producer) == b""
        with pytest.raises(CommandFailed, match=words) as caught:
            producer.is_finished(20.0)
    assert caught.value.exit_code == 76


def test_what_it_wrote_before_it_failed_is_read() -> None:
    """Whole parts of it may be kept for a replay."""
    with closing(run("sh", "-c", "printf first; sleep 0.3; printf second; exit 1")) as producer:
        assert read_all(producer) == b"firstsecond"


@pytest.mark.parametrize("command", [("no-such-command",), ("",), ("/",), ("a\0b",)])
def test_what_cannot_be_run(command: tuple[str, ...]) -> None:
    """An error, and nothing to close."""
    producer = CommandSource(command)
    with pytest.raises(CommandFailed, match="cannot be run"):
        producer.start()
    producer.close()


def test_one_that_will_not_end_is_killed(tmp_path: Path) -> None:
    """SIGTERM first; after the grace, SIGKILL."""
    ready = tmp_path / "ready"
    producer = run("sh", "-c", f"trap '' TERM; touch {ready}; while :; do sleep 0.05; done", grace_s=0.2)
    wait_for(ready.exists, within_s=20)
    producer.close()
    with pytest.raises(CommandFailed, match="SIGKILL"):
        producer.is_finished(0.0)


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


def test_one_that_was_told_is_given_its_time(tmp_path: Path) -> None:
    """A signal that was handed on is not followed by another: the command may clean up.

    No shell: one that was begun with SIGINT ignored, as behind an &, cannot trap it.
    """
    producer = run(sys.executable, "-c", CLEANS_UP, str(tmp_path))
    wait_for((tmp_path / "ready").exists, within_s=20)
    producer.signal(signal.SIGINT)
    producer.close()
    assert (tmp_path / "end").read_text() == "clean"


def test_a_command_is_known_by_all_its_words() -> None:
    """Words are not joined: a b and "a b" are two commands."""
    assert command_digest(["a", "b"]) == command_digest(("a", "b"))
    assert (
        len({command_digest(one) for one in (["a", "b"], ["a b"], ["ab"], ["b", "a"], ["a", "b", ""])}) == 5
    )


def test_a_cancelled_read_is_no_end(pipe: tuple[int, int]) -> None:
    """What is given up must never pass for a stream that ended."""
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
    assert [str(one) for one in caught] == ["reading a pipe was given up"]


def test_a_pipe_that_does_not_block_is_waited_for(pipe: tuple[int, int]) -> None:
    """Another process may have made it non-blocking."""
    read, write = pipe
    os.set_blocking(read, False)

    def write_late() -> None:
        time.sleep(0.2)
        os.write(write, b"late")
        os.close(write)

    threading.Thread(target=write_late).start()
    assert read_all(Descriptor(read, "a pipe")) == b"late"


def test_nothing_to_read() -> None:
    """Closed, or closed meanwhile: 66."""
    with pytest.raises(SourceUnreadable, match="standard input is closed"):
        open_standard_input(is_open=False)
    folder = os.open("/", os.O_RDONLY)
    with pytest.raises(SourceUnreadable, match="cannot be read"):
        Descriptor(folder, "a folder").readinto(memoryview(bytearray(10)))
    os.close(folder)

"""Files of settings: of any kind, of limited size."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from obsup.local.files.content import read_content


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    """Through a symbolic link, too."""
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "link").symlink_to("file")
    content = read_content(tmp_path / "link", 100_000)
    assert (content.data, content.is_regular) == (b"x" * 100_000, True)
    with pytest.raises(OSError, match="more than 99999 bytes"):
        read_content(tmp_path / "link", 99_999)


def test_an_endless_device_is_not_read_to_its_end() -> None:
    with pytest.raises(OSError, match="more than 1000 bytes"):
        read_content(Path("/dev/zero"), 1000, allow_pipe=True)


@pytest.mark.parametrize("name", ["folder", "pipe", "/dev/zero"])
def test_only_a_regular_file_is_read_by_default(tmp_path: Path, name: str) -> None:
    """A pipe without a writer does not stop it."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"directory|not a regular file"):
        read_content(tmp_path / name, 1000)


def test_a_pipe_is_read_when_its_writer_comes(tmp_path: Path) -> None:
    """A program that asks for a password writes late."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"late",))
    writer.start()
    assert read_content(pipe, 1000, allow_pipe=True).data == b"late"
    writer.join()


def test_the_wait_for_a_writer_is_limited(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TimeoutError, match="Nothing was written"):
        read_content(tmp_path / "pipe", 1000, allow_pipe=True, pipe_timeout_s=0.1)

"""Answers and talk that cannot be written, and devices and pipes where a file was to be: never a lie, never a loss."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Outcome, Shell

MakeFile = Callable[..., Path]
UPLOAD = ("upload", "bigfile", "bucket/key", "--parts", "3")
FULL = Path("/dev/full")


def run_full(shell: Shell, stream: str, *words: str) -> Outcome:
    """Run ``obsup WORDS`` with *stream*, stdout or stderr, on a full disk."""
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "obsup", *words],
            cwd=shell.folder,
            env={**os.environ, **shell.environment},
            stdout=full if stream == "stdout" else subprocess.PIPE,
            stderr=full if stream == "stderr" else subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    return Outcome(done.returncode, done.stdout, done.stderr)


def is_stored(sandbox: Sandbox, source: Path, key: str = "key") -> bool:
    """Return whether the object is the file."""
    return sandbox.object_path("bucket", key).read_bytes() == source.read_bytes()


def test_an_answer_that_cannot_be_printed(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """74: the script that waits for it must not think it has it. What it was to say stands in the error."""
    source = make_file(600_000)
    outcome = run_full(shell, "stdout", *UPLOAD, "--json")
    assert outcome.code == 74, outcome.err
    assert "cannot be written to standard output" in outcome.err
    assert '"status": "completed"' in outcome.err
    assert is_stored(sandbox, source)
    assert [path.name for path in shell.folder.iterdir()] == ["bigfile"]


def test_an_upload_id_that_cannot_be_printed(shell: Shell, sandbox: Sandbox) -> None:
    """It is not lost."""
    outcome = run_full(shell, "stdout", "init", "bucket/key")
    assert outcome.code == 74, outcome.err
    (upload,) = sandbox.uploads()
    assert upload.upload_id in outcome.err


def test_a_failure_that_cannot_be_printed(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Its own exit code stands."""
    make_file(600_000)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=2,times=always")
    outcome = run_full(shell, "stdout", *UPLOAD, "--json")
    assert outcome.code == 77, outcome.err
    assert "Request the permission" in outcome.err


def test_the_answers_of_a_batch_that_cannot_be_printed(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """All files are sent; said once, and 74."""
    sources = [make_file(1000 + number, name=f"file-{number}") for number in range(5)]
    words = [one.name for one in sources]
    outcome = run_full(shell, "stdout", "upload", *words, "bucket/", "--json")
    assert outcome.code == 74, outcome.err
    assert outcome.err.count("cannot be written to standard output") == 1
    for one in sources:
        assert is_stored(sandbox, one, one.name)


@pytest.mark.parametrize("words", [("-v",), ("--progress", "json"), ("--progress", "lines", "-v")])
def test_talk_that_cannot_be_written(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, words: tuple[str, ...]
) -> None:
    """Nobody hears it, and nothing else changes."""
    source = make_file(600_000)
    outcome = run_full(shell, "stderr", *UPLOAD, "--json", *words)
    assert outcome.code == 0
    assert outcome.json["status"] == "completed"
    assert is_stored(sandbox, source)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=2,times=always")
    assert run_full(shell, "stderr", *UPLOAD, *words).code == 77


# Devices and pipes.


class Pipe:
    """A named pipe, and who reads it."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        path.chmod(0o622)
        self.path = path
        self._text = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        self._text = self.path.read_text()

    def text(self) -> str:
        """Return all that was written, once the writer has closed it, and nothing has taken its place."""
        self._thread.join(30)
        assert stat.S_ISFIFO(self.path.stat().st_mode)
        assert stat.S_IMODE(self.path.stat().st_mode) == 0o622
        return self._text


def test_a_receipt_into_a_pipe(shell: Shell, make_file: MakeFile) -> None:
    """--receipt /dev/stdout, /dev/null, a pipe: written to, and never replaced by a file."""
    make_file(600_000)
    pipe = Pipe(shell.folder / "pipe")
    assert shell.run(*UPLOAD, "--receipt", "pipe").code == 0
    assert len(json.loads(pipe.text())["parts"]) == 3
    outcome = shell.run(*UPLOAD, "--receipt", "/dev/stdout")
    assert outcome.json["size"] == 600_000


def test_a_list_of_failures_into_a_pipe(shell: Shell, make_file: MakeFile) -> None:
    """As --receipt."""
    make_file(600_000)
    pipe = Pipe(shell.folder / "pipe")
    assert shell.run("upload", "bigfile", "none", "bucket/", "--failed-list", "pipe").code == 66
    assert pipe.text() == "./none\n"


def test_a_log_into_a_pipe(shell: Shell, make_file: MakeFile) -> None:
    """Its mode is left alone: that of a device is everybody's."""
    make_file(600_000)
    pipe = Pipe(shell.folder / "pipe")
    assert shell.run(*UPLOAD, "--log-file", "pipe").code == 0
    assert pipe.text().count("UploadPart") == 3


@pytest.mark.parametrize(
    "words", [("bigfile", "bucket/key", "--parts", "3"), ("bigfile", "other", "bucket/")]
)
def test_a_pipe_is_no_place_for_a_checkpoint(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, words: tuple[str, ...]
) -> None:
    """73 before anything is initiated, and it is there as it was: --no-checkpoint is what was meant."""
    make_file(600_000)
    make_file(600_000, name="other")
    os.mkfifo(shell.folder / "pipe")
    outcome = shell.run("upload", *words, "--checkpoint", "pipe")
    assert outcome.code == 73, outcome.err
    assert "--no-checkpoint" in outcome.err
    assert {one.operation for one in sandbox.requests} <= {"uploads"}
    assert stat.S_ISFIFO((shell.folder / "pipe").stat().st_mode)
    assert sorted(path.name for path in shell.folder.iterdir()) == ["bigfile", "other", "pipe"]

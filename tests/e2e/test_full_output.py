"""Results and messages that cannot be written, and devices and pipes used as files."""

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

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]
UPLOAD = ("upload", "bigfile", "bucket/key", "--parts", "3")
FULL = Path("/dev/full")


def run_full(shell: Shell, stream: str, *arguments: str) -> Outcome:
    """Run ``obsup WORDS`` with *stream* (stdout or stderr) on a full disk."""
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "obsup", *arguments],
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
    """Return whether the object has the content of the file."""
    return sandbox.object_path("bucket", key).read_bytes() == source.read_bytes()


def test_a_result_that_cannot_be_printed_is_an_error(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Exit 74, because a script would miss it; the error quotes the result."""
    source = make_file(600_000)
    outcome = run_full(shell, "stdout", *UPLOAD, "--json")
    assert outcome.code == 74, outcome.err
    assert "cannot be written to standard output" in outcome.err
    assert '"status": "completed"' in outcome.err
    assert is_stored(sandbox, source)
    assert [path.name for path in shell.folder.iterdir()] == ["bigfile"]


def test_an_upload_id_that_cannot_be_printed_is_in_the_error(shell: Shell, sandbox: Sandbox) -> None:
    """Otherwise nothing could resume or abort the upload."""
    outcome = run_full(shell, "stdout", "init", "bucket/key")
    assert outcome.code == 74, outcome.err
    (upload,) = sandbox.uploads()
    assert upload.upload_id in outcome.err


def test_a_failure_that_cannot_be_printed_keeps_its_exit_code(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """The error on stderr is that of the failure."""
    make_file(600_000)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=2,times=always")
    outcome = run_full(shell, "stdout", *UPLOAD, "--json")
    assert outcome.code == 77, outcome.err
    assert "Request the permission" in outcome.err


def test_batch_results_that_cannot_be_printed_are_reported_once(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """All files are sent, and the exit code is 74."""
    sources = [make_file(1000 + number, name=f"file-{number}") for number in range(5)]
    outcome = run_full(shell, "stdout", "upload", *(source.name for source in sources), "bucket/", "--json")
    assert outcome.code == 74, outcome.err
    assert outcome.err.count("cannot be written to standard output") == 1
    for source in sources:
        assert is_stored(sandbox, source, source.name)


@pytest.mark.parametrize("arguments", [("-v",), ("--progress", "json"), ("--progress", "lines", "-v")])
def test_messages_that_cannot_be_written_are_ignored(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, arguments: tuple[str, ...]
) -> None:
    """The upload and its exit code do not change."""
    source = make_file(600_000)
    outcome = run_full(shell, "stderr", *UPLOAD, "--json", *arguments)
    assert outcome.code == 0
    assert outcome.json["status"] == "completed"
    assert is_stored(sandbox, source)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=2,times=always")
    assert run_full(shell, "stderr", *UPLOAD, *arguments).code == 77


class Pipe:
    """A named pipe and a thread that reads it."""

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
        """Return what was written once the writer has closed the pipe; check that the pipe was not replaced."""
        self._thread.join(30)
        assert stat.S_ISFIFO(self.path.stat().st_mode)
        assert stat.S_IMODE(self.path.stat().st_mode) == 0o622
        return self._text


def test_a_receipt_can_be_written_to_a_pipe(shell: Shell, make_file: MakeFile) -> None:
    """A pipe or /dev/stdout is written to, not replaced by a file."""
    make_file(600_000)
    pipe = Pipe(shell.folder / "pipe")
    assert shell.run(*UPLOAD, "--receipt", "pipe").code == 0
    assert len(json.loads(pipe.text())["parts"]) == 3
    outcome = shell.run(*UPLOAD, "--receipt", "/dev/stdout")
    assert outcome.json["size"] == 600_000


def test_a_failed_list_can_be_written_to_a_pipe(shell: Shell, make_file: MakeFile) -> None:
    """It is written to, not replaced by a file."""
    make_file(600_000)
    pipe = Pipe(shell.folder / "pipe")
    assert shell.run("upload", "bigfile", "none", "bucket/", "--failed-list", "pipe").code == 66
    assert pipe.text() == "./none\n"


def test_a_log_can_be_written_to_a_pipe(shell: Shell, make_file: MakeFile) -> None:
    """The mode of the pipe does not change."""
    make_file(600_000)
    pipe = Pipe(shell.folder / "pipe")
    assert shell.run(*UPLOAD, "--log-file", "pipe").code == 0
    assert pipe.text().count("UploadPart") == 3


@pytest.mark.parametrize(
    "arguments", [("bigfile", "bucket/key", "--parts", "3"), ("bigfile", "other", "bucket/")]
)
def test_a_pipe_is_rejected_as_a_checkpoint(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, arguments: tuple[str, ...]
) -> None:
    """Exit 73 before anything is initiated; the error suggests --no-checkpoint, and the pipe is unchanged."""
    make_file(600_000)
    make_file(600_000, name="other")
    os.mkfifo(shell.folder / "pipe")
    outcome = shell.run("upload", *arguments, "--checkpoint", "pipe")
    assert outcome.code == 73, outcome.err
    assert "--no-checkpoint" in outcome.err
    assert {request.operation for request in sandbox.requests} <= {"uploads"}
    assert stat.S_ISFIFO((shell.folder / "pipe").stat().st_mode)
    assert sorted(path.name for path in shell.folder.iterdir()) == ["bigfile", "other", "pipe"]


@pytest.mark.parametrize(
    ("arguments", "closed", "code"),
    [
        ("upload bigfile bucket/key --parts 3 --log-file log --json", ">&-", 0),
        ("upload bigfile bucket/key --parts 3 --log-file log -v", "2>&-", 0),
        ("upload bigfile bucket/key --parts 3 --receipt receipt -v --json", "<&- >&- 2>&-", 0),
        ("init bigfile bucket/key -v", ">&- 2>&-", 0),
        ("uploads bucket", ">&- 2>&-", 0),
        ("--help", ">&-", 0),
        ("version", ">&- 2>&-", 0),
        ("upload bigfile bucket/key --parts 0", ">&- 2>&-", 2),
        ("upload missing bucket/key --json", ">&- 2>&-", 66),
    ],
)
def test_closed_streams_change_nothing_but_the_output(
    shell: Shell, sandbox: Sandbox, make_file: MakeFile, arguments: str, closed: str, code: int
) -> None:
    """The exit code is that of the command, and no file of obsup takes the place of a closed stream."""
    source = make_file(600_000)
    outcome = shell.run_script(f"obsup {arguments} {closed} || exit $?")
    assert outcome.code == code, outcome
    assert "Error" not in outcome.out + outcome.err
    if "upload bigfile" in arguments and not code:
        assert is_stored(sandbox, source)
    for log in shell.folder.glob("log"):
        assert '"completed"' not in log.read_text()


def test_a_source_that_is_a_closed_stream(shell: Shell, sandbox: Sandbox) -> None:
    """Nothing is published, and a closed list of files is not an empty one."""
    for arguments in ("upload - bucket/key", "upload --from-list - bucket/p/"):
        outcome = shell.run_script(f"obsup {arguments} <&- || exit $?")
        assert outcome.code == 66, outcome
        assert "closed" in outcome.err
    assert {one.method for one in sandbox.requests} <= {"GET"}


@pytest.mark.parametrize("arguments", ["--help", "--version", "upload --help", "help", "completion bash"])
def test_a_help_text_that_cannot_be_printed_is_a_local_failure(shell: Shell, arguments: str) -> None:
    outcome = shell.run_script(f"obsup {arguments} >/dev/full || exit $?")
    assert outcome.code == 74, outcome
    assert "cannot be written to standard output" in outcome.err


def test_a_limit_of_file_sizes_is_no_full_disk(shell: Shell, make_file: MakeFile) -> None:
    """Free space does not help against ulimit -f: the receipt, the metrics and standard output name it."""
    make_file(600_000)
    files = ("--receipt", "receipt.json"), ("--metrics", "metrics.prom")
    commands = [" ".join((*UPLOAD, *words)) for words in files] + ["version > version"]
    for command in commands:
        outcome = shell.run_script(f"ulimit -f 0; exec obsup {command}")
        assert outcome.code == 74, outcome.err
        assert "raise the limit of the size of a file (ulimit -f)" in outcome.err.lower(), outcome.err
        assert "free disk space" not in outcome.err.lower(), outcome.err

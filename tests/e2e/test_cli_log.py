"""-v and --log-file: every request, and no secret."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Shell

MakeFile = Callable[..., Path]
TOKEN = "a-security-token-that-is-a-secret"


def test_the_log_has_one_line_per_request_with_its_attempts(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """Method, key, operation, part, status, request id, seconds and attempt; also retries and the result."""
    make_file(600_000)
    sandbox.add_fault("error=503:SlowDown,op=part,part=2")
    outcome = shell.run("upload", "bigfile", "bucket/key", "--parts", "3", "--log-file", "run.log")
    assert (outcome.code, outcome.err) == (0, "")
    lines = (shell.folder / "run.log").read_text().splitlines()
    requests = [line.split()[2:] for line in lines if " status=" in line]
    assert [words[2] for words in requests if words[2] != "UploadPart"] == [
        "ListMultipartUploads",
        "InitiateMultipartUpload",
        "CompleteMultipartUpload",
    ]
    second = [" ".join(words) for words in requests if "part=2" in words]
    assert re.fullmatch(
        r"PUT bucket/key UploadPart part=2 status=503 request=\w+ seconds=\d+\.\d{3} attempt=1", second[0]
    )
    assert re.fullmatch(
        r"PUT bucket/key UploadPart part=2 status=200 request=\w+ seconds=\d+\.\d{3} attempt=2", second[1]
    )
    assert any(" retry: part 2, attempt 1 failed: " in line for line in lines)
    assert stat.S_IMODE((shell.folder / "run.log").stat().st_mode) == 0o600


def test_verbose_logs_every_request_on_stderr(shell: Shell, make_file: MakeFile) -> None:
    """The same lines, without the time."""
    make_file(600_000)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--parts", "3", "-v")
    assert outcome.code == 0
    assert len(re.findall(r"^PUT bucket/key UploadPart part=\d status=200 ", outcome.err, re.MULTILINE)) == 3


def test_no_secret_is_written_anywhere(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """Output, log and JSON contain no key, token or signature, on success and on failure."""
    make_file(600_000)
    arguments = ("upload", "bigfile", "bucket/key", "--parts", "3", "-v", "--log-file", "run.log", "--json")
    written = ""
    for fault in ("error=500:InternalError,op=part", "error=403:SignatureDoesNotMatch,op=part,times=always"):
        sandbox.add_fault(fault)
        outcome = shell.run(*arguments, "--restart", SecurityToken=TOKEN)
        written += outcome.out + outcome.err
        sandbox.clear_faults()
    written += "".join(path.read_text() for path in shell.folder.glob("*") if path.name != "bigfile")
    assert "SignatureDoesNotMatch" in written
    for secret in (sandbox.secret_key, TOKEN, "Authorization", "Signature="):
        assert secret not in written


def test_the_log_has_the_result(sandbox: Sandbox, shell: Shell, make_file: MakeFile) -> None:
    """The last line of the log has the exit code of a failure."""
    make_file(600_000)
    sandbox.add_fault("error=403:AccessDenied,op=part,times=always")
    outcome = shell.run("upload", "bigfile", "bucket/key", "--parts", "3", "--log-file", "run.log")
    assert outcome.code == 77
    assert "error 77: " in (shell.folder / "run.log").read_text().splitlines()[-1]


@pytest.mark.parametrize("path", ["no/folder/run.log", "."])
def test_an_unwritable_log_is_an_error_before_anything_is_sent(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, path: str
) -> None:
    """Exit 78, with the path."""
    make_file(600_000)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--log-file", path)
    assert (outcome.code, f"the log {path} " in outcome.err) == (78, True), outcome.err
    assert not sandbox.requests

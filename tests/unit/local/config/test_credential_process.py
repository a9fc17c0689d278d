"""credential_process, with real programs."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from obsup.errors import Denied
from obsup.local.config.credential_process import run_process, sanitise
from obsup.model import Credentials

SECRET = "S3cr3tKeyThatMustStayHidden/0123456789+abc"
OUTPUT = {
    "Version": 1,
    "AccessKeyId": "AK",
    "SecretAccessKey": SECRET,
    "SessionToken": "token",
    "Expiration": "1970-01-02T00:00:00Z",
}
ENVIRON = {"PATH": os.environ["PATH"], "MARK": "inherited"}


def helper(folder: Path, code: str) -> str:
    """Write a program into *folder* and return the command line that runs it."""
    path = folder / "my helper"
    path.write_text(
        f"#!{sys.executable} -IS\nimport os, sys, time\n{textwrap.dedent(code)}", encoding="utf-8"
    )
    path.chmod(0o700)
    return f"'{path}' --password {SECRET}-argument 'a b'"


def run(command: str, timeout_s: float = 10.0) -> Credentials:
    return run_process(command, environ=ENVIRON, origin="profile p", timeout_s=timeout_s)


def failure(command: str, timeout_s: float = 10.0) -> Denied:
    """Run *command*, which must fail, and check that the error contains no secret."""
    with pytest.raises(Denied) as caught:
        run(command, timeout_s)
    error = caught.value
    assert error.__context__ is None
    assert SECRET not in "".join(traceback.format_exception(error)) + repr(error) + str(error.next_step)
    assert "profile p" in error.what + error.why + str(error.next_step)
    return error


def test_output_becomes_credentials(tmp_path: Path) -> None:
    found = run(helper(tmp_path, f"print({json.dumps(OUTPUT)!r})"))
    assert found == Credentials(
        "AK", SECRET, "token", expires=86400.0, origin="credential_process of profile p"
    )


def test_token_and_expiry_are_optional(tmp_path: Path) -> None:
    output = json.dumps({"Version": 1, "AccessKeyId": "AK", "SecretAccessKey": "SK"})
    found = run(helper(tmp_path, f"print({output!r})"))
    assert (found.token, found.expires) == (None, None)


@pytest.fixture
def full_stdin() -> Iterator[None]:
    """Fill the standard input of this process, which may be the source of an upload."""
    reader, writer = os.pipe()
    os.write(writer, b"bytes of the source")
    os.close(writer)
    saved = os.dup(0)
    os.dup2(reader, 0)
    yield
    os.dup2(saved, 0)
    os.close(saved)
    os.close(reader)


@pytest.mark.usefixtures("full_stdin")
def test_program_gets_its_arguments_an_empty_stdin_and_the_environment(tmp_path: Path) -> None:
    code = f"""
    assert sys.argv[1:] == ["--password", "{SECRET}-argument", "a b"]
    assert sys.stdin.read() == ""
    assert os.environ["MARK"] == "inherited"
    print({json.dumps(OUTPUT)!r})
    """
    assert run(helper(tmp_path, code)).access_key == "AK"


def test_shell_syntax_is_not_interpreted(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    failure(f"{sys.executable} -c pass ; touch {trap}")
    assert not trap.exists()


def test_missing_program_is_named(tmp_path: Path) -> None:
    error = failure(f"{tmp_path}/absent --password {SECRET}")
    assert "absent" in error.what
    assert "No such file" in error.why
    assert error.exit_code == 77


def test_failure_shows_the_last_line_of_stderr_and_never_stdout(tmp_path: Path) -> None:
    code = f"""
    print("{SECRET}")
    print("first line", file=sys.stderr)
    print("\\x1b[31mvault is sealed\\x07\\n", file=sys.stderr)
    sys.exit(3)
    """
    error = failure(helper(tmp_path, code))
    assert error.why == "It exited with 3: vault is sealed"


def test_secret_on_stderr_is_masked(tmp_path: Path) -> None:
    code = f"""
    print("short-secret-1")
    print("token short-secret-1 and key {SECRET} refused", file=sys.stderr)
    sys.exit(1)
    """
    assert failure(helper(tmp_path, code)).why == "It exited with 1: token *** and key *** refused"


def test_killed_program_names_the_signal(tmp_path: Path) -> None:
    error = failure(helper(tmp_path, "os.kill(os.getpid(), 9)"))
    assert error.why == "It was killed by signal 9 and printed nothing to stderr"


def test_slow_program_is_stopped(tmp_path: Path) -> None:
    started = time.monotonic()
    error = failure(helper(tmp_path, f"print('{SECRET}', flush=True); time.sleep(60)"), timeout_s=0.5)
    assert error.why == "It did not finish within 0.5 s"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("printed", "why"),
    [
        (f"{SECRET} is not JSON", "a JSON object"),
        (f'["{SECRET}"]', "a JSON object"),
        ("", "a JSON object"),
        (json.dumps({**OUTPUT, "Version": 2}), '"Version": 1'),
        (json.dumps({"Version": 1, "SecretAccessKey": SECRET}), ""),
        (json.dumps({**OUTPUT, "SecretAccessKey": [SECRET]}), ""),
        (json.dumps({**OUTPUT, "SecretAccessKey": f"{SECRET}\nx"}), ""),
        (json.dumps({"Version": 1}), "neither AccessKeyId"),
        (json.dumps({**OUTPUT, "Expiration": SECRET}), "Expiration is not an ISO 8601"),
    ],
)
def test_invalid_output_is_refused_and_not_shown(tmp_path: Path, printed: str, why: str) -> None:
    assert why in failure(helper(tmp_path, f"sys.stdout.write({printed!r})")).why


def test_long_line_is_truncated() -> None:
    assert sanitise("word " * 100, "") == ("word " * 40).strip()

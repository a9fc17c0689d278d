"""``python -m obsup.sandbox``: environment, signals, exit codes, and what it prints."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

PROGRAM = [sys.executable, "-m", "obsup.sandbox"]
ROOT = Path(__file__).parents[2]


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, timeout=20, env=environment, **options
    )


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def spawn(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def test_command_gets_the_sandbox_and_none_of_the_real_credentials() -> None:
    foreign = {
        "SecurityToken": "t",
        "AccessKeyID": "real",
        "OBS_ACCESS_KEY_ID": "real",
        "AWS_PROFILE": "real",
        "AWS_ENDPOINT_URL": "http://real",
        "OSS_SESSION_TOKEN": "real",
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "real",
        "OBSUP_SECURITY_TOKEN": "real",
        "OBSUP_JOBS": "3",
        "http_proxy": "http://127.0.0.1:9",
    }
    done = run("--", *python("import json, os; print(json.dumps(dict(os.environ)))"), env=foreign)
    assert (done.returncode, done.stderr) == (0, "")
    seen = json.loads(done.stdout)
    assert seen["OBSUP_ENDPOINT"].startswith("http://127.0.0.1:")
    assert seen["OBSUP_ADDRESSING"] == "path"
    assert seen["AccessKeyID"] != "real"
    assert seen["SecretAccessKey"]
    assert seen["OBSUP_JOBS"] == "3"
    assert "127.0.0.1" in seen["no_proxy"].split(",")
    assert "real" not in seen.values()
    assert "SecurityToken" not in seen


def test_the_sandbox_serves_while_command_runs() -> None:
    program = """
import os, urllib.request
request = urllib.request.Request(os.environ["OBSUP_ENDPOINT"] + "/?apiversion", method="HEAD")
print(urllib.request.urlopen(request).headers["x-obs-api"])
"""
    assert run("--", *python(program)).stdout == "3.0\n"


@pytest.mark.parametrize("code", [0, 1, 7, 75, 255])
def test_commands_exit_code_is_the_sandboxs(code: int) -> None:
    assert run("--", *python(f"raise SystemExit({code})")).returncode == code


def test_a_killed_command_is_128_and_the_signal() -> None:
    assert run("--", *python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")).returncode == 137


def test_a_command_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    done = run("--", "no-such-command-here")
    assert (done.returncode, done.stderr) == (127, "obsup sandbox: no-such-command-here: command not found\n")
    file = tmp_path / "file"
    file.write_text("")
    done = run("--", str(file))
    assert (done.returncode, done.stderr) == (
        126,
        f"obsup sandbox: {file}: cannot be run: Permission denied\n",
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on_to_command(number: signal.Signals) -> None:
    program = f"""
import signal, sys, time
signal.signal({int(number)}, lambda *_: sys.exit(9))
print("ready", flush=True)
time.sleep(20)
"""
    process = spawn("--", *python(program))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.wait(timeout=10) == 9
    process.communicate()


def test_a_key_pressed_in_the_terminal_is_not_passed_on(tmp_path: Path) -> None:
    """The terminal signals the whole process group; passing that on as well would be a second Ctrl-C.

    So that the two can be told apart, COMMAND leaves the group here.
    """
    counting = """
import os, signal
os.setpgrp()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
print("ready", flush=True)
print("seen", signal.sigtimedwait([signal.SIGINT], 0.5), flush=True)
"""
    driver = """
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.executable, [sys.executable, "-m", "obsup.sandbox", "--", sys.executable, sys.argv[1]])
said = b""
while b"ready" not in said:
    said += os.read(terminal, 100)
os.write(terminal, b"\\x03")
try:
    while block := os.read(terminal, 100):
        said += block
except OSError:
    pass
print(said.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    script = tmp_path / "counting.py"
    script.write_text(counting)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", driver, str(script)],
        capture_output=True,
        text=True,
        timeout=20,
        env=environment,
        check=True,
    )
    assert "seen None" in done.stdout
    assert done.stdout.split()[-1] == "0"


def test_a_signal_that_command_does_not_handle_ends_both() -> None:
    process = spawn("--", *python("import time; print('ready', flush=True); time.sleep(20)"))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 128 + signal.SIGTERM
    process.communicate()


def test_without_command_it_prints_exports_and_serves_until_a_signal(tmp_path: Path) -> None:
    process = spawn("--dir", str(tmp_path))
    assert process.stdout is not None
    assert process.stderr is not None
    lines = [process.stdout.readline() for _ in range(4)]
    variables = dict(shlex.split(line)[1].split("=", 1) for line in lines)
    assert all(line.startswith("export ") and line.endswith("'\n") for line in lines)
    assert set(variables) == {"OBSUP_ENDPOINT", "AccessKeyID", "SecretAccessKey", "OBSUP_ADDRESSING"}
    assert process.stderr.readline() == f"obsup sandbox: the objects are in {tmp_path}\n"
    assert process.stderr.readline() == "obsup sandbox: serving; Ctrl-C or SIGTERM ends it\n"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(variables["OBSUP_ENDPOINT"] + "/bucket/key")
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=10)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_options_reach_the_sandbox(tmp_path: Path) -> None:
    program = """
import os, urllib.request
for _ in range(2):
    try:
        urllib.request.urlopen(os.environ["OBSUP_ENDPOINT"] + "/bucket/key")
    except Exception as exc:
        print(exc.code)
"""
    options = ["--fault", "error=503:SlowDown", "--bucket", "bucket", "--log", str(tmp_path / "log")]
    options += ["--limit", "page=2", "--limit", "min-part=1K", "--discard", "--dir", str(tmp_path / "dir")]
    done = run(*options, "--", *python(program))
    assert done.stdout == "503\n403\n"
    records = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [(r["status"], r["code"], r["fault"]) for r in records] == [
        (503, "SlowDown", "error=503:SlowDown"),
        (403, "AccessDenied", None),
    ]
    assert (tmp_path / "dir/bucket").is_dir()


@pytest.mark.parametrize(
    "arguments",
    [["--fault", "eror=500"], ["--limit", "pags=1"], ["--limit", "page=0"], ["--bucket", "Bad_Name"], ["x"]],
)
def test_a_wrong_option_is_a_usage_error(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("obsup sandbox: error: ")


def test_an_occupied_port_is_reported() -> None:
    program = """
import os, subprocess, sys
port = os.environ["OBSUP_ENDPOINT"].rsplit(":", 1)[1]
done = subprocess.run([sys.executable, "-m", "obsup.sandbox", "--port", port], capture_output=True, text=True)
print(done.returncode, done.stderr)
"""
    done = run("--", *python(program))
    assert done.stdout.startswith("1 obsup sandbox: cannot serve: ")


def test_the_help_has_the_grammar_of_faults() -> None:
    text = run("--help").stdout
    assert "drop-request=BYTES" in text
    assert "COMMAND" in text


PRINT_KEYS = python("import os; print(os.environ['AccessKeyID'], os.environ['SecretAccessKey'])")


def test_the_keys_stay_the_same_with_dir(tmp_path: Path) -> None:
    first, second = (run("--dir", str(tmp_path), "--", *PRINT_KEYS).stdout for _ in range(2))
    assert first == second != ""
    assert run("--", *PRINT_KEYS).stdout != first
    assert (tmp_path / ".sandbox" / "keys.json").stat().st_mode & 0o077 == 0


def test_the_secret_of_a_chosen_key_is_from_the_environment(tmp_path: Path) -> None:
    own = run("--access-key", "ME", "--dir", str(tmp_path), "--", *PRINT_KEYS, env={"SecretAccessKey": "own"})
    assert own.stdout == "ME own\n"
    assert "own" not in "".join(path.read_text() for path in tmp_path.rglob("*.json"))

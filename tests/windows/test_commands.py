"""Configuration, completion, exit codes and the sandbox under Windows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.readme import CRON_PAGE, README, block
from tests.support.waiting import wait_for
from tests.windows.windows_machine import FOLDER, WindowsMachine, windows_path

pytestmark = [pytest.mark.windows, pytest.mark.xdist_group("windows")]

MakeFile = Callable[..., Path]
CONFIG = "AppData/Roaming/obsup/config.toml"


def test_the_session_of_the_readme(windows: WindowsMachine, sandbox: Sandbox, make_file: MakeFile) -> None:
    """pip, config init, an upload that TerminateProcess ends, the same upload again, verify; then help and an error."""
    (windows.folder / "dist").mkdir()
    (wheel,) = (FOLDER / "wheels").glob("obsup-*.whl")
    shutil.copy(wheel, windows.folder / "dist")
    (windows.folder / "backup").mkdir()
    source = make_file(900_000, "backup/bigfile")
    install, init, upload, verify = block(README, "windows session").replace("D:\\", "").splitlines()
    user = WindowsMachine(windows.folder, {"PIP_NO_INDEX": "1"})
    done = user.run_batch_file(f"{install}\nif errorlevel 1 exit /b 1\n{init}\n")
    assert done.code == 0, done
    config = user.profile / CONFIG
    text = config.read_text(encoding="utf-8")
    for commented, value in (
        ('#profile = "nightly"', 'profile = "nightly"'),
        ("#[profiles.nightly]", "[profiles.nightly]"),
        ('#endpoint = "https://obs.eu-de.otc.t-systems.com"', f'endpoint = "{sandbox.endpoint}"'),
        ('#access_key_id = "…"', f'access_key_id = "{sandbox.access_key}"'),
        ('#secret_access_key = "…"', f'secret_access_key = "{sandbox.secret_key}"'),
    ):
        assert commented in text
        text = text.replace(commented, value)
    config.write_text(text, encoding="utf-8")
    sandbox.add_fault("delay=600,op=part,part=5,times=1")
    process = user.begin(*upload.split()[1:], "-j", "1")
    wait_for(lambda: sandbox.injected_faults, within_s=300, process=process)
    process.kill()
    process.communicate()
    sandbox.clear_faults()
    done = user.run_batch_file(
        f"{upload}\nif errorlevel 1 exit /b 2\n{verify}\nif errorlevel 1 exit /b 3\n"
        "obsup --version\nif errorlevel 1 exit /b 4\n"
        "obsup upload --help\nif errorlevel 1 exit /b 5\n"
        "obsup upload missing bucket/key\nexit /b %ERRORLEVEL%\n"
    )
    assert done.code == 66, done
    assert "missing" in done.err
    assert "%APPDATA%\\obsup\\config.toml" in done.out
    assert sandbox.object_path("bucket", "backups/bigfile").read_bytes() == source.read_bytes()
    parts = [one for one in sandbox.requests if one.operation == "part" and one.status == 200]
    assert sorted(one.part_number or 0 for one in parts) == [1, 2, 3, 4, 5]


def test_the_batch_file_of_the_task(windows: WindowsMachine, sandbox: Sandbox, make_file: MakeFile) -> None:
    """That of obsup-cron(7), without its profile and time of day. obsup itself finds the files of its pattern."""
    (windows.folder / "dumps").mkdir()
    make_file(1000, "dumps/a.dump")
    make_file(2000, "dumps/b.dump")
    text = block(CRON_PAGE, "batch file").replace("D:\\", "")
    for option in ("--profile nightly ", "--until 05:55 "):
        assert option in text
        text = text.replace(option, "")
    done = windows.run_batch_file(text)
    assert (done.code, done.err) == (0, ""), done
    assert sandbox.object_metadata("backups", "nightly/a.dump").size == 1000
    sandbox.add_fault("error=503:SlowDown,times=always")
    make_file(3000, "dumps/b.dump")
    failed = windows.run_batch_file(text, OBSUP_RETRY_FOR="0s")
    assert failed.code == 0, failed
    assert "Error" in failed.err


CORE = """obsup init bigfile bucket/key --parts 3
obsup part bigfile bucket/key --part-number 2
obsup upload bigfile bucket/key --parts 3
obsup init bucket/steps > id
set /p id=<id
obsup part bigfile bucket/steps --upload-id %id% --parts 1 --part-number 1
obsup complete bigfile bucket/steps --upload-id %id% --parts 1
obsup init bucket/other > id
set /p id=<id
obsup abort bucket/other --upload-id %id%
python cat.py | obsup upload - bucket/stream --part-size 200K
obsup upload --from-command bucket/command -- python cat.py
obsup upload -r tree bucket/"""


def test_the_sandbox_runs_under_windows(windows: WindowsMachine, make_file: MakeFile) -> None:
    """The store, its clients and its folder are on the same Windows machine: every kind of upload, and each step."""
    source = make_file(900_000)
    (windows.folder / "tree").mkdir()
    for name in ("con.txt", "Read me"):
        make_file(1000, f"tree/{name}")
    checked = (
        f"{line}\r\nif errorlevel 1 exit /b {number}" for number, line in enumerate(CORE.split("\n"), 10)
    )
    (windows.folder / "cat.py").write_text(
        "import sys; sys.stdout.buffer.write(open('bigfile', 'rb').read())"
    )
    (windows.folder / "core.cmd").write_text("\r\n".join(["@echo off", *checked]), newline="")
    patient = replace(windows, timeout_s=900.0)  # for all commands together
    done = patient.run_batch_file("obsup sandbox --dir store -- cmd /c core.cmd\nexit /b %ERRORLEVEL%\n")
    assert done.code == 0, done
    objects = windows.folder / "store" / "bucket"
    for key in ("key", "steps", "stream", "command"):
        assert (objects / key).read_bytes() == source.read_bytes()
    assert {path.name for path in (objects / "tree").iterdir()} == {"%63on.txt", "Read me"}
    assert not [*(windows.folder / "store/.sandbox/uploads").iterdir()]


def test_the_printed_command_in_cmd(windows: WindowsMachine, sandbox: Sandbox, make_file: MakeFile) -> None:
    """It names the same file, whatever the characters in its name mean in cmd.exe."""
    source = make_file(1000, "R&D (1), it's a^b; c=d.bin")
    sandbox.add_fault("error=503:SlowDown,times=1")
    failed = windows.run("upload", source.name, "bucket/key", "--retry-for", "0s")
    assert failed.code == 75, failed
    done = windows.run_batch_file(f"{failed.err.strip().rpartition(': ')[2]}\nexit /b %ERRORLEVEL%\n")
    assert (done.code, done.err) == (0, ""), (failed, done)
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("upload", "missing", "bucket/key"), 66),
        (("upload", "bigfile", "bucket/key", "--parts", "0"), 2),
        (("upload", "bigfile", "bucket/key", "--profile", "missing"), 78),
        (("upload", "bigfile", "bucket/key", "--endpoint", "http://127.0.0.1:9", "--retry-for", "0s"), 75),
    ],
)
def test_exit_codes(
    windows: WindowsMachine, make_file: MakeFile, arguments: tuple[str, ...], code: int
) -> None:
    """The message has its three lines and the exit code is the one of the table."""
    make_file(1000)
    done = windows.run(*arguments)
    assert done.code == code, done
    assert done.err.startswith("Error: ")
    assert "\nNext:  " in done.err


def test_configuration(windows: WindowsMachine) -> None:
    """The file is created in the user's folder and read from there."""
    created = windows.run("config", "init")
    assert created.code == 0, created
    path = windows.profile / CONFIG
    assert path.exists()
    shown = windows.run("config", "show")
    assert windows_path(path).rpartition("\\drive_c\\")[2] in shown.out, shown


def test_completion_script_of_powershell(windows: WindowsMachine) -> None:
    """Its words are those that PowerShell would offer; no PowerShell runs here."""
    script = windows.run("completion", "powershell")
    assert script.code == 0
    assert "Register-ArgumentCompleter" in script.out

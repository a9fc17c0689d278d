"""``obsup upload --from-command``: published only if the command succeeded and the output is complete."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.local.state.lock import UploadLock
from obsup.model import Target
from obsup.sandbox.sandbox import Sandbox
from obsup.units import KIB
from tests.support.pipes import Bash
from tests.support.shell import Shell
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]
PART = 100 * KIB
UPLOAD = "obsup upload --part-size 100K --from-command bucket/key"


@pytest.fixture
def bash(shell: Shell, tmp_path: Path, home: Path) -> Bash:
    """Bash with obsup in it."""
    return Bash.with_folder(shell, tmp_path / "bin")


@pytest.fixture
def old(bash: Bash, sandbox: Sandbox) -> Path:
    """Yesterday's backup in the bucket; returns the file that holds the object."""
    assert bash.run("printf yesterday | obsup upload - bucket/key").code == 0
    return sandbox.object_path("bucket", "key")


def is_alive(pid: int) -> bool:
    """Return whether the process exists and is not a zombie."""
    try:
        return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return False


def checkpoints(home: Path) -> list[Path]:
    """Return the checkpoints in the state folder."""
    return list((home / ".local/state/obsup/checkpoints").glob("*.json"))


def test_the_output_of_a_command_becomes_the_object(
    bash: Bash, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """Its standard error is passed through."""
    source = make_file(350_000)
    outcome = bash.run(f"{UPLOAD} -- sh -c 'cat bigfile; echo dumping >&2'")
    assert outcome.code == 0
    assert outcome.err == "dumping\n"
    assert outcome.out == ""
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert sandbox.uploads() == []


def test_no_shell_interprets_the_command(bash: Bash, sandbox: Sandbox) -> None:
    """Each argument is passed unchanged, and options after -- belong to the command."""
    assert bash.run(f"{UPLOAD} -- printf '%s %s' '$HOME; ls *' --restart").code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == b"$HOME; ls * --restart"


def test_the_command_gets_the_environment_of_obsup_and_no_open_file(bash: Bash, sandbox: Sandbox) -> None:
    """As in a pipe: dumps may need the credentials."""
    script = (
        "sh -c 'env | grep -v -e ^_= -e ^SHLVL= | sort > here'; "
        + UPLOAD
        + " -- sh -c 'env | grep -v -e ^_= -e ^SHLVL= | sort; ls /proc/$$/fd'"
    )
    assert bash.run(script).code == 0
    given = (bash.shell.folder / "here").read_text()
    assert "SecretAccessKey=" in given
    assert sandbox.object_path("bucket", "key").read_text() == f"{given}0\n1\n2\n"


@pytest.mark.parametrize("size", [1000, 250_000])
@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("exit 3", "sh exited with 3"),
        ("kill -9 $$", "sh was ended by SIGKILL"),
        ("exec >&-; sleep 0.3; exit 4", "sh exited with 4"),
    ],
    ids=["exit code", "signal", "after the end of its output"],
)
def test_a_failed_command_publishes_nothing(
    bash: Bash, sandbox: Sandbox, make_file: MakeFile, old: Path, size: int, end: str, message: str
) -> None:
    """Exit 76; the old object is unchanged and whole parts are kept, but not the last one, which may be truncated."""
    make_file(size)
    outcome = bash.run(f"{UPLOAD} --json -- sh -c 'cat bigfile; {end}'")
    assert outcome.code == 76
    assert message in outcome.err
    assert (outcome.json["reason"], outcome.json["status"]) == ("producer", "failed")
    assert old.read_bytes() == b"yesterday"
    assert "complete" not in [one.operation for one in sandbox.requests]
    assert [one.parts for one in sandbox.uploads()] == ([{1: PART, 2: PART}] if size > PART else [])


@pytest.mark.parametrize(
    ("command", "why"), [("nosuchcommand -x", "No such file"), ("./bigfile", "Permission denied")]
)
def test_a_command_that_cannot_be_run(
    bash: Bash, sandbox: Sandbox, make_file: MakeFile, old: Path, command: str, why: str
) -> None:
    """This is a failed command, too."""
    make_file(10)
    outcome = bash.run(f"{UPLOAD} -- {command}")
    assert outcome.code == 76
    assert why in outcome.err
    assert old.read_bytes() == b"yesterday"


def test_running_again_sends_only_missing_parts(
    bash: Bash, sandbox: Sandbox, make_file: MakeFile, home: Path
) -> None:
    """The command identifies the checkpoint: stored parts are compared, not sent."""
    source = make_file(550_000)
    command = f"{UPLOAD} --json -- sh -c 'cat bigfile; test -e repaired'"
    assert bash.run(command).code == 76
    assert len(checkpoints(home)) == 1
    (bash.shell.folder / "repaired").touch()
    outcome = bash.run(command)
    assert outcome.code == 0, outcome.err
    assert outcome.json["sentParts"] == 1
    assert outcome.json["parts"] == 6
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert checkpoints(home) == []
    assert sandbox.uploads() == []


def test_another_command_has_another_checkpoint(bash: Bash, sandbox: Sandbox, make_file: MakeFile) -> None:
    """The parts of one command are never used for another."""
    make_file(550_000)
    assert bash.run(f"{UPLOAD} -- sh -c 'cat bigfile; false'").code == 76
    assert bash.run(f"{UPLOAD} -- cat bigfile").code == 0
    assert len(sandbox.uploads()) == 1


def test_abort_on_failure_leaves_nothing(
    bash: Bash, sandbox: Sandbox, make_file: MakeFile, old: Path, home: Path
) -> None:
    """No parts in the store, no checkpoint here; the old object is unchanged."""
    make_file(550_000)
    outcome = bash.run(f"{UPLOAD} --abort-on-failure -- sh -c 'cat bigfile; exit 1'")
    assert outcome.code == 76
    assert "was aborted" in outcome.err
    assert "stored" not in outcome.err
    assert sandbox.uploads() == []
    assert checkpoints(home) == []
    assert old.read_bytes() == b"yesterday"


def test_abort_on_failure_keeps_an_upload_that_made_the_object(
    bash: Bash, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """The response to Complete is lost and HeadObject forbidden; or another stream follows a run that was killed."""
    data = make_file(250_000).read_bytes()
    command = "obsup upload - bucket/key --part-size 100K --abort-on-failure --retry-for 1s"
    stream = f"{command} --checkpoint state.json"
    sandbox.add_fault("keep-upload,op=complete,times=always")
    sandbox.add_fault("error=403:AccessDenied,op=head,times=always")
    sandbox.add_fault("error=403:AccessDenied,op=list,times=always")
    sandbox.add_fault("drop-answer,op=complete,times=always")
    outcome = bash.run(f"cat bigfile | {stream}")
    assert (outcome.code, "may have made the object" in outcome.err) == (75, True), outcome.err
    sandbox.clear_faults()
    outcome = bash.run(f"head -c 250000 /dev/zero | {stream}")
    assert (outcome.code, "made the object bucket/key already" in outcome.err) == (65, True), outcome.err
    assert len(sandbox.uploads()) == 1
    assert sandbox.object_path("bucket", "key").read_bytes() == data
    assert "abort" not in [one.operation for one in sandbox.requests]


def test_the_command_line_is_not_stored(bash: Bash, make_file: MakeFile, home: Path) -> None:
    """It may contain a password."""
    make_file(250_000)
    assert bash.run(f"{UPLOAD} -- sh -c 'cat bigfile; exit 1' -- --password=hunter2").code == 76
    files = [path for path in home.rglob("*") if path.is_file()]
    assert checkpoints(home)
    assert all(b"hunter2" not in path.read_bytes() for path in files)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_reach_the_command_and_its_children(
    bash: Bash, sandbox: Sandbox, old: Path, number: signal.Signals, code: int
) -> None:
    """obsup forwards a signal to the process group; no process stays, and nothing is published."""
    name = number.name.removeprefix("SIG")
    # A shell ignores SIGINT in its background children.
    (bash.shell.folder / "dump").write_text(
        f'trap "echo signalled >> log; exit 0" {name}; echo $$ >> pids; head -c 150000 /dev/zero; '
        "while :; do sleep 0.05; done"
    )
    script = f"exec {UPLOAD} -- sh -c 'echo $$ > first; sh dump & exec sh dump'"
    with bash.begin(script) as process:
        pids = bash.shell.folder / "pids"
        wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2, within_s=20)
        wait_for(
            lambda: any(one.operation == "part" and one.status == 200 for one in sandbox.requests),
            within_s=20,
        )
        process.send_signal(number)
        assert process.wait(20) == code
    first = int((bash.shell.folder / "first").read_text())
    (child,) = {int(pid) for pid in pids.read_text().split()} - {first}
    assert not is_alive(first)
    wait_for(lambda: not is_alive(child), within_s=20)
    assert "signalled" in (bash.shell.folder / "log").read_text()
    assert old.read_bytes() == b"yesterday"


def test_the_second_signal_kills_the_command(bash: Bash) -> None:
    """A command that ignores the first signal does not outlive obsup."""
    script = (
        f"exec {UPLOAD} -- sh -c 'trap \"echo > ignored\" TERM; echo $$ > pid; while :; do sleep 0.05; done'"
    )
    with bash.begin(script) as process:
        pid = bash.shell.folder / "pid"
        wait_for(lambda: pid.exists() and pid.read_text(), within_s=20)
        process.send_signal(signal.SIGTERM)
        wait_for((bash.shell.folder / "ignored").exists, within_s=20)

        def is_ended() -> bool:
            process.send_signal(signal.SIGTERM)  # signals within a second count once
            return process.poll() is not None

        wait_for(is_ended, within_s=4)
        assert process.returncode == 143
    wait_for(lambda: not is_alive(int(pid.read_text())), within_s=20)


def test_a_failed_upload_ends_the_command(bash: Bash, sandbox: Sandbox) -> None:
    """The error is the store's, not the command's broken pipe."""
    sandbox.add_fault("error=403:AccessDenied,op=initiate,times=always")
    outcome = bash.run(f"{UPLOAD} -- sh -c 'echo $$ > pid; yes; echo $? > end'")
    assert outcome.code == 77
    assert not is_alive(int((bash.shell.folder / "pid").read_text()))


def test_a_failure_is_noticed_before_the_output_ends(bash: Bash) -> None:
    """A child that keeps the output open does not hide the failure of the command."""
    outcome = bash.run(f"{UPLOAD} -- sh -c 'sleep 60 2>&1 & echo $! > pid; exit 5'")
    assert outcome.code == 76
    wait_for(lambda: not is_alive(int((bash.shell.folder / "pid").read_text())), within_s=20)


def test_the_command_is_not_started_if_the_upload_cannot_be(bash: Bash, sandbox: Sandbox) -> None:
    """No credentials, an invalid option, another run in progress: the command is not started in vain."""
    started = bash.shell.folder / "started"
    assert bash.run(f"AccessKeyID= {UPLOAD} -- touch started").code == 77
    assert bash.run(f"{UPLOAD} --parts 3 -- touch started").code == 2
    with UploadLock(Target("obs", sandbox.endpoint, "bucket", "key")):
        assert bash.run(f"{UPLOAD} -- touch started").code == 75
        assert bash.run(f"{UPLOAD} --if-running skip -- touch started").code == 0
    assert not started.exists()


@pytest.mark.parametrize("source", ["bigfile", "-", pytest.param("--from-command", marks=pytest.mark.slow)])
def test_unexpected_content_is_not_published(
    bash: Bash, sandbox: Sandbox, make_file: MakeFile, old: Path, source: str
) -> None:
    """Size and digests of the whole are checked for a file, a pipe and a command, of one part and of many."""
    command = {
        "bigfile": "obsup upload bigfile bucket/key",
        "-": "cat bigfile | obsup upload - bucket/key",
        "--from-command": "obsup upload --from-command bucket/key",
    }[source] + " --part-size 100K --restart"
    end = " -- cat bigfile" if source == "--from-command" else ""
    for size in (1000, 250_000):
        data = make_file(size).read_bytes()
        for wrong in ("--expect-size 999", f"--expect-md5 {'0' * 32}", f"--expect-sha256 {'0' * 64}"):
            outcome = bash.run(f"{command} {wrong}{end}")
            assert outcome.code == 65
            assert wrong.split()[0] in outcome.err
            assert old.read_bytes() == b"yesterday"
    right = f"--expect-md5 {hashlib.md5(data).hexdigest()} --expect-sha256 {hashlib.sha256(data).hexdigest()}"
    outcome = bash.run(f"{command} --expect-size {size} {right}{end}")
    assert outcome.code == 0, outcome.err
    assert old.read_bytes() == data


def test_an_ignored_sigchld_is_not_inherited(shell: Shell, sandbox: Sandbox) -> None:
    """Some supervisors start programs so; the kernel then keeps no exit codes of children."""
    start = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    for script, code in (("echo fine", 0), ("echo bad; exit 3", 76)):
        words = [
            sys.executable,
            "-m",
            "obsup",
            "upload",
            "--from-command",
            "bucket/key",
            "--",
            "sh",
            "-c",
            script,
        ]
        done = subprocess.run(
            [sys.executable, "-c", start, *words],
            cwd=shell.folder,
            env={**os.environ, **shell.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
    assert sandbox.object_path("bucket", "key").read_bytes() == b"fine\n"

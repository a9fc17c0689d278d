"""The command of the "Next:" line, run in a shell as a user would, fixes the failure."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Outcome, Shell

MakeFile = Callable[..., Path]


def next_command(outcome: Outcome) -> str:
    """Return the command line at the end of the third line."""
    what, why, following = outcome.err.splitlines()
    assert what.startswith("Error: ")
    assert why.startswith("Why:   ")
    match = re.search(r": ((?:env -u \S+ )?obsup .+)$", following)
    assert match, following
    return match[1]


def run_in_shell(shell: Shell, command: str) -> int:
    """Run *command* as if it were pasted into a shell; return its exit code."""
    return subprocess.run(
        ["sh", "-c", command],
        cwd=shell.folder,
        env={
            **os.environ,
            **shell.environment,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    ).returncode


def is_uploaded(sandbox: Sandbox, source: Path) -> bool:
    """Return whether the object has the content of the file."""
    return sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("reset,op=part,part=4,times=always", 75),
        ("error=503:SlowDown,op=part,part=4,times=always", 75),
        ("error=403:AccessDenied,op=part,part=4,times=always", 77),
        ("error=500:InternalError,op=complete,times=always", 75),
        ("error=404:NoSuchBucket,op=part,part=4,times=always", 69),
    ],
)
def test_the_printed_command_resumes_an_interrupted_upload(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, fault: str, code: int
) -> None:
    """The name has a blank and an option comes first: the command is ready to be pasted."""
    source = make_file(1_000_000, "my dump")
    sandbox.add_fault(fault)
    arguments = ("upload", "--parts", "5", "-j", "1", "--retry-for", "0s", "my dump", "bucket/key")
    outcome = shell.run(*arguments)
    assert outcome.code == code
    assert " parts are stored and will not be sent again" in outcome.err
    sandbox.clear_faults()
    assert run_in_shell(shell, next_command(outcome)) == 0
    assert is_uploaded(sandbox, source)
    stored = [
        request.part_number
        for request in sandbox.requests
        if request.operation == "part" and request.status == 200
    ]
    assert sorted(number for number in stored if number is not None) == [1, 2, 3, 4, 5]


def test_the_printed_command_has_a_valid_part_size(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """It is the nearest size that the provider accepts."""
    source = make_file(1_000_000)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--part-size", "5K")
    assert outcome.code == 2
    assert next_command(outcome) == "obsup upload bigfile bucket/key --part-size 100K"
    assert run_in_shell(shell, next_command(outcome)) == 0
    assert is_uploaded(sandbox, source)


def test_the_printed_command_restarts_until_something_is_stored(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """Then --restart would discard it."""
    source = make_file(1_000_000)
    command = ("upload", "bigfile", "bucket/key", "--parts", "5", "-j", "1", "--retry-for", "0s", "--restart")
    refused = shell.run(*command, "--endpoint", "http://127.0.0.1:9")
    assert next_command(refused).endswith(" --restart")
    sandbox.add_fault("error=503:SlowDown,op=part,part=2")
    outcome = shell.run(*command)
    assert " stored and will not be sent again" in outcome.err
    assert next_command(outcome) == f"obsup {' '.join(command[:-1])}"
    assert run_in_shell(shell, next_command(outcome)) == 0
    assert is_uploaded(sandbox, source)


def test_the_printed_command_restarts_the_upload_of_a_changed_source(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """--restart is the user's decision: it is printed, not done."""
    make_file(1_000_000)
    sandbox.add_fault("error=403:AccessDenied,op=part,part=4,times=always")
    shell.run("upload", "bigfile", "bucket/key", "--parts", "5", "-j", "1")
    sandbox.clear_faults()
    source = make_file(900_000, seed=2)
    outcome = shell.run("upload", "bigfile", "bucket/key", "--parts", "5")
    assert outcome.code == 65
    assert next_command(outcome) == "obsup upload bigfile bucket/key --parts 5 --restart"
    assert run_in_shell(shell, next_command(outcome)) == 0
    assert is_uploaded(sandbox, source)


def test_the_resume_command_of_the_json_result_is_the_printed_one(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile
) -> None:
    """``resumeCommand`` resumes the upload."""
    source = make_file(1_000_000)
    sandbox.add_fault("reset,op=part,part=4,times=always")
    outcome = shell.run(
        "upload", "bigfile", "bucket/key", "--parts", "5", "-j", "1", "--retry-for", "0s", "--json"
    )
    fields = json.loads(outcome.out)
    assert (fields["status"], fields["exitCode"], fields["retryable"]) == ("incomplete", 75, True)
    assert fields["resumeCommand"] == next_command(outcome)
    sandbox.clear_faults()
    assert run_in_shell(shell, fields["resumeCommand"]) == 0
    assert is_uploaded(sandbox, source)


@pytest.mark.slow
@pytest.mark.parametrize("is_configured", [False, True], ids=["environment", "configuration file"])
def test_the_printed_command_leaves_out_an_option_that_is_set_elsewhere(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, is_configured: bool
) -> None:
    """By its variable, or after its key is removed from the configuration file."""
    source = make_file(1000)
    config = shell.folder / "config.toml"
    config.write_text("[defaults]\nno_overwrite = true\n" if is_configured else "")
    variables = {"OBSUP_CONFIG": str(config), **({} if is_configured else {"OBSUP_NO_OVERWRITE": "1"})}
    shell = Shell(shell.folder, {**shell.environment, **variables})
    outcome = shell.run("upload", "bigfile", "bucket/key")
    assert (outcome.code, "has no --no-overwrite" in outcome.err) == (2, True)
    if is_configured:
        assert "(first remove no_overwrite from [defaults] in the configuration file)" in outcome.err
        config.write_text("")
    assert run_in_shell(shell, next_command(outcome)) == 0
    assert is_uploaded(sandbox, source)


@pytest.mark.parametrize(("skew", "direction"), [(3600, "behind"), (-3600, "ahead of")])
def test_a_wrong_clock_is_reported_with_its_difference(
    sandbox: Sandbox, shell: Shell, make_file: MakeFile, skew: int, direction: str
) -> None:
    """The store rejects even its own time: only setting the clock helps."""
    sandbox.add_fault(f"skew={skew}")
    sandbox.add_fault("error=403:RequestTimeTooSkewed,op=part,times=always")
    outcome = shell.run("upload", make_file(1_000_000), "bucket/key", "--parts", "2")
    assert outcome.code == 77
    why = rf"Why:   This computer's clock is (1 h 0 min|59 min 5\d s) {direction} 127"
    assert re.search(why, outcome.err), outcome.err
    assert re.match(r"Next:  Set the clock, then run: obsup upload", outcome.err.splitlines()[2])


def test_json_has_the_error_of_the_store(shell: Shell, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Status, code, message and ids of the response; the request id is that of the sandbox's log."""
    make_file(1000)
    sandbox.add_fault("error=403:AccessDenied,op=put,times=always")
    outcome = shell.run("upload", "bigfile", "bucket/key", "--json")
    assert outcome.code == 77
    fields = outcome.json
    assert (fields["httpStatus"], fields["errorCode"]) == (403, "AccessDenied")
    assert fields["errorMessage"]
    assert fields["requestId"] in outcome.err


def test_an_upload_needs_no_thread(shell: Shell, make_file: MakeFile) -> None:
    """Each thread needs a stack of 1 GiB, which the limit does not allow: the main thread sends the parts."""
    make_file(600_000)
    limits = "ulimit -s 1048576; ulimit -v 1500000"
    outcome = shell.run_script(f"{limits}; obsup upload bigfile bucket/key --parts 5 -j 5 || exit $?")
    assert (outcome.code, outcome.err) == (0, "")


def test_a_missing_package_is_no_bug(shell: Shell) -> None:
    """The installation is incomplete: exit 78, and its name."""
    program = "import sys; sys.modules['defusedxml'] = None; from obsup.cli.main import main; main()"
    script = f'exec {sys.executable} -c "{program}" uploads bucket'
    outcome = shell.run_script(script)
    assert outcome.code == 78, outcome.err
    assert outcome.err.startswith("Error: the Python package defusedxml is missing.")

"""Parts sent by other processes: each once, even if one is killed, and without sending secrets to them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Shell
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

MakeFile = Callable[..., Path]
SIZE = 2_000_000
PARTS = 10


@pytest.fixture
def source(make_file: MakeFile) -> Path:
    """A file of ten parts."""
    return make_file(SIZE)


def stored(sandbox: Sandbox) -> dict[int, int]:
    """Return how often each part was stored."""
    numbers = (
        request.part_number
        for request in sandbox.requests
        if request.operation == "part" and request.status == 200
    )
    return dict(Counter(number for number in numbers if number is not None))


def children(pid: int) -> list[int]:
    """Return the worker processes of *pid*."""
    pids = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            status = (path / "stat").read_text().rpartition(")")[2].split()
            command = (path / "cmdline").read_text()
        except OSError:
            continue
        if int(status[1]) == pid and "serve_calls" in command:
            pids.append(int(path.name))
    return pids


def check_object(sandbox: Sandbox, source: Path) -> None:
    """Check that the object is the file, and that no upload is left."""
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert sandbox.uploads() == []


def test_processes_send_each_part_once(shell: Shell, sandbox: Sandbox, source: Path) -> None:
    """The driver plans, writes the checkpoint, reports progress per part, and completes the upload."""
    arguments = ("upload", source, "bucket/key", "--parts", "10", "--executor", "processes", "-j", "2")
    outcome = shell.run(*arguments, "--json", "--progress", "json")
    assert (outcome.code, outcome.json["sentParts"]) == (0, PARTS), outcome.err
    assert stored(sandbox) == dict.fromkeys(range(1, PARTS + 1), 1)
    check_object(sandbox, source)
    done = [int(count) for count in re.findall(r'"partsDone": (\d+)', outcome.err)]
    assert done == sorted(done)
    assert done[-1] == PARTS


@pytest.mark.parametrize("options", ["--executor processes", "--executor processes --presign"])
def test_the_requests_of_workers_are_in_the_log_and_the_receipt(
    shell: Shell, sandbox: Sandbox, source: Path, options: str
) -> None:
    """The driver writes them with status, request id, attempt, and the host that sent them."""
    sandbox.add_fault("error=503:SlowDown,op=part,part=3")
    arguments = f"bucket/key --parts 10 -j 2 {options} -v --log-file run.log --receipt receipt.json".split()
    outcome = shell.run("upload", source, *arguments)
    assert outcome.code == 0, outcome.err
    line = r"UploadPart part=(\d+) status=(\d+) request=(\w+) .*attempt=(\d) host=" + socket.gethostname()
    for log in (outcome.err, (shell.folder / "run.log").read_text()):
        requests = re.findall(line, log)
        assert sorted(int(part) for part, status, *_ in requests if status == "200") == list(
            range(1, PARTS + 1)
        )
        assert [(status, attempt) for part, status, _, attempt in requests if part == "3"] == [
            ("503", "1"),
            ("200", "2"),
        ]
        assert "retry: part 3, attempt 1 failed: " in log
        assert "Signature" not in log
    stored_by = {part: request for part, status, request, _ in requests if status == "200"}
    receipt = json.loads((shell.folder / "receipt.json").read_text())
    assert {str(part["number"]): part["requestId"] for part in receipt["parts"]} == stored_by


def test_the_part_of_a_killed_process_is_sent_by_another(
    shell: Shell, sandbox: Sandbox, source: Path
) -> None:
    """Only parts in flight are sent again; the upload does not fail."""
    sandbox.add_fault("slow=400000,op=part,times=always")
    arguments = ("upload", source, "bucket/key", "--parts", "10", "--executor", "processes", "-j", "2", "-v")
    with shell.begin(*arguments) as process:
        wait_for(lambda: len(stored(sandbox)) >= 2)
        os.kill(children(process.pid)[0], signal.SIGKILL)
        sandbox.clear_faults()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert set(stored(sandbox)) == set(range(1, PARTS + 1))
    assert sum(stored(sandbox).values()) <= PARTS + 4
    check_object(sandbox, source)


@pytest.mark.parametrize("options", [(), ("--presign",)], ids=["with keys", "presigned"])
def test_retries_of_a_worker_are_reported(
    shell: Shell, sandbox: Sandbox, source: Path, options: tuple[str, ...]
) -> None:
    """The driver logs them with -v and reduces the parts in flight, as for its own retries."""
    sandbox.add_fault("error=503:SlowDown,op=part,part=3,times=2")
    arguments = ("upload", source, "bucket/key", "--parts", "10", "--executor", "processes", "-j", "2")
    outcome = shell.run(*arguments, "-v", *options)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("503 SlowDown") == 2
    check_object(sandbox, source)


def test_workers_end_with_their_driver(shell: Shell, sandbox: Sandbox, source: Path) -> None:
    """SIGKILL of the driver leaves no process behind, and the same command resumes."""
    sandbox.add_fault("slow=100000,op=part,times=always")
    arguments = ("upload", source, "bucket/key", "--parts", "10", "--executor", "processes", "-j", "2")
    with shell.begin(*arguments) as process:
        wait_for(lambda: any(r.operation == "initiate" for r in sandbox.requests))
        wait_for(lambda: len(children(process.pid)) == 2)
        workers = children(process.pid)
        process.kill()
        process.communicate()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    sandbox.clear_faults()
    assert shell.run(*arguments).code == 0
    check_object(sandbox, source)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("--executor proceses", 2, "unknown executor 'proceses'"),
        (
            "--executor dask:tcp://127.0.0.1:9 --connect-timeout 1s",
            75,
            "the Dask scheduler at tcp://127.0.0.1:9 does not respond",
        ),
        (
            "--executor processes --presign --content-md5",
            2,
            "--presign cannot be combined with --content-md5",
        ),
        ("--executor processes --proxy http://me:SECRET@127.0.0.1:9", 2, "--proxy contains a password"),
    ],
)
def test_invalid_executors_and_combinations(
    shell: Shell, sandbox: Sandbox, source: Path, arguments: str, code: int, message: str
) -> None:
    """Invalid options fail before any request."""
    outcome = shell.run("upload", source, "bucket/key", "--parts", "2", *arguments.split())
    assert (outcome.code, message in outcome.err) == (code, True), outcome.err
    assert code != 2 or sandbox.requests == []

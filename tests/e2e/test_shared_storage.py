"""Two machines run one upload of a file on shared storage: only one of them sends."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.batch import wait_for_requests
from tests.support.matrix import mostly_slow
from tests.support.shell import Shell

PARTS = 8
UPLOAD = ("upload", "bigfile", "bucket/key", "--parts", str(PARTS), "-j", "2")


def elsewhere(shell: Shell, name: str) -> dict[str, str]:
    """Return the environment of the machine *name*, which has its own state directory."""
    return {"OBSUP_STATE_DIR": str(shell.folder / name)}


def sent(sandbox: Sandbox) -> Counter[int | None]:
    """Return how often each part was stored."""
    return Counter(r.part_number for r in sandbox.requests if r.operation == "part" and r.status == 200)


@pytest.mark.parametrize("place", mostly_slow(["beside", "named"], "beside"))
def test_another_machine_with_the_same_checkpoint_waits_or_ends(
    shell: Shell, sandbox: Sandbox, make_file: Callable[..., Path], place: str
) -> None:
    """As --if-running says; `status` shows that the upload runs. After a kill, the other machine resumes it.

    Also with --restart, which removes a checkpoint in the middle of the run.
    """
    source = make_file(1_600_000)
    other, names = elsewhere(shell, "b"), {"bigfile"}
    run = UPLOAD if place == "beside" else (*UPLOAD, "--checkpoint", "shared.json")
    restart: tuple[str, ...] = ()
    if place == "named":
        restart = ("--restart",)
        assert shell.run("init", *run[1:5], *run[7:], **other).code == 0
    sandbox.add_fault("stall=60,op=part,part=3-8,times=always")
    with shell.begin(*run, *restart, **elsewhere(shell, "a")) as process:
        try:
            wait_for_requests(sandbox, "part", 2)
            before = len(sandbox.requests)
            busy = shell.run(*run, **other)
            assert (busy.code, "It runs on another machine" in busy.err) == (75, True), busy.err
            assert shell.run(*run, "--if-running", "skip", **other).code == 0
            status = shell.run("status", "bigfile", *run[7:], "--json", **other)
            assert [one["live"] for one in status.json["uploads"]] == [True]
            assert shell.run("abort", "bigfile", "bucket/key", *run[7:], **other).code == 75
            assert not {r.operation for r in list(sandbox.requests)[before:]} - {"part"}
        finally:
            process.send_signal(signal.SIGKILL)
    sandbox.clear_faults()
    outcome = shell.run(*run, **other)
    assert outcome.code == 0, outcome.err
    assert sent(sandbox) == Counter(range(1, PARTS + 1))
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert {path.name for path in shell.folder.iterdir() if path.is_file()} == names


@pytest.mark.parametrize("content", [None, b"of another program"], ids=["directory", "other file"])
def test_a_lock_that_cannot_be_taken_ends_no_upload(
    shell: Shell, sandbox: Sandbox, make_file: Callable[..., Path], content: bytes | None
) -> None:
    """As on storage without locks. A file of another program with its name is kept."""
    make_file(1_600_000)
    lock = shell.folder / "state.json.upload.lock"
    if content is None:
        lock.mkdir()
    else:
        lock.write_bytes(content)
    outcome = shell.run(*UPLOAD, "--checkpoint", "state.json")
    assert outcome.code == 0, outcome.err
    assert sent(sandbox) == Counter(range(1, PARTS + 1))
    assert lock.is_dir() if content is None else lock.read_bytes() == content

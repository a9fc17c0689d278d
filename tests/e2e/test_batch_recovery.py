"""Interruptions of a batch: no file is lost or counted twice, and the next run completes it."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from obsup.local.state.lock import UploadLock
from obsup.model import Target
from obsup.sandbox.sandbox import Sandbox
from obsup.text import shell_line
from tests.support.batch import (
    LARGE_SIZE,
    assert_stored,
    count_operations,
    json_results,
    make_files,
    stored_keys,
    wait_for_requests,
)
from tests.support.shell import Outcome, Shell
from tests.support.upload_runs import KILL_AT_STEP, SEED
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow


def test_sigkill_at_random_moments(shell: Shell, sandbox: Sandbox) -> None:
    """After six kills and a complete run all objects are right; only files in flight were sent twice."""
    names = [f"tree/{number % 20}/{number:04}" for number in range(2000)]
    make_files(shell, *names)
    make_files(shell, "tree/large", size=LARGE_SIZE)
    arguments = ("upload", "-r", "tree", "bucket/p/", "-j", "4")
    rng = random.Random(SEED)
    kills = 6
    for kill in range(1, kills + 1):
        with shell.begin(*arguments) as process:
            wait_for_requests(sandbox, "put", min(1900, 250 * kill))
            time.sleep(rng.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
    outcome = shell.run(*arguments, "--json")
    assert outcome.code == 0, f"SEED={SEED}\n{outcome.err}"
    files, batch = json_results(outcome)
    assert set(files) == {*names, "tree/large"}
    assert (batch["files"], batch["sent"] + batch["skipped"]) == (2001, 2001)
    assert_stored(shell, sandbox, "p/", [*names, "tree/large"])
    assert stored_keys(sandbox) == sorted(f"p/{name}" for name in [*names, "tree/large"])
    puts = Counter(r.key for r in sandbox.requests if r.operation == "put" and r.status == 200)
    # At each kill, the responses of up to four files in flight may be lost.
    assert sum(count - 1 for count in puts.values()) <= 4 * kills, f"SEED={SEED}"
    assert sandbox.uploads() == []


def test_a_missing_a_growing_and_an_unreadable_file(shell: Shell, sandbox: Sandbox) -> None:
    """Each is reported and all others are sent; once they are fixed, a second run completes the batch."""
    names = [f"tree/{number:02}" for number in range(40)]
    make_files(shell, *names)
    make_files(shell, "tree/grows", size=LARGE_SIZE)
    (shell.folder / "tree/vanishes").symlink_to("nothing")
    (shell.folder / "tree/unreadable").symlink_to("/proc/self/mem")
    sandbox.add_fault("slow=8M,op=part,times=always")
    arguments = ("upload", "-r", "tree/", "bucket/p/", "-j", "2", "--json")
    with shell.begin(*arguments) as process:
        wait_for(lambda: "initiate" in count_operations(sandbox))
        with (shell.folder / "tree/grows").open("ab") as file:
            file.write(b"more")
        out, err = process.communicate(timeout=60)
    files = {result["source"]: result for result in map(json.loads, out.splitlines()[:-1])}
    batch = json.loads(out.splitlines()[-1])
    assert process.returncode in (65, 74), err
    assert files["tree/grows"]["reason"] == "source-changed"
    assert files["tree/vanishes"]["reason"] == "source"
    assert files["tree/unreadable"]["status"] != "incomplete"
    assert sum(result["status"] == "completed" for result in files.values()) >= 40
    assert batch["files"] == len(files)
    assert not sandbox.object_path("bucket", "p/grows").exists()
    sandbox.clear_faults()
    for name in ("vanishes", "unreadable"):
        (shell.folder / "tree" / name).unlink()
    outcome = shell.run("upload", "-r", "tree/", "bucket/p/", "--on-change", "resend")
    assert outcome.code == 0, outcome.err
    for name in [*names, "tree/grows"]:
        stored = sandbox.object_path("bucket", f"p/{name.removeprefix('tree/')}")
        assert stored.read_bytes() == (shell.folder / name).read_bytes()


def test_files_that_change_between_the_walk_and_their_upload(shell: Shell, sandbox: Sandbox) -> None:
    """One is removed, one grows, one becomes a pipe, one a directory, and a large one is removed between its parts.

    Each object is one version of its file, the others are reported; once they are fixed, a second run completes it.
    """
    names = [f"tree/{number:02}" for number in range(40)]
    make_files(shell, *names)
    make_files(shell, "tree/large", size=3 * LARGE_SIZE)
    sandbox.add_fault("delay=0.05,op=put,times=always")
    sandbox.add_fault("delay=0.3,op=part,times=always")
    arguments = ("upload", "--from-list", "list", "bucket/p/", "-j", "2", "--json")
    (shell.folder / "list").write_text("\n".join(["tree/large", *names]))
    gone, grown, pipe, folder = (shell.folder / name for name in names[-4:])
    with shell.begin(*arguments) as process:
        wait_for_requests(sandbox, "put", 2)
        wait_for_requests(sandbox, "part", 1)
        for path in (gone, pipe, folder, shell.folder / "tree/large"):
            path.unlink()
        with grown.open("ab") as file:
            file.write(b"more")
        os.mkfifo(pipe)
        folder.mkdir()
        out, err = process.communicate(timeout=60)
    *lines, batch = map(json.loads, out.splitlines())
    files = {result["source"]: result for result in lines}
    assert process.returncode in (65, 66, 74), err
    assert len(files) == batch["files"] == 41
    assert {name for name, result in files.items() if result["status"] != "completed"} == {
        names[-4],
        names[-2],
        names[-1],
        "tree/large",
    }
    assert files[names[-4]]["exitCode"] == files[names[-2]]["exitCode"] == 66
    assert_stored(shell, sandbox, "p/", [*names[:-4], names[-3]])
    sandbox.clear_faults()
    pipe.unlink()
    folder.rmdir()
    make_files(shell, names[-4], names[-2], names[-1])
    make_files(shell, "tree/large", size=3 * LARGE_SIZE)
    outcome = shell.run(*arguments, "--restart")
    assert outcome.code == 0, outcome.err
    assert_stored(shell, sandbox, "p/", [*names, "tree/large"])
    assert sandbox.uploads() == []


FAULTS = (
    "error=503:SlowDown,op=put,times=5",
    "error=500:InternalError,op=put,times=10,after=3",
    "drop-request=10,op=put,times=5,after=10",
    "reset=0,op=put,times=5,after=20",
    "drop-answer,op=put,times=8,after=30",
    "truncate-answer,op=put,times=5,after=50",
    "flip-bit,op=put,times=2,after=70",
    "drop-answer,op=complete,times=1",
    "drop-answer,op=initiate,times=1",
    "error-in-200=InternalError,op=complete,times=1",
    "error=500:InternalError,op=part,times=3",
    "error=500:InternalError,op=list,times=1",
)


def test_faults_of_the_store_lose_no_file_and_count_none_twice(shell: Shell, sandbox: Sandbox) -> None:
    """With all faults in one batch it still succeeds; each file is stored and reported once."""
    names = [f"tree/{number % 7}/{number:03}" for number in range(200)]
    large = [f"tree/large{number}" for number in range(3)]
    make_files(shell, *names)
    make_files(shell, *large, size=LARGE_SIZE)
    for rule in FAULTS:
        sandbox.add_fault(rule)
    outcome = shell.run("upload", "-r", "tree", "bucket/p/", "--json", "-j", "8")
    assert outcome.code == 0, outcome.err
    files, batch = json_results(outcome)
    assert set(files) == {*names, *large}
    assert (batch["files"], batch["failed"]) == (203, 0)
    assert_stored(shell, sandbox, "p/", [*names, *large])
    assert sandbox.uploads() == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_same_command_continues_after_a_signal(
    number: signal.Signals, code: int, shell: Shell, sandbox: Sandbox
) -> None:
    """Files in the journal are not sent again."""
    names = [f"tree/{number:03}" for number in range(300)]
    make_files(shell, *names)
    arguments = ("upload", "-r", "tree", "bucket/p/", "-j", "2")
    sandbox.add_fault("delay=0.02,op=put,times=always")
    with shell.begin(*arguments) as process:
        wait_for_requests(sandbox, "put", 20)
        process.send_signal(number)
        _out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "obsup upload -r tree bucket/p/ -j 2" in err
    sent = count_operations(sandbox)["put"]
    assert sent < 300
    sandbox.clear_faults()
    assert shell.run(*arguments).code == 0
    assert count_operations(sandbox)["put"] == 300
    assert_stored(shell, sandbox, "p/", names)


def test_a_deadline_ends_the_batch(shell: Shell, sandbox: Sandbox) -> None:
    """Exit 75; some files are sent."""
    make_files(shell, *(f"tree/{number:03}" for number in range(300)))
    sandbox.add_fault("delay=0.05,op=put,times=always")
    outcome = shell.run("upload", "-r", "tree", "bucket/p/", "-j", "1", "--max-time", "1s")
    assert outcome.code == 75
    assert 0 < count_operations(sandbox)["put"] < 300


def test_a_deadline_before_anything_is_stored(shell: Shell, sandbox: Sandbox) -> None:
    """The same command would get no further, so the next step has a longer time; not if a part was stored."""
    make_files(shell, "tree/a", size=LARGE_SIZE)
    command = ("-r", "tree", "bucket/p/", "--json", "--max-time")
    sandbox.add_fault("delay=60,op=part,part=2,times=always")
    stored = shell.run("upload", *command, "2s")
    batch = json_results(stored)[1]
    assert (stored.code, batch["sent"], batch["sentParts"]) == (75, 0, 1), stored.err
    assert batch["sentBytes"] > 0
    assert batch["resumeCommand"].endswith("--max-time 2s")
    again = shell.run("upload", *command, "0.5s")
    assert (again.code, json_results(again)[1]["sentParts"]) == (75, 0), again.err
    assert again.err.endswith(": obsup upload -r tree bucket/p/ --json --max-time 1s\n")
    sandbox.add_fault("delay=60,op=head,times=always")
    verified = shell.run("verify", *command, "0.5s")
    assert (verified.code, verified.err.endswith("--json --max-time 1s\n")) == (75, True), verified.err


def test_two_batches_at_the_same_time(shell: Shell, sandbox: Sandbox) -> None:
    """The second run fails, waits or exits 0 as --if-running says; other files may go to the same prefix."""
    make_files(shell, *(f"tree/{number:03}" for number in range(100)))
    make_files(shell, "other/x")
    arguments = ("upload", "-r", "tree", "bucket/p/", "-j", "1")
    sandbox.add_fault("delay=0.5,op=put,key=p/tree*,times=always")
    with shell.begin(*arguments) as process:
        wait_for_requests(sandbox, "put", 3)
        assert shell.run(*arguments).code == 75
        assert shell.run(*arguments, "--if-running", "skip").code == 0
        assert shell.run("upload", "-r", "other", "bucket/p/").code == 0
        assert process.poll() is None
        sandbox.clear_faults()
        assert shell.run(*arguments, "--if-running", "wait").code == 0
        assert process.wait(timeout=60) == 0
    assert count_operations(sandbox)["put"] == 101


def test_no_overwrite_replaces_no_object(shell: Shell, sandbox: Sandbox) -> None:
    """A foreign object is kept and reported; our own, whose response was lost, is recognized."""
    make_files(shell, "tree/a", "tree/b")
    arguments = ("upload", "-r", "tree/", "s3://bucket/p/", "--region", "us-east-1", "--no-overwrite")
    assert shell.run(*arguments, "--no-checkpoint").code == 0
    assert shell.run(*arguments, "--no-checkpoint").code == 0
    sandbox.object_path("bucket", "p/a").write_bytes(b"foreign")
    outcome = shell.run(*arguments, "--no-checkpoint")
    assert outcome.code == 69
    assert "Failed: a:" in outcome.err
    assert sandbox.object_path("bucket", "p/a").read_bytes() == b"foreign"


def test_a_missing_bucket_is_reported_first(shell: Shell, sandbox: Sandbox) -> None:
    """Nothing is sent."""
    make_files(shell, *(f"tree/{number:03}" for number in range(100)))
    with Sandbox(buckets=["only"]) as strict:
        outcome = Shell.against(strict, shell.folder).run("upload", "-r", "tree", "bucket/p/")
        assert outcome.code == 69
        assert "NoSuchBucket" in outcome.err
        assert count_operations(strict)["put"] == 0


def test_credentials_without_permission_to_list(shell: Shell, sandbox: Sandbox) -> None:
    """The journal alone decides, and a note says so."""
    make_files(shell, "tree/a", "tree/b")
    arguments = ("upload", "-r", "tree", "bucket/p/")
    sandbox.add_fault("error=403:AccessDenied,op=list,times=always")
    for _run in range(2):
        outcome = shell.run(*arguments)
        assert outcome.code == 0
        assert "cannot be listed" in outcome.err
    assert count_operations(sandbox)["put"] == 2


def test_large_and_small_files_are_sent_concurrently(shell: Shell, sandbox: Sandbox) -> None:
    """Small files are stored while the parts of a large one are in flight."""
    make_files(shell, *(f"tree/small/{number:03}" for number in range(100)))
    make_files(shell, "tree/large", size=8 * LARGE_SIZE)
    sandbox.add_fault("delay=0.02,times=always")
    assert shell.run("upload", "-r", "tree", "bucket/p/", "-j", "4").code == 0
    order = [r.operation for r in sandbox.requests if r.operation in ("put", "part")]
    first, last = order.index("part"), len(order) - 1 - order[::-1].index("part")
    assert "put" in order[first:last]


def test_the_journal_is_private_and_has_no_secret(shell: Shell, sandbox: Sandbox, tmp_path: Path) -> None:
    """Only its owner can read it."""
    make_files(shell, *(f"tree/{number:03}" for number in range(10)))
    journal = tmp_path / "kept.journal"
    assert shell.run("upload", "-r", "tree", "bucket/p/", "--checkpoint", journal).code == 0
    assert journal.stat().st_mode & 0o777 == 0o600
    assert len(journal.read_text().splitlines()) == 11
    assert sandbox.secret_key not in journal.read_text()


def test_a_file_that_another_obsup_is_uploading(shell: Shell, sandbox: Sandbox) -> None:
    """It fails, or is skipped with --if-running skip; the others are sent."""
    make_files(shell, "tree/a", "tree/held")
    held = Target("obs", sandbox.endpoint, "bucket", "p/tree/held")
    arguments = ("upload", "-r", "tree", "bucket/p/")
    with UploadLock(held):
        outcome = shell.run(*arguments)
        assert (outcome.code, "another obsup is at work on bucket/p/tree/held" in outcome.err) == (75, True)
        assert stored_keys(sandbox) == ["p/tree/a"]
        assert shell.run(*arguments, "--if-running", "skip").code == 0
    assert shell.run(*arguments).code == 0
    assert_stored(shell, sandbox, "p/", ["tree/a", "tree/held"])
    assert count_operations(sandbox)["put"] == 2


def test_a_large_file_with_options_is_sent_once_wherever_the_batch_is_killed(
    shell: Shell, sandbox: Sandbox
) -> None:
    """Before each of the last steps on disk: after Complete, its line in the journal, the removal of its checkpoint."""
    make_files(shell, "tree/large", size=300_000)
    options = ("--part-size", "100K", "-j", "1", "--executor", "inline", "--content-type", "text/x-large")

    def run(number: int, kill_at: int) -> Outcome:
        words = ["upload", "tree/", f"bucket/p{number}/", "-r", *options]
        return shell.run_script(shell_line([sys.executable, KILL_AT_STEP, str(kill_at), *words]))

    run(10, 0)  # the first run also creates folders
    steps = int(run(0, 0).err.rpartition("steps: ")[2])
    for number in range(1, 9):
        killed = run(number, steps + 1 - number)
        assert killed.code != 0
        again = run(number, 0)
        assert again.code == 0, again.err
        requests = [one for one in sandbox.requests if one.key == f"p{number}/large"]
        counts = Counter(
            one.operation for one in requests if one.operation in ("initiate", "part", "complete")
        )
        assert counts == {"initiate": 1, "part": 3, "complete": 1}, number
        assert [path.name for path in (shell.folder / "tree").iterdir()] == ["large"]

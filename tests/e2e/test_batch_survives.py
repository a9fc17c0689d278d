"""A batch outlives what befalls it: not one file is lost, none is counted twice, and the next run ends it."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from obsup.local.state.lock import UploadLock, lock_folder, lock_path
from obsup.model import Target
from obsup.sandbox.sandbox import Sandbox
from tests.e2e.test_batch import LARGE, check_stored, keys, make, objects, operations
from tests.support.shell import Shell
from tests.support.waiting import wait_for

SEED = int(os.environ.get("OBSUP_TEST_SEED", "9"))


def wait_for_puts(sandbox: Sandbox, count: int) -> None:
    """Return once so many objects have arrived in one request each."""
    wait_for(lambda: sum(r.operation == "put" and r.status == 200 for r in list(sandbox.requests)) >= count)


@pytest.mark.slow
def test_kill_nine_at_random_moments_over_two_thousand_files(shell: Shell, sandbox: Sandbox) -> None:
    """Killed six times, then run to its end: every object is its file, and only what was in flight went twice."""
    names = [f"tree/{number % 20}/{number:04}" for number in range(2000)]
    make(shell, *names)
    make(shell, "tree/large", size=LARGE)
    words = ("upload", "-r", "tree", "bucket/p/", "-j", "4")
    chance = random.Random(SEED)
    kills = 6
    for kill in range(1, kills + 1):
        with shell.begin(*words) as process:
            wait_for_puts(sandbox, min(1900, 250 * kill))
            time.sleep(chance.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
    outcome = shell.run(*words, "--json")
    assert outcome.code == 0, f"SEED={SEED}\n{outcome.err}"
    files, batch = objects(outcome)
    assert set(files) == {*names, "tree/large"}
    assert (batch["files"], batch["sent"] + batch["skipped"]) == (2001, 2001)
    check_stored(shell, sandbox, "p/", [*names, "tree/large"])
    assert keys(sandbox) == sorted(f"p/{name}" for name in [*names, "tree/large"])
    puts = Counter(r.key for r in sandbox.requests if r.operation == "put" and r.status == 200)
    # Of those in flight at each kill, four at once, the store may have taken what nobody heard of.
    assert sum(count - 1 for count in puts.values()) <= 4 * kills, f"SEED={SEED}"
    assert sandbox.uploads() == []


def test_a_file_that_vanishes_one_that_grows_and_one_that_cannot_be_read(
    shell: Shell, sandbox: Sandbox
) -> None:
    """Each is named with its reason; every other file is sent; put right, the same command ends it."""
    names = [f"tree/{number:02}" for number in range(40)]
    make(shell, *names)
    make(shell, "tree/grows", size=LARGE)
    (shell.folder / "tree/vanishes").symlink_to("nothing")
    (shell.folder / "tree/unreadable").symlink_to("/proc/self/mem")
    sandbox.add_fault("slow=8M,op=part,times=always")
    words = ("upload", "-r", "tree/", "bucket/p/", "-j", "2", "--json")
    with shell.begin(*words) as process:
        wait_for(lambda: "initiate" in operations(sandbox))
        with (shell.folder / "tree/grows").open("ab") as file:
            file.write(b"more")
        out, err = process.communicate(timeout=60)
    files = {one["source"]: one for one in map(json.loads, out.splitlines()[:-1])}
    batch = json.loads(out.splitlines()[-1])
    assert process.returncode in (65, 74), err
    assert files["tree/grows"]["reason"] == "source-changed"
    assert files["tree/vanishes"]["reason"] == "source"
    assert files["tree/unreadable"]["status"] != "incomplete"
    assert sum(one["status"] == "completed" for one in files.values()) >= 40
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


def test_what_becomes_of_files_between_the_walk_and_their_turn(shell: Shell, sandbox: Sandbox) -> None:
    """One vanishes, one grows, one becomes a pipe, one a folder, and a large one vanishes in the middle of its parts.

    What is sent is a file as it was at one moment; the rest is named with its reason; put right, a second run ends it.
    """
    names = [f"tree/{number:02}" for number in range(40)]
    make(shell, *names)
    make(shell, "tree/large", size=3 * LARGE)
    sandbox.add_fault("delay=0.05,op=put,times=always")
    sandbox.add_fault("delay=0.3,op=part,times=always")
    words = ("upload", "--from-list", "list", "bucket/p/", "-j", "2", "--json")
    (shell.folder / "list").write_text("\n".join(["tree/large", *names]))
    gone, grown, pipe, folder = (shell.folder / name for name in names[-4:])
    with shell.begin(*words) as process:
        wait_for_puts(sandbox, 2)
        wait_for_parts(sandbox, 1)
        for path in (gone, pipe, folder, shell.folder / "tree/large"):
            path.unlink()
        with grown.open("ab") as file:
            file.write(b"more")
        os.mkfifo(pipe)
        folder.mkdir()
        out, err = process.communicate(timeout=60)
    *lines, batch = map(json.loads, out.splitlines())
    files = {one["source"]: one for one in lines}
    assert process.returncode in (65, 66, 74), err
    assert len(files) == batch["files"] == 41
    assert {name for name, one in files.items() if one["status"] != "completed"} == {
        names[-4],
        names[-2],
        names[-1],
        "tree/large",
    }
    assert files[names[-4]]["exitCode"] == files[names[-2]]["exitCode"] == 66
    check_stored(shell, sandbox, "p/", [*names[:-4], names[-3]])
    sandbox.clear_faults()
    pipe.unlink()
    folder.rmdir()
    make(shell, names[-4], names[-2], names[-1])
    make(shell, "tree/large", size=3 * LARGE)
    outcome = shell.run(*words, "--restart")
    assert outcome.code == 0, outcome.err
    check_stored(shell, sandbox, "p/", [*names, "tree/large"])
    assert sandbox.uploads() == []


def wait_for_parts(sandbox: Sandbox, count: int) -> None:
    """Return once so many parts have arrived."""
    wait_for(lambda: sum(r.operation == "part" and r.status == 200 for r in list(sandbox.requests)) >= count)


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


def test_the_store_s_faults_lose_no_file_and_count_none_twice(shell: Shell, sandbox: Sandbox) -> None:
    """All of them in one batch: it ends well by itself, each file in place and told of once."""
    names = [f"tree/{number % 7}/{number:03}" for number in range(200)]
    large = [f"tree/large{number}" for number in range(3)]
    make(shell, *names)
    make(shell, *large, size=LARGE)
    for rule in FAULTS:
        sandbox.add_fault(rule)
    outcome = shell.run("upload", "-r", "tree", "bucket/p/", "--json", "-j", "8")
    assert outcome.code == 0, outcome.err
    files, batch = objects(outcome)
    assert set(files) == {*names, *large}
    assert (batch["files"], batch["failed"]) == (203, 0)
    check_stored(shell, sandbox, "p/", [*names, *large])
    assert sandbox.uploads() == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_in_order_and_the_same_command_goes_on(
    number: signal.Signals, code: int, shell: Shell, sandbox: Sandbox
) -> None:
    """What is proved is in the journal, and is not sent again."""
    names = [f"tree/{number:03}" for number in range(300)]
    make(shell, *names)
    words = ("upload", "-r", "tree", "bucket/p/", "-j", "2")
    sandbox.add_fault("delay=0.02,op=put,times=always")
    with shell.begin(*words) as process:
        wait_for_puts(sandbox, 20)
        process.send_signal(number)
        _out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "obsup upload -r tree bucket/p/ -j 2" in err
    sent = operations(sandbox)["put"]
    assert sent < 300
    sandbox.clear_faults()
    assert shell.run(*words).code == 0
    assert operations(sandbox)["put"] == 300
    check_stored(shell, sandbox, "p/", names)


def test_a_deadline_is_kept(shell: Shell, sandbox: Sandbox) -> None:
    """Exit 75: run again."""
    make(shell, *(f"tree/{number:03}" for number in range(300)))
    sandbox.add_fault("delay=0.05,op=put,times=always")
    outcome = shell.run("upload", "-r", "tree", "bucket/p/", "-j", "1", "--max-time", "1s")
    assert outcome.code == 75
    assert 0 < operations(sandbox)["put"] < 300


def test_two_at_once(shell: Shell, sandbox: Sandbox) -> None:
    """The second says so, or waits, or lets it be; other files to the same prefix are none of its business."""
    make(shell, *(f"tree/{number:03}" for number in range(100)))
    make(shell, "other/x")
    words = ("upload", "-r", "tree", "bucket/p/", "-j", "1")
    sandbox.add_fault("delay=0.1,op=put,key=p/tree*,times=always")
    with shell.begin(*words) as process:
        wait_for_puts(sandbox, 3)
        assert shell.run(*words).code == 75
        assert shell.run(*words, "--if-running", "skip").code == 0
        assert shell.run("upload", "-r", "other", "bucket/p/").code == 0
        assert process.poll() is None
        sandbox.clear_faults()
        assert shell.run(*words, "--if-running", "wait").code == 0
        assert process.wait(timeout=60) == 0
    assert operations(sandbox)["put"] == 101


def test_nothing_is_replaced_where_that_is_forbidden(shell: Shell, sandbox: Sandbox) -> None:
    """Another's object stays and is named; our own, of which nobody heard, is found to be ours."""
    make(shell, "tree/a", "tree/b")
    words = ("upload", "-r", "tree/", "s3://bucket/p/", "--region", "us-east-1", "--no-overwrite")
    assert shell.run(*words, "--no-checkpoint").code == 0
    assert shell.run(*words, "--no-checkpoint").code == 0
    sandbox.object_path("bucket", "p/a").write_bytes(b"somebody else's")
    outcome = shell.run(*words, "--no-checkpoint")
    assert outcome.code == 69
    assert "Failed: a:" in outcome.err
    assert sandbox.object_path("bucket", "p/a").read_bytes() == b"somebody else's"


def test_a_bucket_that_is_not_there_is_said_at_once(shell: Shell, sandbox: Sandbox) -> None:
    """A bucket that is not there is said before anything is sent."""
    make(shell, *(f"tree/{number:03}" for number in range(100)))
    with Sandbox(buckets=["only"]) as strict:
        outcome = Shell.against(strict, shell.folder).run("upload", "-r", "tree", "bucket/p/")
        assert outcome.code == 69
        assert "NoSuchBucket" in outcome.err
        assert operations(strict)["put"] == 0


def test_keys_that_may_write_and_not_list(shell: Shell, sandbox: Sandbox) -> None:
    """The journal is believed then, and that is said."""
    make(shell, "tree/a", "tree/b")
    words = ("upload", "-r", "tree", "bucket/p/")
    sandbox.add_fault("error=403:AccessDenied,op=list,times=always")
    for _run in range(2):
        outcome = shell.run(*words)
        assert outcome.code == 0
        assert "cannot be listed" in outcome.err
    assert operations(sandbox)["put"] == 2


def test_large_and_small_files_mingle(shell: Shell, sandbox: Sandbox) -> None:
    """Small files are stored while the parts of a large one are on their way, not before and not after."""
    make(shell, *(f"tree/small/{number:03}" for number in range(100)))
    make(shell, "tree/large", size=8 * LARGE)
    sandbox.add_fault("delay=0.02,times=always")
    assert shell.run("upload", "-r", "tree", "bucket/p/", "-j", "4").code == 0
    order = [r.operation for r in sandbox.requests if r.operation in ("put", "part")]
    first, last = order.index("part"), len(order) - 1 - order[::-1].index("part")
    assert "put" in order[first:last]


def test_the_journal_is_all_that_is_left(shell: Shell, sandbox: Sandbox, tmp_path: Path) -> None:
    """The state that a batch leaves is one journal, readable by its owner alone, without a secret."""
    make(shell, *(f"tree/{number:03}" for number in range(10)))
    journal = tmp_path / "kept.journal"
    assert shell.run("upload", "-r", "tree", "bucket/p/", "--checkpoint", journal).code == 0
    assert journal.stat().st_mode & 0o777 == 0o600
    assert len(journal.read_text().splitlines()) == 11
    assert sandbox.secret_key not in journal.read_text()


def test_a_file_that_another_obsup_holds_is_left_to_it(shell: Shell, sandbox: Sandbox) -> None:
    """The others are sent; with --if-running skip that is all there is to it. A lock that nobody holds is no lock."""
    make(shell, "tree/a", "tree/held", "tree/stale")
    held, stale = (Target("obs", sandbox.endpoint, "bucket", f"p/tree/{name}") for name in ("held", "stale"))
    Path(lock_path(str(lock_folder()), stale)).touch()
    words = ("upload", "-r", "tree", "bucket/p/")
    with UploadLock(held):
        outcome = shell.run(*words)
        assert (outcome.code, "another obsup is at work on bucket/p/tree/held" in outcome.err) == (75, True)
        assert keys(sandbox) == ["p/tree/a", "p/tree/stale"]
        assert shell.run(*words, "--if-running", "skip").code == 0
    assert shell.run(*words).code == 0
    check_stored(shell, sandbox, "p/", ["tree/a", "tree/held", "tree/stale"])
    assert operations(sandbox)["put"] == 3

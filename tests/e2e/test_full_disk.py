"""A disk that is full, or can only be read, at any moment: said in one line, and nothing is lost or called success."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import checkpoint_path
from obsup.local.state.journal import Journal, JournalEntry
from obsup.model import SourceStat, Target
from obsup.sandbox.sandbox import Sandbox
from tests.doubles.small_disk import KINDS, MOUNTED, Crowd, Limit, Tmpfs, ended
from tests.support.shell import Shell
from tests.support.upload_rig import PART
from tests.support.waiting import wait_for

PARTS = 5
DATA = random.Random(7).randbytes(PARTS * PART)
UPLOAD = ("upload", "bigfile", "bucket/key", "--part-size", "100K", "--executor", "inline")
HERE = {"OBSUP_STATE_DIR": "state"}
"""The state folder on the small disk as well."""


@pytest.fixture
def crowd(request: pytest.FixtureRequest, shell: Shell, tmp_path: Path) -> Iterator[Crowd]:
    """A source of five parts on a small disk, of the kind that the test asks for."""
    folder = tmp_path / "small"
    folder.mkdir()
    with (Tmpfs if request.param == "tmpfs" else Limit)(folder) as disk:
        (disk.seen / "bigfile").write_bytes(DATA)
        yield Crowd(disk, shell.environment)


on_any = pytest.mark.parametrize("crowd", KINDS, indirect=True)
on_mounted = pytest.mark.parametrize("crowd", MOUNTED, indirect=True)


def parts_since(sandbox: Sandbox, before: int) -> list[int | None]:
    """Return the parts that were sent since so many requests."""
    return [one.part_number for one in sandbox.requests[before:] if one.operation == "part"]


def check_stored(sandbox: Sandbox, crowd: Crowd, key: str = "key") -> None:
    """Assert that the object is the source, and that nothing is left of the upload: there, or here."""
    assert sandbox.object_path("bucket", key).read_bytes() == DATA
    assert sandbox.uploads() == []
    left = {name for name in crowd.files() if not name.startswith("state/uploads/")}
    assert left - {"bigfile", "filler"} == set()


def begin_and_fill(crowd: Crowd, sandbox: Sandbox, *words: str, after: int) -> subprocess.Popen[str]:
    """Start an upload, and fill the disk once part *after* is stored."""
    sandbox.add_fault("slow=300K,op=part,times=always")
    process = crowd.begin(*UPLOAD, *words, **HERE)
    wait_for(lambda: after in parts_since(sandbox, 0), process=process)
    crowd.disk.fill(process)
    return process


@on_any
@pytest.mark.parametrize("has_room_again", [False, True])
def test_full_from_the_beginning(crowd: Crowd, sandbox: Sandbox, has_room_again: bool) -> None:
    """Source and state folder: said once; the next run asks the store, and sends only what is missing."""
    crowd.disk.fill()
    sandbox.add_fault("error=403:AccessDenied,op=part,part=4,times=always")
    outcome = crowd.run(*UPLOAD, **HERE)
    assert outcome.code == 77, outcome.err
    assert outcome.err.count(crowd.disk.said) == 1
    assert outcome.err.count("going on without") == 1
    sandbox.clear_faults()
    if has_room_again:
        crowd.disk.free()
    before = len(sandbox.requests)
    again = crowd.run(*UPLOAD, **HERE)
    assert again.code == 0, again.err
    assert parts_since(sandbox, before) == [4, 5]
    check_stored(sandbox, crowd)


@on_mounted
def test_room_in_the_state_folder_alone(crowd: Crowd, sandbox: Sandbox) -> None:
    """The checkpoint is kept there, which is said; the next run finds it there."""
    crowd.disk.fill()
    sandbox.add_fault("error=403:AccessDenied,op=part,part=4,times=always")
    outcome = crowd.run(*UPLOAD)
    assert outcome.code == 77, outcome.err
    assert "it is kept as" in outcome.err
    sandbox.clear_faults()
    before = len(sandbox.requests)
    again = crowd.run(*UPLOAD)
    assert (again.code, again.err) == (0, "")
    assert parts_since(sandbox, before) == [4, 5]
    assert "uploads" not in [one.operation for one in sandbox.requests[before:]]
    check_stored(sandbox, crowd)


@on_any
@pytest.mark.parametrize("has_room_again", [False, True])
def test_full_in_the_middle(crowd: Crowd, sandbox: Sandbox, has_room_again: bool) -> None:
    """The checkpoint that is there stays, whole; what it does not tell, the store does."""
    sandbox.add_fault("error=403:AccessDenied,op=part,part=5,times=always")
    outcome = ended(begin_and_fill(crowd, sandbox, after=2))
    assert outcome.code == 77, outcome.err
    assert outcome.err.count(crowd.disk.said) == 1
    (path,) = crowd.disk.seen.glob(f"*{checkpoint_path.SUFFIX}")
    kept = checkpoints.load(path)
    assert kept is not None
    assert kept.upload.upload_id == sandbox.uploads()[0].upload_id
    sandbox.clear_faults()
    if has_room_again:
        crowd.disk.free()
    before = len(sandbox.requests)
    again = crowd.run(*UPLOAD, **HERE)
    assert again.code == 0, again.err
    assert parts_since(sandbox, before) == [5]
    check_stored(sandbox, crowd)


@on_any
def test_full_between_the_intention_and_the_upload_id(crowd: Crowd, sandbox: Sandbox) -> None:
    """The record knows no upload id, the store has parts of it: no second upload is begun."""
    sandbox.add_fault("delay=1,op=initiate")
    sandbox.add_fault("error=403:AccessDenied,op=part,part=4,times=always")
    process = crowd.begin(*UPLOAD, **HERE)
    wait_for(lambda: list(crowd.disk.seen.glob(f"*{checkpoint_path.SUFFIX}")), process=process)
    crowd.disk.fill(process)
    outcome = ended(process)
    assert outcome.code == 77, outcome.err
    sandbox.clear_faults()
    before = len(sandbox.requests)
    again = crowd.run(*UPLOAD, **HERE)
    assert again.code == 0, again.err
    assert parts_since(sandbox, before) == [4, 5]
    check_stored(sandbox, crowd)


@on_any
def test_full_at_the_end(crowd: Crowd, sandbox: Sandbox) -> None:
    """The object is proved: that is success, and the checkpoint goes."""
    outcome = ended(begin_and_fill(crowd, sandbox, after=PARTS))
    assert outcome.code == 0, outcome.err
    assert parts_since(sandbox, 0) == [1, 2, 3, 4, 5]
    check_stored(sandbox, crowd)


@on_any
def test_a_checkpoint_that_was_asked_for(crowd: Crowd, sandbox: Sandbox) -> None:
    """73 before anything is initiated; once there is room, the same command does it."""
    crowd.disk.fill()
    words = (*UPLOAD, "--checkpoint", "mine.json")
    outcome = crowd.run(*words)
    assert outcome.code == 73, outcome.err
    assert crowd.disk.said in outcome.err
    assert {one.operation for one in sandbox.requests} <= {"uploads"}
    crowd.disk.free()
    assert crowd.run(*words).code == 0
    check_stored(sandbox, crowd)


@on_any
def test_a_checkpoint_that_was_asked_for_and_cannot_be_written_any_more(
    crowd: Crowd, sandbox: Sandbox
) -> None:
    """What is under way is worth more: said, and the object is proved."""
    outcome = ended(begin_and_fill(crowd, sandbox, "--checkpoint", "mine.json", after=2))
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("going on without") == 1
    check_stored(sandbox, crowd)


@on_mounted
def test_a_source_that_can_only_be_read(crowd: Crowd, sandbox: Sandbox) -> None:
    """A snapshot, say: the checkpoint is in the state directory, and nobody need hear of it."""
    assert isinstance(crowd.disk, Tmpfs)
    crowd.disk.protect()
    sandbox.add_fault("error=403:AccessDenied,op=part,part=4,times=always")
    outcome = crowd.run(*UPLOAD)
    assert outcome.code == 77, outcome.err
    assert "Note" not in outcome.err
    sandbox.clear_faults()
    before = len(sandbox.requests)
    assert crowd.run(*UPLOAD).code == 0
    assert parts_since(sandbox, before) == [4, 5]
    check_stored(sandbox, crowd)


@on_mounted
def test_nothing_can_be_written_at_all(crowd: Crowd, sandbox: Sandbox) -> None:
    """But a lock in the temporary directory: a warning, and the next run asks the store."""
    assert isinstance(crowd.disk, Tmpfs)
    crowd.disk.protect()
    sandbox.add_fault("error=403:AccessDenied,op=part,part=4,times=always")
    outcome = crowd.run(*UPLOAD, **HERE, TMPDIR=str(crowd.disk.here.parent))
    assert outcome.code == 77, outcome.err
    assert outcome.err.count("Read-only file system") == 1
    sandbox.clear_faults()
    before = len(sandbox.requests)
    assert crowd.run(*UPLOAD, **HERE, TMPDIR=str(crowd.disk.here.parent)).code == 0
    assert parts_since(sandbox, before) == [4, 5]
    check_stored(sandbox, crowd)


@on_any
def test_the_receipt(crowd: Crowd, sandbox: Sandbox) -> None:
    """74, saying that the object is in place; an older receipt stays, and no half one."""
    (crowd.disk.seen / "receipt.json").write_text("older")
    crowd.disk.fill()
    words = (*UPLOAD, "--receipt", "receipt.json")
    outcome = crowd.run(*words)
    assert outcome.code == 74, outcome.err
    assert (
        f"the object is in place, but its receipt receipt.json cannot be written.\nWhy:   {crowd.disk.said}."
        in outcome.err
    )
    assert (crowd.disk.seen / "receipt.json").read_text() == "older"
    (crowd.disk.seen / "receipt.json").unlink()
    check_stored(sandbox, crowd)
    crowd.disk.free()
    assert crowd.run(*words).code == 0
    assert crowd.run("verify", "bigfile", "bucket/key", "--receipt", "receipt.json").code == 0


@on_any
def test_the_log(crowd: Crowd, sandbox: Sandbox) -> None:
    """Said once; the object is in place."""
    crowd.disk.fill()
    outcome = crowd.run(*UPLOAD, "--no-checkpoint", "--log-file", "run.log")
    assert outcome.code == 0, outcome.err
    assert (
        outcome.err
        == f"Note:  the log run.log cannot be written any more: {crowd.disk.said}; continuing without a log.\n"
    )
    assert (crowd.disk.seen / "run.log").read_text() == ""
    (crowd.disk.seen / "run.log").unlink()
    check_stored(sandbox, crowd)


@on_any
def test_the_log_of_a_failure(crowd: Crowd, sandbox: Sandbox) -> None:
    """The exit code is that of the work."""
    crowd.disk.fill()
    sandbox.add_fault("error=403:AccessDenied,times=always")
    outcome = crowd.run(*UPLOAD, "--no-checkpoint", "--log-file", "run.log")
    assert outcome.code == 77, outcome.err
    assert outcome.err.count(crowd.disk.said) == 1


@on_any
@pytest.mark.parametrize("named", [(), ("--checkpoint", "journal")])
def test_the_journal_of_a_batch(crowd: Crowd, sandbox: Sandbox, named: tuple[str, ...]) -> None:
    """Its own place: said once, all files are proved, and the next run asks the store. A place asked for: 73."""
    folder = crowd.disk.seen / "many"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}").write_bytes(bytes([number]) * 1000)
    crowd.disk.fill()
    words = ("upload", "-r", "many/", "bucket/many/", *named)
    outcome = crowd.run(*words, **HERE)
    assert outcome.err.count(crowd.disk.said) == 1
    if named:
        assert outcome.code == 73, outcome.err
        assert not sandbox.requests
        crowd.disk.free()
    assert (outcome if not named else crowd.run(*words, **HERE)).code == 0
    before = len(sandbox.requests)
    assert crowd.run(*words, **HERE).code == 0
    assert {one.operation for one in sandbox.requests[before:]} <= {"list", "head"}
    assert sandbox.object_path("bucket", "many/2").read_bytes() == bytes([2]) * 1000


@on_mounted
def test_the_index_of_a_long_journal(crowd: Crowd, sandbox: Sandbox) -> None:
    """What SQLite cannot keep in memory goes to TMPDIR: full, that is said, and the store is asked."""
    folder = crowd.disk.seen / "many"
    folder.mkdir()
    (folder / "0").write_bytes(b"0")
    words = ("upload", "-r", "many/", "bucket/many/")
    state = {"OBSUP_STATE_DIR": str(crowd.disk.here.with_name("state"))}
    assert crowd.run(*words, **state).code == 0
    (path,) = crowd.disk.here.with_name("state").glob("batches/*")
    stat = SourceStat(1, 2, 3, 4, 5)
    place = Target("obs", sandbox.endpoint, "bucket", "many/")
    with closing(Journal(path, place)) as journal:
        for number in range(60_000):
            journal.add(JournalEntry(f"{number:0200}", stat, "0" * 32, "etag", "0f"))
    crowd.disk.fill()
    before = len(sandbox.requests)
    outcome = crowd.run(*words, **state, TMPDIR=str(crowd.disk.here))
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("going on without") == 1
    assert {one.operation for one in sandbox.requests[before:]} <= {"list", "head"}


@on_any
def test_the_list_of_files_that_failed(crowd: Crowd, sandbox: Sandbox) -> None:
    """Said once, every file is tried, the code is that of the batch, and an older list stays."""
    (crowd.disk.seen / "failed").write_text("older\n")
    folder = crowd.disk.seen / "many"
    folder.mkdir()
    for number in range(300):
        (folder / f"a-file-with-a-long-name-{number:03}").write_bytes(b"")
    (folder / "bigfile").write_bytes(DATA)
    crowd.disk.fill()
    sandbox.add_fault("error=400:InvalidArgument,op=put,key=many/a-*,times=always")
    words = ("upload", "-r", "many/", "bucket/many/", "--failed-list", "failed", "--no-checkpoint")
    outcome = crowd.run(*words)
    assert outcome.code == 69, outcome.err
    assert outcome.err.count("cannot write the list of failed files failed") == 1
    assert "300 × refused" in outcome.err
    assert "1 files sent" in outcome.err
    assert (crowd.disk.seen / "failed").read_text() == "older\n"
    assert not [name for name in crowd.files() if name.startswith(".")]


@on_any
def test_the_steps_by_themselves(crowd: Crowd, sandbox: Sandbox) -> None:
    """What cannot be recorded is stored all the same: complete asks the store."""
    assert crowd.run("init", "bigfile", "bucket/key", "--part-size", "100K", **HERE).code == 0
    crowd.disk.fill()
    for number in range(1, PARTS + 1):
        one = crowd.run("part", "bigfile", "bucket/key", "--part-number", str(number), **HERE)
        assert one.code == 0, one.err
        assert len(one.out.strip()) == 32
        assert one.err.count(crowd.disk.said) == 1
    assert crowd.run("complete", "bigfile", "bucket/key", **HERE).code == 0
    check_stored(sandbox, crowd)


@on_any
def test_a_configuration(crowd: Crowd) -> None:
    """78, and no empty one that stands in the way of the next try."""
    crowd.disk.fill()
    outcome = crowd.run("config", "init", "--config", "obsup.toml")
    assert outcome.code == 78, outcome.err
    assert crowd.disk.said in outcome.err
    crowd.disk.free()
    assert crowd.run("config", "init", "--config", "obsup.toml").code == 0


@on_any
def test_a_stream(crowd: Crowd, sandbox: Sandbox) -> None:
    """Its checkpoint is in the state directory: said once, and the object is proved."""
    crowd.disk.fill()
    outcome = crowd.run(
        "upload", "--from-command", "--part-size", "100K", "bucket/key", "--", "cat", "bigfile", **HERE
    )
    assert outcome.code == 0, outcome.err
    assert outcome.err.count(crowd.disk.said) == 1
    check_stored(sandbox, crowd)

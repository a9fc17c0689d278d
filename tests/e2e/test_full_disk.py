"""A disk that is full or read-only at any time: it is reported once, and nothing is lost or reported as success."""

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
from tests.doubles.small_disk import KINDS, MOUNTED, DiskShell, Limit, Tmpfs, wait_for_end
from tests.support.shell import Shell
from tests.support.upload_rig import PART
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

PARTS = 5
DATA = random.Random(7).randbytes(PARTS * PART)
UPLOAD = ("upload", "bigfile", "bucket/key", "--part-size", "100K", "--executor", "inline")
STATE_ON_DISK = {"OBSUP_STATE_DIR": "state"}
"""The state directory is on the small disk too."""


@pytest.fixture
def disk_shell(request: pytest.FixtureRequest, shell: Shell, tmp_path: Path) -> Iterator[DiskShell]:
    """A source of five parts on a small disk of the requested kind."""
    folder = tmp_path / "small"
    folder.mkdir()
    with (Tmpfs if request.param == "tmpfs" else Limit)(folder) as disk:
        (disk.outside / "bigfile").write_bytes(DATA)
        yield DiskShell(disk, shell.environment)


on_any = pytest.mark.parametrize("disk_shell", KINDS, indirect=True)
on_mounted = pytest.mark.parametrize("disk_shell", MOUNTED, indirect=True)


def parts_since(sandbox: Sandbox, before: int) -> list[int | None]:
    """Return the part numbers sent after the first *before* requests."""
    return [request.part_number for request in sandbox.requests[before:] if request.operation == "part"]


def check_stored(sandbox: Sandbox, disk_shell: DiskShell, key: str = "key") -> None:
    """Assert that the object is the source, and that neither the store nor the disk has anything left of the upload."""
    assert sandbox.uploads() == []
    check_object(sandbox, disk_shell, key)


def check_object(sandbox: Sandbox, disk_shell: DiskShell, key: str = "key") -> None:
    """Assert that the object is the source, and that the disk has nothing left of the upload."""
    assert sandbox.object_path("bucket", key).read_bytes() == DATA
    remaining = {name for name in disk_shell.files() if not name.startswith("state/uploads/")}
    assert remaining - {"bigfile", "filler", "state/locks/uploads"} == set()


def start_and_fill(
    disk_shell: DiskShell, sandbox: Sandbox, *arguments: str, after: int
) -> subprocess.Popen[str]:
    """Start an upload, and fill the disk when part *after* is stored."""
    sandbox.add_fault("slow=300K,op=part,times=always")
    process = disk_shell.start(*UPLOAD, *arguments, **STATE_ON_DISK)
    wait_for(lambda: after in parts_since(sandbox, 0), process=process)
    disk_shell.disk.fill(process)
    return process


@on_any
@pytest.mark.parametrize("is_freed", [False, True])
def test_a_disk_that_is_full_from_the_start(disk_shell: DiskShell, sandbox: Sandbox, is_freed: bool) -> None:
    """Reported once; the next run sends only missing parts, because an empty file can still record the upload."""
    disk_shell.disk.fill()
    sandbox.add_fault("error=403:AccessDenied,op=part,part=4,times=always")
    outcome = disk_shell.run(*UPLOAD, **STATE_ON_DISK)
    assert outcome.code == 77, outcome.err
    assert outcome.err.count(disk_shell.disk.error_text) == 1
    assert outcome.err.count("continuing without") == 1
    sandbox.clear_faults()
    if is_freed:
        disk_shell.disk.free()
    before = len(sandbox.requests)
    again = disk_shell.run(*UPLOAD, **STATE_ON_DISK)
    assert again.code == 0, again.err
    assert parts_since(sandbox, before) == [4, 5]
    check_stored(sandbox, disk_shell)


@on_mounted
def test_a_full_disk_with_the_state_directory_on_another(disk_shell: DiskShell, sandbox: Sandbox) -> None:
    """The checkpoint is written there, with a note; the next run finds it there."""
    disk_shell.disk.fill()
    sandbox.add_fault("error=403:AccessDenied,op=part,part=4,times=always")
    outcome = disk_shell.run(*UPLOAD)
    assert outcome.code == 77, outcome.err
    assert "it is kept as" in outcome.err
    sandbox.clear_faults()
    before = len(sandbox.requests)
    again = disk_shell.run(*UPLOAD)
    assert (again.code, again.err) == (0, "")
    assert parts_since(sandbox, before) == [4, 5]
    assert "uploads" not in [request.operation for request in sandbox.requests[before:]]
    check_stored(sandbox, disk_shell)


@on_any
@pytest.mark.parametrize("is_freed", [False, True])
def test_a_disk_that_becomes_full_during_the_upload(
    disk_shell: DiskShell, sandbox: Sandbox, is_freed: bool
) -> None:
    """The existing checkpoint stays complete; the store lists the parts that it does not have."""
    sandbox.add_fault("error=403:AccessDenied,op=part,part=5,times=always")
    outcome = wait_for_end(start_and_fill(disk_shell, sandbox, after=2))
    assert outcome.code == 77, outcome.err
    assert outcome.err.count(disk_shell.disk.error_text) == 1
    (path,) = disk_shell.disk.outside.glob(f"*{checkpoint_path.SUFFIX}")
    kept = checkpoints.load(path)
    assert kept is not None
    assert kept.upload.upload_id == sandbox.uploads()[0].upload_id
    sandbox.clear_faults()
    if is_freed:
        disk_shell.disk.free()
    before = len(sandbox.requests)
    again = disk_shell.run(*UPLOAD, **STATE_ON_DISK)
    assert again.code == 0, again.err
    assert parts_since(sandbox, before) == [5]
    check_stored(sandbox, disk_shell)


@on_any
def test_a_disk_that_becomes_full_during_the_initiation(disk_shell: DiskShell, sandbox: Sandbox) -> None:
    """The checkpoint has no upload id, but an empty file records the upload: no second one is started."""
    sandbox.add_fault("delay=1,op=initiate")
    sandbox.add_fault("error=403:AccessDenied,op=part,part=4,times=always")
    process = disk_shell.start(*UPLOAD, **STATE_ON_DISK)
    wait_for(lambda: list(disk_shell.disk.outside.glob(f"*{checkpoint_path.SUFFIX}")), process=process)
    disk_shell.disk.fill(process)
    outcome = wait_for_end(process)
    assert outcome.code == 77, outcome.err
    sandbox.clear_faults()
    before = len(sandbox.requests)
    again = disk_shell.run(*UPLOAD, **STATE_ON_DISK)
    assert again.code == 0, again.err
    assert parts_since(sandbox, before) == [4, 5]
    check_stored(sandbox, disk_shell)


@on_any
def test_a_disk_that_becomes_full_at_the_end(disk_shell: DiskShell, sandbox: Sandbox) -> None:
    """The object is verified: exit 0, and the checkpoint is removed."""
    outcome = wait_for_end(start_and_fill(disk_shell, sandbox, after=PARTS))
    assert outcome.code == 0, outcome.err
    assert parts_since(sandbox, 0) == [1, 2, 3, 4, 5]
    check_stored(sandbox, disk_shell)


@on_any
def test_a_named_checkpoint_that_cannot_be_written(disk_shell: DiskShell, sandbox: Sandbox) -> None:
    """Exit 73 before the initiation; with free space, the same command succeeds."""
    disk_shell.disk.fill()
    arguments = (*UPLOAD, "--checkpoint", "mine.json")
    outcome = disk_shell.run(*arguments)
    assert outcome.code == 73, outcome.err
    assert disk_shell.disk.error_text in outcome.err
    assert {request.operation for request in sandbox.requests} <= {"uploads"}
    disk_shell.disk.free()
    assert disk_shell.run(*arguments).code == 0
    check_stored(sandbox, disk_shell)


@on_any
def test_a_named_checkpoint_that_can_no_longer_be_written(disk_shell: DiskShell, sandbox: Sandbox) -> None:
    """The upload continues with a note, and the object is verified."""
    outcome = wait_for_end(start_and_fill(disk_shell, sandbox, "--checkpoint", "mine.json", after=2))
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("continuing without") == 1
    check_stored(sandbox, disk_shell)


@on_mounted
def test_a_source_on_a_read_only_disk(disk_shell: DiskShell, sandbox: Sandbox) -> None:
    """For example a snapshot: the checkpoint is in the state directory, without a note."""
    assert isinstance(disk_shell.disk, Tmpfs)
    disk_shell.disk.protect()
    sandbox.add_fault("error=403:AccessDenied,op=part,part=4,times=always")
    outcome = disk_shell.run(*UPLOAD)
    assert outcome.code == 77, outcome.err
    assert "Note" not in outcome.err
    sandbox.clear_faults()
    before = len(sandbox.requests)
    assert disk_shell.run(*UPLOAD).code == 0
    assert parts_since(sandbox, before) == [4, 5]
    check_stored(sandbox, disk_shell)


@on_mounted
def test_a_named_checkpoint_on_a_read_only_disk(disk_shell: DiskShell, sandbox: Sandbox) -> None:
    """Nothing is initiated, and the advice is not about space."""
    assert isinstance(disk_shell.disk, Tmpfs)
    disk_shell.disk.protect()
    outcome = disk_shell.run(*UPLOAD, "--checkpoint", "named.json")
    assert (outcome.code, sandbox.uploads()) == (73, []), outcome.err
    assert "Next:  Make it writable or name another file with --checkpoint" in outcome.err


@on_mounted
def test_nothing_can_be_written_except_a_lock(disk_shell: DiskShell, sandbox: Sandbox) -> None:
    """The lock is in the temporary directory; a note, and the next run starts over."""
    assert isinstance(disk_shell.disk, Tmpfs)
    disk_shell.disk.protect()
    sandbox.add_fault("error=403:AccessDenied,op=part,part=4,times=always")
    outcome = disk_shell.run(*UPLOAD, **STATE_ON_DISK, TMPDIR=str(disk_shell.disk.folder.parent))
    assert outcome.code == 77, outcome.err
    assert outcome.err.count("Read-only file system") == 1
    assert "a later run cannot resume it" in outcome.err
    assert "will not be sent again" not in outcome.err
    [first] = sandbox.uploads()
    sandbox.clear_faults()
    before = len(sandbox.requests)
    assert disk_shell.run(*UPLOAD, **STATE_ON_DISK, TMPDIR=str(disk_shell.disk.folder.parent)).code == 0
    assert (parts_since(sandbox, before), sandbox.uploads()) == ([1, 2, 3, 4, 5], [first])
    check_object(sandbox, disk_shell)


@on_any
def test_a_receipt_on_a_full_disk(disk_shell: DiskShell, sandbox: Sandbox) -> None:
    """Exit 74, saying that the object is in place; an older receipt stays complete."""
    (disk_shell.disk.outside / "receipt.json").write_text("older")
    disk_shell.disk.fill()
    arguments = (*UPLOAD, "--receipt", "receipt.json")
    outcome = disk_shell.run(*arguments)
    assert outcome.code == 74, outcome.err
    assert (
        f"the object is in place, but its receipt receipt.json cannot be written.\nWhy:   {disk_shell.disk.error_text}."
        in outcome.err
    )
    assert (disk_shell.disk.outside / "receipt.json").read_text() == "older"
    (disk_shell.disk.outside / "receipt.json").unlink()
    check_stored(sandbox, disk_shell)
    disk_shell.disk.free()
    assert disk_shell.run(*arguments).code == 0
    assert disk_shell.run("verify", "bigfile", "bucket/key", "--receipt", "receipt.json").code == 0


@on_any
def test_a_log_on_a_full_disk(disk_shell: DiskShell, sandbox: Sandbox) -> None:
    """Reported once; the object is in place."""
    disk_shell.disk.fill()
    outcome = disk_shell.run(*UPLOAD, "--no-checkpoint", "--log-file", "run.log")
    assert outcome.code == 0, outcome.err
    reason = disk_shell.disk.error_text
    assert (
        outcome.err
        == f"Note:  the log run.log cannot be written any more: {reason}; continuing without a log.\n"
    )
    assert (disk_shell.disk.outside / "run.log").read_text() == ""
    (disk_shell.disk.outside / "run.log").unlink()
    check_stored(sandbox, disk_shell)


@on_any
def test_a_log_on_a_full_disk_does_not_hide_a_failure(disk_shell: DiskShell, sandbox: Sandbox) -> None:
    """The exit code is that of the upload."""
    disk_shell.disk.fill()
    sandbox.add_fault("error=403:AccessDenied,times=always")
    outcome = disk_shell.run(*UPLOAD, "--no-checkpoint", "--log-file", "run.log")
    assert outcome.code == 77, outcome.err
    assert outcome.err.count(disk_shell.disk.error_text) == 1


@on_any
@pytest.mark.parametrize("named", [(), ("--checkpoint", "journal")])
def test_a_journal_on_a_full_disk(disk_shell: DiskShell, sandbox: Sandbox, named: tuple[str, ...]) -> None:
    """Default path: reported once, all files are verified, and the next run asks the store. Named path: exit 73."""
    folder = disk_shell.disk.outside / "many"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}").write_bytes(bytes([number]) * 1000)
    disk_shell.disk.fill()
    arguments = ("upload", "-r", "many/", "bucket/many/", *named)
    outcome = disk_shell.run(*arguments, **STATE_ON_DISK)
    assert outcome.err.count(disk_shell.disk.error_text) == 1
    if named:
        assert outcome.code == 73, outcome.err
        assert not sandbox.requests
        disk_shell.disk.free()
    assert (outcome if not named else disk_shell.run(*arguments, **STATE_ON_DISK)).code == 0
    before = len(sandbox.requests)
    assert disk_shell.run(*arguments, **STATE_ON_DISK).code == 0
    assert {request.operation for request in sandbox.requests[before:]} <= {"list", "head"}
    assert sandbox.object_path("bucket", "many/2").read_bytes() == bytes([2]) * 1000


@on_mounted
def test_the_index_of_a_long_journal_on_a_full_disk(disk_shell: DiskShell, sandbox: Sandbox) -> None:
    """SQLite writes a large index to TMPDIR. If that is full, it is reported, and the store is asked."""
    folder = disk_shell.disk.outside / "many"
    folder.mkdir()
    (folder / "0").write_bytes(b"0")
    arguments = ("upload", "-r", "many/", "bucket/many/")
    state = {"OBSUP_STATE_DIR": str(disk_shell.disk.folder.with_name("state"))}
    assert disk_shell.run(*arguments, **state).code == 0
    (path,) = disk_shell.disk.folder.with_name("state").glob("batches/*")
    stat = SourceStat(1, 2, 3, 4, 5)
    target = Target("obs", sandbox.endpoint, "bucket", "many/")
    with closing(Journal(path, target)) as journal:
        for number in range(60_000):
            journal.add(JournalEntry(f"{number:0200}", stat, "0" * 32, "etag", "0f"))
    disk_shell.disk.fill()
    before = len(sandbox.requests)
    outcome = disk_shell.run(*arguments, **state, TMPDIR=str(disk_shell.disk.folder))
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("continuing without") == 1
    assert {request.operation for request in sandbox.requests[before:]} <= {"list", "head"}


@on_any
def test_a_list_of_failed_files_on_a_full_disk(disk_shell: DiskShell, sandbox: Sandbox) -> None:
    """Reported once; every file is tried, the exit code is that of the batch, and an older list stays."""
    (disk_shell.disk.outside / "failed").write_text("older\n")
    folder = disk_shell.disk.outside / "many"
    folder.mkdir()
    for number in range(300):
        (folder / f"a-file-with-a-long-name-{number:03}").write_bytes(b"")
    (folder / "bigfile").write_bytes(DATA)
    disk_shell.disk.fill()
    sandbox.add_fault("error=400:InvalidArgument,op=put,key=many/a-*,times=always")
    arguments = ("upload", "-r", "many/", "bucket/many/", "--failed-list", "failed", "--no-checkpoint")
    outcome = disk_shell.run(*arguments)
    assert outcome.code == 69, outcome.err
    assert outcome.err.count("cannot write the list of failed files failed") == 1
    assert "300 × refused" in outcome.err
    assert "1 file sent" in outcome.err
    assert (disk_shell.disk.outside / "failed").read_text() == "older\n"
    assert not [name for name in disk_shell.files() if name.startswith(".")]


@on_any
def test_the_single_steps_on_a_full_disk(disk_shell: DiskShell, sandbox: Sandbox) -> None:
    """Parts that cannot be recorded are stored anyway; complete asks the store."""
    assert disk_shell.run("init", "bigfile", "bucket/key", "--part-size", "100K", **STATE_ON_DISK).code == 0
    disk_shell.disk.fill()
    for number in range(1, PARTS + 1):
        outcome = disk_shell.run(
            "part", "bigfile", "bucket/key", "--part-number", str(number), **STATE_ON_DISK
        )
        assert outcome.code == 0, outcome.err
        assert len(outcome.out.strip()) == 32
        assert outcome.err.count(disk_shell.disk.error_text) == 1
    assert disk_shell.run("complete", "bigfile", "bucket/key", **STATE_ON_DISK).code == 0
    check_stored(sandbox, disk_shell)


@on_any
def test_config_init_on_a_full_disk(disk_shell: DiskShell) -> None:
    """Exit 74, without an empty file that would block the next attempt."""
    disk_shell.disk.fill()
    outcome = disk_shell.run("config", "init", "--config", "obsup.toml")
    assert outcome.code == 74, outcome.err
    assert disk_shell.disk.error_text in outcome.err
    is_limited = disk_shell.disk.error_text == "File too large"
    assert f"Next:  {'Raise the limit' if is_limited else 'Free disk space'}" in outcome.err
    disk_shell.disk.free()
    assert disk_shell.run("config", "init", "--config", "obsup.toml").code == 0


@on_any
def test_a_stream_on_a_full_disk(disk_shell: DiskShell, sandbox: Sandbox) -> None:
    """Its checkpoint is in the state directory: reported once, and the object is verified."""
    disk_shell.disk.fill()
    outcome = disk_shell.run(
        "upload",
        "--from-command",
        "--part-size",
        "100K",
        "bucket/key",
        "--",
        "cat",
        "bigfile",
        **STATE_ON_DISK,
    )
    assert outcome.code == 0, outcome.err
    assert outcome.err.count(disk_shell.disk.error_text) == 1
    check_stored(sandbox, disk_shell)

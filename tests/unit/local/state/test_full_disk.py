"""A full disk, or a folder of another user, for each file that obsup writes: the old content stays complete."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from pyfakefs import helpers
from pyfakefs.fake_filesystem import FakeFilesystem

from obsup.cli.display.log_file import LogFile
from obsup.errors import CheckpointUnwritable, LocalFailure
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import checkpoint_path, receipt_file, started_uploads
from obsup.local.state import journal as journals
from obsup.local.state.atomic_file import write_atomically
from obsup.local.state.checkpoint import Checkpoint
from obsup.local.state.folders import can_use_private_folder, is_special
from obsup.local.state.journal import Journal, JournalEntry
from obsup.local.state.receipt_file import ObjectReceipt
from obsup.model import Receipt, SourceStat, Target, Upload

TARGET = Target("obs", "https://obs.example", "bucket", "key")
UPLOAD = Upload(TARGET, "upload-id")
CHECKPOINT = Checkpoint("/data/file", SourceStat(1, 2, 3, 4, 5), UPLOAD, 10, {}, 1.5, "0f")
FULL = os.strerror(errno.ENOSPC)
DATA = Path("/data")


@pytest.fixture
def disk(fs: FakeFilesystem, monkeypatch: pytest.MonkeyPatch) -> FakeFilesystem:
    """A disk with free space and the state directory of obsup."""
    fs.set_disk_usage(1_000_000)
    fs.create_dir(DATA)
    monkeypatch.setenv("OBSUP_STATE_DIR", "/data/state")
    return fs


@contextmanager
def user() -> Iterator[None]:
    """Run as a user that permissions apply to."""
    helpers.set_uid(1000)
    try:
        yield
    finally:
        helpers.reset_ids()


def fill(disk: FakeFilesystem, *, but: int = 0) -> None:
    """Fill the disk, except for *but* bytes."""
    disk.set_disk_usage(disk.get_disk_usage(str(DATA))[1] + but)


def names(folder: Path) -> list[str]:
    """Return the names in *folder*."""
    return sorted(os.listdir(folder))  # noqa: PTH208 - pyfakefs fakes this one


def receipt(size: int) -> ObjectReceipt:
    """Return the receipt of an object of *size* bytes."""
    parts = (Receipt(1, size, "etag"),)
    return ObjectReceipt(TARGET, size, size, parts, "etag", "etag", "upload-id", None, "id", 1.0)


def test_an_old_receipt_is_kept(disk: FakeFilesystem) -> None:
    """Exit status 74, and no incomplete file in the folder."""
    path = DATA / "receipt.json"
    receipt_file.save(path, receipt(1))
    fill(disk, but=50)
    with pytest.raises(LocalFailure, match=f"the object is in place.*{FULL}") as caught:
        receipt_file.save(path, receipt(2))
    assert caught.value.exit_code == 74
    assert receipt_file.load(path) == receipt(1)
    assert names(DATA) == ["receipt.json"]


def test_a_journal_keeps_its_complete_lines(disk: FakeFilesystem) -> None:
    """The first line that does not fit raises; later ones are dropped silently."""
    path = DATA / "journal"
    one, two, three = (
        JournalEntry(name, SourceStat(1, 2, 3, 4, 5), "0" * 32, "etag", "0f") for name in "abc"
    )
    with closing(Journal(path, TARGET)) as journal:
        journal.add(one)
        fill(disk, but=20)
        with pytest.raises(CheckpointUnwritable, match=FULL):
            journal.add(two)
        journal.add(three)
    disk.set_disk_usage(1_000_000)
    with closing(Journal(path, TARGET)) as journal:
        assert (journal.known, journal.damaged) == (1, 0)
        assert journal.find("a") == one


def test_an_outdated_journal_that_cannot_be_rewritten_is_still_used(disk: FakeFilesystem) -> None:
    """The rewrite would save space but needs some first: the file stays, without a temporary one."""
    path = DATA / "journal"
    entries = [
        JournalEntry("a", SourceStat(size, 2, 3, 4, 5), "0" * 32, "etag", "0f") for size in range(1, 1200)
    ]
    with closing(Journal(path, TARGET)) as journal:
        for entry in entries:
            journal.add(entry)
    before = path.read_bytes()
    fill(disk, but=10)
    with closing(Journal(path, TARGET)) as journal:
        assert (journal.known, journal.find("a")) == (1, entries[-1])
    assert path.read_bytes() == before
    assert names(DATA) == ["journal"]
    disk.set_disk_usage(1_000_000)
    with closing(Journal(path, TARGET)) as journal:
        assert journal.find("a") == entries[-1]
    assert len(path.read_bytes()) < 500


def test_a_failing_log_is_reported_once(disk: FakeFilesystem) -> None:
    """What was written stays; *tell* hears of it, once."""
    said: list[str] = []
    with closing(LogFile(DATA / "log", warn=said.append, clock=lambda: 0.0)) as log:
        log.write("first")
        before = (DATA / "log").read_text()
        fill(disk)
        log.write("second")
        log.write("third")
    assert said == [f"the log /data/log cannot be written any more: {FULL}; continuing without a log"]
    assert (DATA / "log").read_text() == before


def test_a_started_upload_is_recorded_by_an_empty_file(disk: FakeFilesystem) -> None:
    """Its name is the record, because no content can be written. No incomplete record is left."""
    fill(disk)
    assert started_uploads.add(
        started_uploads.StartedUpload(UPLOAD, "/data/file", None, 1.0, options_digest="0f")
    )
    assert started_uploads.find_own(UPLOAD, "/data/file", "0f") == UPLOAD
    assert started_uploads.find_own(UPLOAD, "/data/file", "0e") is None
    assert started_uploads.find_own(UPLOAD, "/data/other", "0f") is None
    assert [path.stat().st_size for path in started_uploads.folder().iterdir()] == [0]
    started_uploads.finish(started_uploads.StartedUpload(UPLOAD, "/data/file", None, 1.0))
    assert started_uploads.find(UPLOAD) is None
    assert started_uploads.find_finished(TARGET) is None
    assert names(started_uploads.folder()) == []


def test_a_folder_of_another_user_is_not_used_for_state(
    disk: FakeFilesystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner could read the files and replace them. The error has the reason."""
    state = Path("/data/state")
    disk.create_dir(state / "checkpoints", perm_bits=0o777)
    disk.create_dir(state / "batches", perm_bits=0o777)
    for folder in ("checkpoints", "batches"):
        os.chown(state / folder, 1001, 1001)  # type: ignore[attr-defined,unused-ignore]
    monkeypatch.setattr("os.getuid", lambda: 1000)
    assert not can_use_private_folder(state / "checkpoints")
    with pytest.raises(CheckpointUnwritable, match="belongs to another user"):
        checkpoints.save(checkpoint_path.fallback_path(DATA / "file", TARGET), CHECKPOINT)
    with pytest.raises(CheckpointUnwritable, match="belongs to another user"):
        Journal(journals.default_path(TARGET, "0f"), TARGET)
    assert names(state / "checkpoints") == names(state / "batches") == []


def test_a_state_folder_that_cannot_be_created_is_an_error_with_the_reason(disk: FakeFilesystem) -> None:
    """The original reason, not a consequence of it."""
    disk.create_dir("/data/state", perm_bits=0o500)
    with user(), pytest.raises(CheckpointUnwritable, match="Permission denied"):
        checkpoints.save(checkpoint_path.fallback_path(DATA / "file", TARGET), CHECKPOINT)


def test_devices_are_special() -> None:
    """A file renamed to /dev/null would replace the device."""
    assert is_special(Path("/dev/null"))
    assert not is_special(Path(__file__))
    assert not is_special(Path("/"))
    assert not is_special(Path("/none/such"))


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    """Even if the rename would succeed."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(CheckpointUnwritable, match="a device or a pipe"):
        checkpoints.save(pipe, CHECKPOINT)
    assert checkpoints.load(pipe) is None
    assert is_special(pipe)


def test_a_device_is_neither_removed_nor_replaced(tmp_path: Path) -> None:
    """--checkpoint and --metrics /dev/null, as root: here a device with its numbers at another path."""
    device = tmp_path / "null"
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    checkpoints.remove(device)
    write_atomically(device, b"metrics")
    assert is_special(device)

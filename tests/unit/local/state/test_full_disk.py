"""A full disk, or a folder that is another's, under each file that obsup keeps: what was there stays, and is whole."""

from __future__ import annotations

import errno
import os
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
from obsup.local.state.checkpoint import Checkpoint
from obsup.local.state.folders import is_special, make_private
from obsup.local.state.journal import Journal, Proved
from obsup.local.state.receipt_file import ObjectReceipt
from obsup.model import Receipt, SourceStat, Target, Upload

TARGET = Target("obs", "https://obs.example", "bucket", "key")
UPLOAD = Upload(TARGET, "upload-id")
CHECKPOINT = Checkpoint("/data/file", SourceStat(1, 2, 3, 4, 5), UPLOAD, 10, {}, 1.5, "0f")
FULL = os.strerror(errno.ENOSPC)
DATA = Path("/data")


@pytest.fixture
def disk(fs: FakeFilesystem, monkeypatch: pytest.MonkeyPatch) -> FakeFilesystem:
    """A disk with room, and obsup's state on it."""
    fs.set_disk_usage(1_000_000)
    fs.create_dir(DATA)
    monkeypatch.setenv("OBSUP_STATE_DIR", "/data/state")
    return fs


@contextmanager
def user() -> Iterator[None]:
    """Be a user whom permissions bind."""
    helpers.set_uid(1000)
    try:
        yield
    finally:
        helpers.reset_ids()


def fill(disk: FakeFilesystem, *, but: int = 0) -> None:
    """Leave so many bytes of room."""
    disk.set_disk_usage(disk.get_disk_usage(str(DATA))[1] + but)


def names(folder: Path) -> list[str]:
    """Return what is in *folder*."""
    return sorted(os.listdir(folder))  # noqa: PTH208 - pyfakefs fakes this one


def receipt(size: int) -> ObjectReceipt:
    """Return the receipt of an object of *size* bytes."""
    parts = (Receipt(1, size, "etag"),)
    return ObjectReceipt(TARGET, size, size, parts, "etag", "etag", "upload-id", None, "id", 1.0)


def test_a_receipt_stays_as_it_was(disk: FakeFilesystem) -> None:
    """74, and no half one in its place or beside it."""
    path = DATA / "receipt.json"
    receipt_file.save(path, receipt(1))
    fill(disk, but=50)
    with pytest.raises(LocalFailure, match=f"the object is in place.*{FULL}") as caught:
        receipt_file.save(path, receipt(2))
    assert caught.value.exit_code == 74
    assert receipt_file.load(path) == receipt(1)
    assert names(DATA) == ["receipt.json"]


def test_a_journal_takes_no_more_and_keeps_its_whole_lines(disk: FakeFilesystem) -> None:
    """The first line that does not fit raises, later ones are for nobody."""
    path = DATA / "journal"
    one, two, three = (Proved(name, SourceStat(1, 2, 3, 4, 5), "0" * 32, "etag", "0f") for name in "abc")
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


def test_a_worn_journal_that_cannot_be_written_anew_serves_on(disk: FakeFilesystem) -> None:
    """What would save room needs some first: it is left as it is, and nothing beside it."""
    path = DATA / "journal"
    proved = [Proved("a", SourceStat(size, 2, 3, 4, 5), "0" * 32, "etag", "0f") for size in range(1, 1200)]
    with closing(Journal(path, TARGET)) as journal:
        for one in proved:
            journal.add(one)
    before = path.read_bytes()
    fill(disk, but=10)
    with closing(Journal(path, TARGET)) as journal:
        assert (journal.known, journal.find("a")) == (1, proved[-1])
    assert path.read_bytes() == before
    assert names(DATA) == ["journal"]
    disk.set_disk_usage(1_000_000)
    with closing(Journal(path, TARGET)) as journal:
        assert journal.find("a") == proved[-1]
    assert len(path.read_bytes()) < 500


def test_a_log_is_given_up_once(disk: FakeFilesystem) -> None:
    """What was written stays; *tell* hears of it, once."""
    said: list[str] = []
    with closing(LogFile(DATA / "log", tell=said.append, clock=lambda: 0.0)) as log:
        log.write("first")
        before = (DATA / "log").read_text()
        fill(disk)
        log.write("second")
        log.write("third")
    assert said == [f"the log /data/log cannot be written any more: {FULL}; going on without"]
    assert (DATA / "log").read_text() == before


def test_an_upload_that_cannot_be_remembered_is_no_failure(disk: FakeFilesystem) -> None:
    """Nothing half-written is taken for a memory."""
    fill(disk)
    assert not started_uploads.remember(started_uploads.StartedUpload(UPLOAD, "/data/file", None, 1.0))
    started_uploads.finish(started_uploads.StartedUpload(UPLOAD, "/data/file", None, 1.0))
    assert started_uploads.find(UPLOAD) is None
    assert started_uploads.find_finished(TARGET) is None
    assert names(started_uploads.folder()) == []


def test_another_users_folder_is_no_place_for_state(
    disk: FakeFilesystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owns it reads what is in it, and could put something else there: said as it is."""
    state = Path("/data/state")
    disk.create_dir(state / "checkpoints", perm_bits=0o777)
    disk.create_dir(state / "batches", perm_bits=0o777)
    for folder in ("checkpoints", "batches"):
        os.chown(state / folder, 1001, 1001)  # type: ignore[attr-defined,unused-ignore]
    monkeypatch.setattr("os.getuid", lambda: 1000)
    assert not make_private(state / "checkpoints")
    with pytest.raises(CheckpointUnwritable, match="another user's"):
        checkpoints.save(checkpoint_path.path_apart(DATA / "file", TARGET), CHECKPOINT)
    with pytest.raises(CheckpointUnwritable, match="another user's"):
        Journal(journals.default_path(TARGET, "0f"), TARGET)
    assert names(state / "checkpoints") == names(state / "batches") == []


def test_what_stands_in_the_way_of_the_state_is_named(disk: FakeFilesystem) -> None:
    """A folder that cannot be made is told by its own reason, not by what follows from it."""
    disk.create_dir("/data/state", perm_bits=0o500)
    with user(), pytest.raises(CheckpointUnwritable, match="Permission denied"):
        checkpoints.save(checkpoint_path.path_apart(DATA / "file", TARGET), CHECKPOINT)


def test_devices_are_told_from_files() -> None:
    """A file renamed to /dev/null would take its place."""
    assert is_special(Path("/dev/null"))
    assert not is_special(Path(__file__))
    assert not is_special(Path("/"))
    assert not is_special(Path("/none/such"))


def test_a_pipe_is_never_replaced(tmp_path: Path) -> None:
    """Not even where a file could be renamed to it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(CheckpointUnwritable, match="a device or a pipe"):
        checkpoints.save(pipe, CHECKPOINT)
    assert checkpoints.load(pipe) is None
    assert is_special(pipe)

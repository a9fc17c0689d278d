"""The checkpoint: always whole, its owner's alone, and never in the place of somebody else's file."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pyfakefs.fake_filesystem import FakeFilesystem

from obsup.errors import CheckpointUnwritable
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import checkpoint_path
from obsup.local.state.atomic_file import temporary_prefix
from obsup.local.state.checkpoint import Checkpoint, CheckpointDamaged, CheckpointForeign
from obsup.model import Receipt, SourceStat, Target, Upload

TARGET = Target("obs", "https://obs.eu-de.otc.t-systems.com", "bucket", "kéy")
CHECKPOINT = Checkpoint(
    source="/data/big file",
    stat=SourceStat(1000, 1, 2, 3, 4),
    upload=Upload(TARGET, "upload-id", "a-token"),
    part_size=400,
    receipts={
        1: Receipt(1, 400, "etag-1", "0123456789abcdef0123456789abcdef", 5),
        3: Receipt(3, 200, "etag-3"),
    },
    created=1.5,
    headers_digest="00ff",
    open_before=("other",),
)


def rewritten(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return a checkpoint with a change in it and a digest that fits."""
    plain = json.loads(checkpoints.encode(CHECKPOINT))
    del plain["digest"]
    change(plain)
    plain["digest"] = checkpoints._digest(plain)
    return json.dumps(plain).encode()


def test_it_comes_back_as_it_was() -> None:
    """A file name that is no UTF-8 as well."""
    odd = replace(CHECKPOINT, source=os.fsdecode(b"/data/\xff\n"), receipts={})
    for one in (CHECKPOINT, odd):
        assert checkpoints.decode(checkpoints.encode(one)) == one


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    """Whatever the umask."""
    path = tmp_path / "checkpoint"
    before = os.umask(0)
    try:
        checkpoints.save(path, CHECKPOINT)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"\0" * 512, "empty"),
        (checkpoints.encode(CHECKPOINT)[:-100], "torn"),
        (checkpoints.encode(CHECKPOINT).replace(b"etag-1", b"etag-2"), "changed or damaged"),
        (rewritten(lambda plain: plain.pop("parts")), "missing or of the wrong kind"),
        (rewritten(lambda plain: plain.update(created=float("inf"), partSize=float("inf"))), "wrong kind"),
        (rewritten(lambda plain: plain["parts"].append([4, 1, "etag", 5, None])), "wrong kind"),
        (rewritten(lambda plain: plain["parts"].append([4, 1, "etag", "xyz", None])), "wrong kind"),
        (rewritten(lambda plain: plain["parts"].append([4, 1, "etag", None, "7"])), "wrong kind"),
        (rewritten(lambda plain: plain.update(token=["a"])), "wrong kind"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_damaged_is_said(data: bytes, says: str) -> None:
    """And is ours to overwrite."""
    with pytest.raises(CheckpointDamaged, match=says) as caught:
        checkpoints.decode(data)
    assert not isinstance(caught.value, CheckpointForeign)


@pytest.mark.parametrize(
    "data",
    [
        b'{"bucketName": "bucket", "uploadParts": []}',
        b"[1, 2]",
        b'{"format": true}',
        b"-- a dump\nCREATE TABLE",
        b"\x00\x00\x00\x18ftypmp42 a film",
        b"[" * 100_000,
        rewritten(lambda plain: plain.update(format=checkpoints.FORMAT + 1)),
    ],
    ids=["esdk", "list", "bool", "sql", "film", "deep", "newer"],
)
def test_what_is_not_ours_is_told_apart(data: bytes) -> None:
    """Another tool's record, a newer obsup's, or the user's data: none is ours to overwrite."""
    with pytest.raises(CheckpointForeign):
        checkpoints.decode(data)


def test_a_file_too_large_for_a_checkpoint_is_not_read(tmp_path: Path) -> None:
    """--checkpoint that names a film by mistake costs no memory."""
    path = tmp_path / "film"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointForeign):
        checkpoints.load(path)


def test_what_is_not_ours_is_set_aside_and_kept(tmp_path: Path) -> None:
    """Under a name that is free."""
    for number in range(3):
        path = tmp_path / "checkpoint"
        path.write_text(f"mine {number}")
        checkpoints.set_aside(path)
    kept = {one.name: one.read_text() for one in tmp_path.iterdir()}
    assert kept == {
        "checkpoint.not-obsup": "mine 0",
        "checkpoint.not-obsup1": "mine 1",
        "checkpoint.not-obsup2": "mine 2",
    }


def test_a_very_long_name_has_a_checkpoint_too(tmp_path: Path) -> None:
    """File systems allow 255 bytes; two long names keep two checkpoints."""
    paths = set()
    for last in "ab":
        source = tmp_path / ("ü" * 126 + last)
        source.touch()
        path = checkpoint_path.default_path(source, TARGET)
        checkpoints.save(path, CHECKPOINT)
        assert checkpoints.load(path) == CHECKPOINT
        paths.add(path)
    assert len(paths) == 2


def test_its_place_is_beside_the_source_or_where_it_is_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint that had to go to the state directory is found there when its folder is writable again."""
    monkeypatch.setenv("OBSUP_STATE_DIR", str(tmp_path / "state"))
    source = tmp_path / "folder" / "file"
    source.parent.mkdir()
    beside, apart = checkpoint_path.default_path(source, TARGET), checkpoint_path.path_apart(source, TARGET)
    assert beside.parent == source.parent
    checkpoints.save(apart, CHECKPOINT)
    assert checkpoint_path.default_path(source, TARGET) == apart
    checkpoints.save(beside, CHECKPOINT)
    assert checkpoint_path.default_path(source, TARGET) == beside


def test_what_a_killed_writer_left_goes_with_the_checkpoint(tmp_path: Path) -> None:
    """And nothing else in the folder does."""
    path, other = tmp_path / "a.obsup.json", tmp_path / "b.obsup.json"
    others = tmp_path / (temporary_prefix(other) + "xyz")
    for left in (tmp_path / (temporary_prefix(path) + "abc"), others, tmp_path / "file"):
        left.touch()
    checkpoints.save(path, CHECKPOINT)
    checkpoints.remove(path)
    assert {one.name for one in tmp_path.iterdir()} == {others.name, "file"}


def test_a_full_disk_keeps_the_old_one(fs: FakeFilesystem) -> None:
    """Nothing half-written takes its place, and nothing lies beside it."""
    folder = Path("/data")
    fs.set_disk_usage(1_000_000)
    fs.create_dir(folder)
    path = folder / "checkpoint"
    checkpoints.save(path, CHECKPOINT)
    before = path.read_bytes()
    fs.set_disk_usage(fs.get_disk_usage("/data")[1] + 100)
    with pytest.raises(CheckpointUnwritable, match=os.strerror(errno.ENOSPC)):
        checkpoints.save(path, replace(CHECKPOINT, source="/another"))
    assert path.read_bytes() == before
    assert os.listdir(folder) == ["checkpoint"]  # noqa: PTH208 - pyfakefs fakes this one


def test_a_folder_that_refuses_keeps_the_old_one(fs: FakeFilesystem) -> None:
    """Permission taken away between two writes."""
    from pyfakefs import helpers

    helpers.set_uid(1000)
    try:
        fs.create_dir("/data")
        path = Path("/data/checkpoint")
        checkpoints.save(path, CHECKPOINT)
        Path("/data").chmod(0o500)
        with pytest.raises(CheckpointUnwritable, match="Permission denied"):
            checkpoints.save(path, replace(CHECKPOINT, source="/another"))
        with pytest.raises(CheckpointUnwritable, match="Permission denied"):
            checkpoints.remove(path)
        assert checkpoints.load(path) == CHECKPOINT
        Path("/data").chmod(0o700)
        path.chmod(0)
        with pytest.raises(CheckpointDamaged, match="cannot be read"):
            checkpoints.load(path)
    finally:
        helpers.reset_ids()

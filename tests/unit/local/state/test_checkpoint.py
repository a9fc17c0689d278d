"""The checkpoint file: always complete, private, and never written over a foreign file."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from pyfakefs import helpers
from pyfakefs.fake_filesystem import FakeFilesystem

from obsup.errors import CheckpointUnwritable
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import checkpoint_path
from obsup.local.state.atomic_file import temporary_prefix
from obsup.local.state.checkpoint import Checkpoint, CheckpointDamaged, CheckpointForeign
from obsup.model import Receipt, SourceStat, Target, Upload
from obsup.units import MIB

SAMPLES = Path(__file__).parent / "samples"
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
STREAM = Checkpoint(
    source="standard input",
    stat=SourceStat(0, 0, 0, 0, 0),
    upload=Upload(TARGET, "upload-id"),
    part_size=100,
    receipts={number: Receipt(number, size, "etag") for number, size in ((1, 100), (2, 200), (4, 800))},
    created=1.5,
    headers_digest="",
    growth=(2, 1),
    enlarged_from=50,
    completing={"x-obs-meta-a": "é"},
)


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return a checkpoint file with changed fields and a digest that fits."""
    fields = json.loads(checkpoints.encode(CHECKPOINT))
    del fields["digest"]
    change(fields)
    return checkpoints._sealed(json.dumps(fields).encode()[:-1] + b",\n")


def part(**fields: object) -> Callable[[dict[str, Any]], None]:
    """Return a change that adds a part with *fields*."""
    return lambda file: file["parts"].append({"partNumber": 4, "partSize": 1, "etag": "etag"} | fields)


@pytest.mark.parametrize("source", ["/data/big file", "/data/\udcff\n"])
def test_a_checkpoint_is_read_as_it_was_written(source: str) -> None:
    """Also if the name of the source is not UTF-8."""
    for one in (replace(CHECKPOINT, source=source), replace(STREAM, source=source, receipts={})):
        assert checkpoints.decode(checkpoints.encode(one)) == one


def test_the_file_is_indented_json_with_named_fields() -> None:
    """One part per line, in the order of the part numbers."""
    text = checkpoints.encode(CHECKPOINT).decode()
    lines = text.splitlines()
    assert lines[:3] == ["{", '  "format": 2,', '  "target": {']
    assert '    "mtimeNs": 1,' in lines
    assert [line for line in lines if "partNumber" in line] == [
        '    {"partNumber":1,"offset":0,"partSize":400,"etag":"etag-1",'
        '"md5":"0123456789abcdef0123456789abcdef","crc64":5},',
        '    {"partNumber":3,"offset":800,"partSize":200,"etag":"etag-3"}',
    ]
    content, _, digest = text.rpartition('  "digest": "')
    assert digest == hashlib.sha256(content.encode()).hexdigest() + '"\n}\n'


def test_the_offset_is_left_out_if_it_is_unknown() -> None:
    """If the part size grows and an earlier part is not recorded."""
    parts = json.loads(checkpoints.encode(STREAM))["parts"]
    assert [one.get("offset") for one in parts] == [0, 100, None]


def test_a_file_checkpoint_of_format_1_is_read() -> None:
    """It had lists instead of objects, and another digest. The next write brings it to the current format."""
    found = checkpoints.decode((SAMPLES / "checkpoint-format-1.json").read_bytes())
    upload = Upload(
        Target("obs", "https://obs.eu-de.otc.t-systems.com", "media", "videos/video.iso"),
        "0000018F4A3C5D6E",
        "a-token",
    )
    assert found == Checkpoint(
        source=os.fsdecode(b"/data/caf\xe9/video.iso"),
        stat=SourceStat(40 * MIB + 5, 1_700_000_000_123_456_789, 1_700_000_000_223_456_789, 2049, 131),
        upload=upload,
        part_size=9 * MIB,
        receipts={
            1: Receipt(1, 9 * MIB, f"{1:032x}", f"{17:032x}", 2**64 - 1),
            2: Receipt(2, 9 * MIB, f"{2:032x}", f"{18:032x}"),
            4: Receipt(4, 9 * MIB, f"{4:032x}", f"{20:032x}"),
        },
        created=1_700_000_000.5,
        headers_digest="00ff" * 16,
        source_sha256="ab" * 32,
        open_before=("older",),
        completing={"x-obs-meta-a": "é"},
    )
    assert checkpoints.decode(checkpoints.encode(found)) == found


def test_a_stream_checkpoint_of_format_1_is_read() -> None:
    """With its growing part size."""
    found = checkpoints.decode((SAMPLES / "checkpoint-format-1-stream.json").read_bytes())
    assert (found.source, found.upload.upload_id, found.upload.token) == ("standard input", "7A5F", None)
    assert (found.part_size, found.growth, found.enlarged_from) == (5 * MIB, (2, 2), MIB)
    sizes = {number: receipt.size // MIB for number, receipt in found.receipts.items()}
    assert sizes == {1: 5, 2: 5, 3: 10, 5: 20}
    assert checkpoints.decode(checkpoints.encode(found)) == found


@pytest.mark.parametrize(("before", "after"), [(b"9437184", b"9437185"), (b'"digest"', b'"other"')])
def test_an_edited_checkpoint_of_format_1_is_damaged(before: bytes, after: bytes) -> None:
    """Its digest covers every field."""
    data = (SAMPLES / "checkpoint-format-1.json").read_bytes().replace(before, after)
    with pytest.raises(CheckpointDamaged, match="edited or damaged"):
        checkpoints.decode(data)


def test_a_checkpoint_has_mode_0600(tmp_path: Path) -> None:
    """Whatever the umask is."""
    path = tmp_path / "checkpoint"
    before = os.umask(0)
    try:
        checkpoints.save(path, CHECKPOINT)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\0" * 512, "empty"),
        (checkpoints.encode(CHECKPOINT)[:-100], "incomplete"),
        (checkpoints.encode(CHECKPOINT).replace(b"etag-1", b"etag-2"), "edited or damaged"),
        (changed(lambda file: file.pop("parts")), "a field is missing or invalid"),
        (changed(lambda file: file.pop("stat")), "missing required field `stat`"),
        (changed(lambda file: file.update(created=float("inf"), partSize=float("inf"))), r"`\$.partSize`"),
        (changed(lambda file: file.update(partSize=0)), ">= 1 - at `$.partSize`".replace("$", r"\$")),
        (changed(part(md5=5)), r"Expected `str \| null`, got `int` - at `\$\[2\].md5`"),
        (changed(part(md5="xyz")), "matching regex"),
        (changed(part(crc64="7")), r"got `str` - at `\$\[2\].crc64`"),
        (changed(part(crc64=2**64)), "crc64 of part 4"),
        (changed(part(partNumber=0)), ">= 1"),
        (changed(lambda file: file["stat"].update(size=-1)), r">= 0 - at `\$.stat.size`"),
        (changed(lambda file: file.update(token=["a"])), r"got `array` - at `\$.upload.token`"),
        (changed(lambda file: file.update(growth=[2, 2])), "a field is missing or invalid"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_checkpoint_is_reported_with_its_cause(data: bytes, message: str) -> None:
    """It may be overwritten."""
    with pytest.raises(CheckpointDamaged, match=message) as caught:
        checkpoints.decode(data)
    assert not isinstance(caught.value, CheckpointForeign)


def test_unknown_fields_are_ignored() -> None:
    """A later version of this format may add some."""
    data = changed(lambda file: file.update(later=1, parts=[one | {"later": 2} for one in file["parts"]]))
    assert checkpoints.decode(data) == CHECKPOINT


@pytest.mark.parametrize(
    "data",
    [
        b'{"bucketName": "bucket", "uploadParts": []}',
        b"[1, 2]",
        b'{"format": true}',
        b'{"format": 1, "restore": {}}',
        b'{"format": 1, "line": "the first of many"}\n{"format": 1, "line": "the second"}\n',
        b"-- a dump\nCREATE TABLE",
        b"\x00\x00\x00\x18ftypmp42 a film",
        b"[" * 100_000,
        changed(lambda file: file.update(format=checkpoints.FORMAT + 1)),
    ],
    ids=["esdk", "list", "bool", "nuget", "lines", "sql", "film", "deep", "newer"],
)
def test_a_foreign_file_is_not_a_damaged_checkpoint(data: bytes) -> None:
    """The record of another program, of a newer obsup, or user data: it must not be overwritten."""
    with pytest.raises(CheckpointForeign):
        checkpoints.decode(data)


def test_a_file_too_large_for_a_checkpoint_is_not_read(tmp_path: Path) -> None:
    """A film given with --checkpoint by mistake needs no memory."""
    path = tmp_path / "film"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointForeign):
        checkpoints.load(path)


def test_a_foreign_file_is_set_aside(tmp_path: Path) -> None:
    """Under a name that is free."""
    for number in range(3):
        path = tmp_path / "checkpoint"
        path.write_text(f"mine {number}")
        checkpoints.set_aside(path, "it is not a checkpoint")
    kept = {one.name: one.read_text() for one in tmp_path.iterdir()}
    assert kept == {
        "checkpoint.not-obsup": "mine 0",
        "checkpoint.not-obsup1": "mine 1",
        "checkpoint.not-obsup2": "mine 2",
    }


def test_sources_with_very_long_names_have_different_checkpoints(tmp_path: Path) -> None:
    """File systems allow 255 bytes per name."""
    paths = set()
    for last in "ab":
        source = tmp_path / ("ü" * 126 + last)
        source.touch()
        path = checkpoint_path.default_path(source, TARGET)
        checkpoints.save(path, CHECKPOINT)
        assert checkpoints.load(path) == CHECKPOINT
        paths.add(path)
    assert len(paths) == 2


def test_the_default_path_is_next_to_the_source_or_that_of_an_existing_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint in the state directory is still used after its source's folder has become writable."""
    monkeypatch.setenv("OBSUP_STATE_DIR", str(tmp_path / "state"))
    source = tmp_path / "folder" / "file"
    source.parent.mkdir()
    default = checkpoint_path.default_path(source, TARGET)
    fallback = checkpoint_path.fallback_path(source, TARGET)
    assert default.parent == source.parent
    checkpoints.save(fallback, CHECKPOINT)
    assert checkpoint_path.default_path(source, TARGET) == fallback
    checkpoints.save(default, CHECKPOINT)
    assert checkpoint_path.default_path(source, TARGET) == default


def test_temporary_files_of_a_killed_process_are_removed_with_the_checkpoint(tmp_path: Path) -> None:
    """No other file in the folder is removed."""
    path, other = tmp_path / "a.obsup.json", tmp_path / "b.obsup.json"
    others = tmp_path / (temporary_prefix(other) + "xyz")
    for left in (tmp_path / (temporary_prefix(path) + "abc"), others, tmp_path / "file"):
        left.touch()
    checkpoints.save(path, CHECKPOINT)
    checkpoints.remove(path)
    assert {one.name for one in tmp_path.iterdir()} == {others.name, "file"}


def test_a_folder_that_cannot_be_written_keeps_the_old_checkpoint(
    fs: FakeFilesystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The permission was removed between two writes."""
    helpers.set_uid(1000)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
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

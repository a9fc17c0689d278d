"""The records of uploads that this machine started: they may be lost, and never claim a foreign upload."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from obsup.local.state import started_uploads
from obsup.local.state.started_uploads import StartedUpload
from obsup.model import Target, Upload

TARGET = Target("oss", "https://oss-cn-hangzhou.aliyuncs.com", "bucket", "kéy\udcff\n")
UPLOAD = Upload(TARGET, "upload-id", "token")
STARTED = StartedUpload(UPLOAD, "/data/file", "/data/file.obsup.json", 1.5)


def test_an_upload_is_found_until_it_is_removed() -> None:
    """By target and upload id, with its token; the key may have any bytes."""
    assert started_uploads.find(UPLOAD) is None
    assert started_uploads.add(STARTED)
    assert started_uploads.find(Upload(TARGET, "upload-id")) == STARTED
    assert list(started_uploads.find_open()) == [STARTED]
    assert started_uploads.find(Upload(TARGET, "other")) is None
    assert started_uploads.find(Upload(replace(TARGET, key="other"), "upload-id")) is None
    assert started_uploads.find(Upload(replace(TARGET, endpoint="http://elsewhere"), "upload-id")) is None
    started_uploads.remove(UPLOAD)
    started_uploads.remove(UPLOAD)
    assert (started_uploads.find(UPLOAD), list(started_uploads.find_open())) == (None, [])


def test_a_finished_upload_is_not_open(home: Path) -> None:
    """The last one of each object is kept for a second complete, for 30 days."""
    started_uploads.add(STARTED)
    started_uploads.finish(replace(STARTED, etag="etag", size=5), time_s=lambda: 0.0)
    assert (started_uploads.find(UPLOAD), list(started_uploads.find_open())) == (None, [])
    assert started_uploads.find_finished(TARGET) == replace(STARTED, etag="etag", size=5)
    later = Upload(replace(TARGET, key="later"), "later")
    [path] = started_uploads.folder().iterdir()
    started_uploads.finish(
        replace(STARTED, upload=later),
        time_s=lambda: path.stat().st_mtime + started_uploads.FINISHED_KEPT_S + 1,
    )
    assert started_uploads.find_finished(TARGET) is None


def test_a_record_of_an_earlier_version_is_read() -> None:
    """The field names are part of the file format."""
    started_uploads.add(STARTED)
    [path] = started_uploads.folder().iterdir()
    path.write_text(
        '{"upload": {"target": {"provider": "oss", "endpoint": "https://oss-cn-hangzhou.aliyuncs.com", '
        '"bucket": "bucket", "key": "k\\u00e9y\\udcff\\n"}, "upload_id": "upload-id", "token": "token"}, '
        '"source": "/data/file", "checkpoint": "/data/file.obsup.json", "created": 1.5, "etag": null, "size": null}'
    )
    assert started_uploads.find(UPLOAD) == STARTED


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"upload": 5}', '{"upload": {"target": {}}}', "null"])
def test_a_damaged_record_is_ignored(text: str) -> None:
    """The upload counts as foreign, and gc leaves it alone."""
    started_uploads.add(STARTED)
    [path] = started_uploads.folder().iterdir()
    path.write_text(text)
    assert (started_uploads.find(UPLOAD), list(started_uploads.find_open())) == (None, [])


def test_only_the_owner_can_read_the_records() -> None:
    """They contain file names and the token."""
    started_uploads.add(STARTED)
    assert stat.S_IMODE(started_uploads.folder().stat().st_mode) == 0o700


def test_a_state_directory_that_cannot_be_written_is_not_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upload is not affected."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("OBSUP_STATE_DIR", str(tmp_path / "file"))
    assert not started_uploads.add(STARTED)
    started_uploads.finish(STARTED)
    started_uploads.remove(UPLOAD)
    assert started_uploads.find(UPLOAD) is None
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_time_of_the_checkpoint_is_not_that_of_a_link(home: Path) -> None:
    """If a link has replaced the recorded checkpoint, the file that it leads to stays as it is."""
    path, other = home / "checkpoint", home / "other"
    started_uploads.add(replace(STARTED, checkpoint=str(path)))
    for one in (path, other):
        one.touch()
        os.utime(one, (1, 1))
    started_uploads.touch_checkpoint(STARTED.upload)
    assert path.stat().st_mtime > 1
    path.unlink()
    path.symlink_to(other)
    started_uploads.touch_checkpoint(STARTED.upload)
    assert other.stat().st_mtime == 1

"""What this machine began: a memory that may be lost, and never takes for ours what is not."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from obsup.local.state import started_uploads
from obsup.local.state.started_uploads import StartedUpload
from obsup.model import Target, Upload

TARGET = Target("oss", "https://oss-cn-hangzhou.aliyuncs.com", "bucket", "kéy\udcff\n")
UPLOAD = Upload(TARGET, "upload-id", "token")
ENTRY = StartedUpload(UPLOAD, "/data/file", "/data/file.obsup.json", 1.5)


def test_what_is_remembered_is_found_until_it_is_forgotten() -> None:
    """By target and upload id; with its token, whatever the key."""
    assert started_uploads.find(UPLOAD) is None
    assert started_uploads.remember(ENTRY)
    assert started_uploads.find(Upload(TARGET, "upload-id")) == ENTRY
    assert list(started_uploads.entries()) == [ENTRY]
    assert started_uploads.find(Upload(TARGET, "other")) is None
    assert started_uploads.find(Upload(replace(TARGET, key="other"), "upload-id")) is None
    assert started_uploads.find(Upload(replace(TARGET, endpoint="http://elsewhere"), "upload-id")) is None
    started_uploads.forget(UPLOAD)
    started_uploads.forget(UPLOAD)
    assert (started_uploads.find(UPLOAD), list(started_uploads.entries())) == (None, [])


def test_what_is_finished_is_no_open_upload(home: Path) -> None:
    """The last one of each object is kept for a second complete, for a month."""
    started_uploads.remember(ENTRY)
    started_uploads.finish(replace(ENTRY, etag="etag", size=5), time_s=lambda: 0.0)
    assert (started_uploads.find(UPLOAD), list(started_uploads.entries())) == (None, [])
    assert started_uploads.find_finished(TARGET) == replace(ENTRY, etag="etag", size=5)
    later = Upload(replace(TARGET, key="later"), "later")
    [path] = started_uploads.folder().iterdir()
    started_uploads.finish(
        replace(ENTRY, upload=later), time_s=lambda: path.stat().st_mtime + started_uploads.KEPT_S + 1
    )
    assert started_uploads.find_finished(TARGET) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"upload": 5}', '{"upload": {"target": {}}}', "null"])
def test_what_cannot_be_read_is_not_ours(text: str) -> None:
    """A torn file makes an upload foreign, which gc leaves alone."""
    started_uploads.remember(ENTRY)
    [path] = started_uploads.folder().iterdir()
    path.write_text(text)
    assert (started_uploads.find(UPLOAD), list(started_uploads.entries())) == (None, [])


def test_it_is_its_owners_alone() -> None:
    """Names of files and the token are nobody else's business."""
    started_uploads.remember(ENTRY)
    assert stat.S_IMODE(started_uploads.folder().stat().st_mode) == 0o700


def test_where_nothing_can_be_written_nothing_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That costs convenience, not the upload."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("OBSUP_STATE_DIR", str(tmp_path / "file"))
    assert not started_uploads.remember(ENTRY)
    started_uploads.finish(ENTRY)
    started_uploads.forget(UPLOAD)
    assert started_uploads.find(UPLOAD) is None
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

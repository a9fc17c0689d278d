"""What this machine began: a memory that may be lost, and never takes for ours what is not."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from obsup.local import registry
from obsup.local.registry import Entry
from obsup.model import Target, Upload

TARGET = Target("oss", "https://oss-cn-hangzhou.aliyuncs.com", "bucket", "kéy\udcff\n")
UPLOAD = Upload(TARGET, "upload-id", "token")
ENTRY = Entry(UPLOAD, "/data/file", "/data/file.obsup.json", 1.5)


def test_what_is_remembered_is_found_until_it_is_forgotten() -> None:
    """By target and upload id; with its token, whatever the key."""
    assert registry.find(UPLOAD) is None
    assert registry.remember(ENTRY)
    assert registry.find(Upload(TARGET, "upload-id")) == ENTRY
    assert list(registry.entries()) == [ENTRY]
    assert registry.find(Upload(TARGET, "other")) is None
    assert registry.find(Upload(replace(TARGET, key="other"), "upload-id")) is None
    assert registry.find(Upload(replace(TARGET, endpoint="http://elsewhere"), "upload-id")) is None
    registry.forget(UPLOAD)
    registry.forget(UPLOAD)
    assert (registry.find(UPLOAD), list(registry.entries())) == (None, [])


def test_what_is_finished_is_no_open_upload(home: Path) -> None:
    """The last one of each object is kept for a second complete, for a month."""
    registry.remember(ENTRY)
    registry.finish(replace(ENTRY, etag="etag", size=5), time_s=lambda: 0.0)
    assert (registry.find(UPLOAD), list(registry.entries())) == (None, [])
    assert registry.find_finished(TARGET) == replace(ENTRY, etag="etag", size=5)
    later = Upload(replace(TARGET, key="later"), "later")
    [path] = registry.folder().iterdir()
    registry.finish(replace(ENTRY, upload=later), time_s=lambda: path.stat().st_mtime + registry.KEPT_S + 1)
    assert registry.find_finished(TARGET) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"upload": 5}', '{"upload": {"target": {}}}', "null"])
def test_what_cannot_be_read_is_not_ours(text: str) -> None:
    """A torn file makes an upload foreign, which gc leaves alone."""
    registry.remember(ENTRY)
    [path] = registry.folder().iterdir()
    path.write_text(text)
    assert (registry.find(UPLOAD), list(registry.entries())) == (None, [])


def test_it_is_its_owners_alone() -> None:
    """Names of files and the token are nobody else's business."""
    registry.remember(ENTRY)
    assert stat.S_IMODE(registry.folder().stat().st_mode) == 0o700


def test_where_nothing_can_be_written_nothing_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That costs convenience, not the upload."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("OBSUP_STATE_DIR", str(tmp_path / "file"))
    assert not registry.remember(ENTRY)
    registry.finish(ENTRY)
    registry.forget(UPLOAD)
    assert registry.find(UPLOAD) is None
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

"""The lookup of checkpoints for many files finds those that an upload of one file would use."""

from __future__ import annotations

from pathlib import Path

import pytest

from obsup.local.platform.paths import exact
from obsup.local.state.checkpoint_path import CheckpointLookup, default_path, find_all
from obsup.model import Target

TARGET = Target("obs", "https://obs.eu-de.otc.t-systems.com", "bucket", "key")


@pytest.mark.parametrize("path", ["file", "./file", "folder/file", "folder/../file"])
@pytest.mark.parametrize("has_folder", [False, True])
def test_the_lookup_finds_the_checkpoint_of_any_form_of_path(
    path: str, has_folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after it was asked about a file of another folder, and relative to the current directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    checkpoints = tmp_path / "checkpoints" if has_folder else None
    lookup = CheckpointLookup(checkpoints)
    assert not lookup.has_any("elsewhere/file", TARGET)
    assert not lookup.has_any(path, TARGET)
    found = default_path(Path(path), TARGET, checkpoints)
    found.parent.mkdir(exist_ok=True)
    found.touch()
    assert lookup.has_any(path, TARGET)
    assert not lookup.has_any(f"{path}2", TARGET)


@pytest.mark.parametrize("names", [9 * ("a folder with a long name",), ("ends with a dot.", "blank ")])
def test_folders_that_programs_of_windows_cannot_open(names: tuple[str, ...], tmp_path: Path) -> None:
    """Their checkpoints are found, of one target and of all."""
    source = tmp_path.joinpath(*names, "file")
    Path(exact(str(source.parent))).mkdir(parents=True)
    for folder in (None, tmp_path.joinpath(*names)):
        found = default_path(source, TARGET, folder)
        found.touch()
        assert CheckpointLookup(folder).has_any(str(source), TARGET)
        found.unlink()
        assert not CheckpointLookup(folder).has_any(str(source), TARGET)
    found = default_path(source, TARGET)
    found.touch()
    assert find_all(source) == {found}

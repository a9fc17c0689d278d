"""Which files are trusted: owner, mode, sudo, and file systems that change the owner."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from obsup.local.platform.owners import distrust
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import SourceStat, Target, Upload

CHECKPOINT = Checkpoint(
    source="/data/bigfile",
    stat=SourceStat(1000, 1, 2, 3, 4),
    upload=Upload(Target("obs", "https://obs.example", "bucket", "key"), "upload-id"),
    part_size=400,
    receipts={},
    created=1.5,
    headers_digest="00ff",
)

SQUASHED = """
import ctypes, sys
from pathlib import Path
from obsup.errors import CheckpointUnwritable
from obsup.local.state import checkpoint as checkpoints
example = checkpoints.load(Path(sys.argv[1]))
ctypes.CDLL(None).setfsuid(65534)  # new files of this thread belong to nobody, as with NFS and root_squash
try:
    checkpoints.save(Path(sys.argv[2]), example)
except CheckpointUnwritable as exc:
    print(exc)
"""


def test_a_file_system_that_changes_the_owner_gets_no_checkpoint(tmp_path: Path) -> None:
    """A later run could not know that it is its own. The temporary file is removed."""
    checkpoints.save(tmp_path / "example", CHECKPOINT)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", SQUASHED, str(tmp_path / "example"), f"{name}/checkpoint"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "(uid 65534), so a later run could not trust it" in done.stdout
        assert list(Path(name).iterdir()) == []


@pytest.mark.parametrize(
    ("mode", "owner", "variables", "reason"),
    [
        (0o644, 0, {}, ""),
        (0o660, 0, {}, "other users can write it (mode 0660)"),
        (0o602, 0, {}, "other users can write it (mode 0602)"),
        (0o600, 54321, {}, "it belongs to uid 54321"),
        (0o600, 54321, {"SUDO_UID": "54321"}, ""),
        (0o600, 54321, {"SUDO_UID": "54322"}, "it belongs to uid 54321"),
        (0o600, 54321, {"SUDO_UID": "-1"}, "it belongs to uid 54321"),
    ],
)
def test_files_that_are_trusted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: int,
    owner: int,
    variables: dict[str, str],
    reason: str,
) -> None:
    """Owner and mode decide; with sudo also who ran it."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "file"
    path.touch()
    path.chmod(mode)
    os.chown(path, owner, owner)
    assert distrust(path.stat(), str(path)) == reason


def test_sudo_uid_counts_only_for_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody else can set the variable without sudo."""
    monkeypatch.setenv("SUDO_UID", "54321")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    path = tmp_path / "file"
    path.touch()
    os.chown(path, 54321, 54321)
    assert distrust(path.stat(), str(path)) == "it belongs to uid 54321"

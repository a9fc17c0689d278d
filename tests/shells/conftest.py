"""Fixtures of the shell tests: obsup installed from its wheel into a prefix, and a machine with an open upload."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install obsup without its dependencies into a separate prefix, as ``pip install --prefix`` does."""
    folder = tmp_path_factory.mktemp("prefix")
    arguments = [
        "install",
        "--quiet",
        "--no-deps",
        # Without this option, pip first uninstalls the obsup that runs these tests.
        "--ignore-installed",
        "--no-warn-script-location",
        "--prefix",
        str(folder),
        str(ROOT),
    ]
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True, cwd=folder)
    return folder


@pytest.fixture
def machine(prefix: Path, tmp_path: Path, home: Path) -> dict[str, str]:
    """The environment of a shell: the installed obsup, an open upload, a profile, and files in *tmp_path*."""
    (packages,) = prefix.glob("lib/python*/site-packages")
    target = {
        "provider": "obs",
        "endpoint": "https://obs.example",
        "bucket": "backups",
        "key": "2026/db dump",
    }
    entry = {
        "upload": {"target": target, "upload_id": "UPLOAD1", "token": None},
        "source": "/srv/db",
        "checkpoint": None,
        "created": 1.0,
        "etag": None,
        "size": None,
    }
    uploads = home / "state" / "uploads"
    uploads.mkdir(parents=True)
    (uploads / "one.json").write_text(json.dumps(entry))
    config = home / ".config" / "obsup" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[profiles.nightly]\nregion = "eu-de"\n')
    (tmp_path / "bigfile").write_bytes(b"x")
    (tmp_path / "my dump.tar").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    return {
        "PATH": f"{prefix / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(packages),
        "OBSUP_STATE_DIR": str(home / "state"),
    }

"""No folder can be written, as in a container with a read-only root and no volume: every command works."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.small_disk import MOUNTED, OWN_MOUNTS
from tests.support.in_process import Inside
from tests.support.shell import Outcome, Shell

Run = Callable[..., Outcome]

MOUNT = """
cd "$0"
mount --bind / /
mount -o remount,bind,ro /
cut -d ' ' -f 2 /proc/mounts | grep -Ev '^/(proc|sys|dev|)(/|$)' | while read -r folder; do
    mount -o remount,bind,ro "$folder" 2>/dev/null || true
done
mount -t tmpfs -o ro none /dev/shm 2>/dev/null || true
! touch read-only 2>/dev/null
exec "$@"
"""


@pytest.fixture(params=["paths", *[pytest.param("mounts", marks=pytest.mark.slow)] * bool(MOUNTED)])
def run(
    request: pytest.FixtureRequest,
    inside: Inside,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run a command in a mount namespace of which all is read-only, or with folders that cannot be created."""
    if request.param == "paths":
        monkeypatch.setenv("OBSUP_STATE_DIR", "/proc/state")
        monkeypatch.setattr("tempfile.tempdir", "/proc/tmp")
        return inside.run
    environment = {**os.environ, **Shell.against(sandbox, tmp_path).environment, "OBSUP_STATE_DIR": ""}

    def run(*words: str) -> Outcome:
        start = [*OWN_MOUNTS, "sh", "-ec", MOUNT, str(tmp_path), sys.executable, "-Bm", "obsup", *words]
        done = subprocess.run(start, env=environment, capture_output=True, text=True, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


def test_every_command_works_without_a_folder_for_state(run: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    """Nothing is locked, which a note says; a folder of locks was exit 74."""
    content = os.urandom(300_000)
    (tmp_path / "tree").mkdir()
    for name in ("source", "tree/one", "tree/two"):
        (tmp_path / name).write_bytes(content)
    upload_id = run("init", "bucket/steps").out.strip()
    step = ("--upload-id", upload_id)
    for command in (
        ("upload", "source", "bucket/put"),
        ("upload", "source", "bucket/parts", "--parts", "2"),
        ("upload", "-r", "tree/", "bucket/batch/"),
        ("upload", "--from-command", "bucket/stream", "--", "cat", "source"),
        ("part", "source", "bucket/steps", *step, "--part-number", "1", "--parts", "1"),
        ("complete", "source", "bucket/steps", *step),
    ):
        outcome = run(*command)
        assert (outcome.code, "run only one upload" in outcome.err) == (0, True), (command, outcome.err)
    for line in (
        "verify source bucket/parts",
        "uploads bucket",
        "gc bucket --older-than 1s",
        "status source",
    ):
        outcome = run(*line.split())
        assert (outcome.code, outcome.err) == (0, ""), line
    for key in ("put", "parts", "batch/one", "batch/two", "stream", "steps"):
        assert sandbox.object_path("bucket", key).read_bytes() == content

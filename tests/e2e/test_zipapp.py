"""obsup in one file (zipapp): its sandbox and its worker processes are those of the archive."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipapp
from pathlib import Path

import pytest

import obsup

MARK = "OBSUP_TEST_ARCHIVE"


@pytest.mark.slow
def test_the_sandbox_and_the_workers_of_an_archive(tmp_path: Path) -> None:
    """The archive marks the environment of the commands that its sandbox runs."""
    package = tmp_path / "app" / "obsup"
    shutil.copytree(Path(obsup.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    init = package / "sandbox" / "__init__.py"
    init.write_text(f"{init.read_text()}\nimport os\nos.environ[{MARK!r}] = __file__\n")
    archive = tmp_path / "obsup.pyz"
    zipapp.create_archive(tmp_path / "app", archive, main="obsup.__main__:main")
    work = tmp_path / "work"
    work.mkdir()
    (work / "bigfile").write_bytes(os.urandom(300_000))
    run = f"{sys.executable} {archive}"
    script = f"""
        echo "${MARK}"
        {run} upload bigfile bucket/key --part-size 100K --executor processes -j 2 &&
        {run} verify bigfile bucket/key --part-size 100K
    """
    done = subprocess.run(
        [sys.executable, archive, "sandbox", "--", "sh", "-c", script],
        cwd=work,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == f"{archive}/obsup/sandbox/__init__.py"

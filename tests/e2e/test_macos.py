"""Uploads with the functions of macOS: a double removes and replaces those of Linux; see tests/doubles/macos.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.shell import Outcome, variables_of
from tests.support.waiting import wait_for

MakeFile = Callable[..., Path]
ROOT = Path(__file__).parents[2]


class Mac:
    """Runs obsup in *folder* as on a Mac."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.folder = folder
        self._calls = folder.parent / f"{folder.name}.calls"
        self._environment = variables_of(sandbox) | {
            "PYTHONPATH": str(ROOT),
            "OBSUP_TEST_MACOS_CALLS": str(self._calls),
        }

    def begin(self, *arguments: str, **extra: str) -> subprocess.Popen[str]:
        """Start ``obsup ARGUMENTS``."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.doubles.macos", *arguments],
            cwd=self.folder,
            env={**os.environ, **self._environment, **extra},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **extra: str) -> Outcome:
        """Run ``obsup ARGUMENTS`` to its end."""
        with self.begin(*arguments, **extra) as process:
            out, err = process.communicate(timeout=60)
        return Outcome(process.returncode, out, err)

    @property
    def calls(self) -> Counter[str]:
        """How many times each recorded function was called."""
        return Counter(self._calls.read_text().splitlines()) if self._calls.exists() else Counter()


@pytest.fixture
def mac(sandbox: Sandbox, tmp_path: Path) -> Mac:
    """Runs obsup as on a Mac, against the sandbox."""
    return Mac(sandbox, tmp_path)


def test_upload_kill_resume_and_verify(mac: Mac, sandbox: Sandbox, make_file: MakeFile, home: Path) -> None:
    """Checkpoints reach the disk by F_FULLFSYNC, parts the network by sendfile; locks are released and found."""
    source = make_file(900_000)
    upload = ("upload", source.name, "bucket/key", "--parts", "8", "-j", "1", "--digest", "none")
    sandbox.add_fault("delay=600,op=part,part=5,times=1")
    with mac.begin(*upload) as process:
        wait_for(lambda: sandbox.injected_faults, process=process)
        wait_for(lambda: mac.run("status", source.name, "bucket/key", "--json").json["uploads"][0]["live"])
        process.kill()
    assert mac.calls["F_FULLFSYNC"]
    done = mac.run(*upload)
    # Parts may have been stored after the last write of the checkpoint, as if another machine had sent them.
    others = [
        line for line in done.err.splitlines() if "not in the checkpoint, but stored less than a" not in line
    ]
    assert (done.code, others) == (0, [])
    assert mac.calls["sendfile"]
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert mac.run("verify", source.name, "bucket/key", "--parts", "8").code == 0
    assert (home / "Library/Application Support/obsup").is_dir()


def test_disks_of_the_network_are_written_by_fsync(mac: Mac, sandbox: Sandbox, make_file: MakeFile) -> None:
    """They do not have F_FULLFSYNC."""
    make_file(300_000)
    done = mac.run("upload", "bigfile", "bucket/key", "--parts", "2", OBSUP_TEST_MACOS_DISK="network")
    assert (done.code, done.err) == (0, "")
    assert mac.calls["F_FULLFSYNC failed"]


def test_folders_with_files_of_the_finder(mac: Mac, sandbox: Sandbox) -> None:
    """Two patterns leave out what macOS creates itself; a folder that it protects is named, the rest is sent."""
    for name in ("a", "._a", ".DS_Store", "sub/b", "sub/._b", "sub/.DS_Store", "Library/Mail/c"):
        path = mac.folder / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    done = mac.run("upload", "-r", "tree/", "bucket/in/", "--exclude", "._*", "--exclude", ".DS_Store")
    assert done.code == 66
    assert "tree/Library/Mail" in done.err
    assert "Full Disk Access" in done.err
    sent = {one.key for one in sandbox.requests if one.operation == "put" and one.status == 200}
    assert sent == {"in/a", "in/sub/b"}


def test_the_output_of_a_command(mac: Mac, sandbox: Sandbox) -> None:
    """Its exit code is found without waitid."""
    failed = mac.run("upload", "--from-command", "bucket/key", "--", "sh", "-c", "echo a; exit 3")
    assert failed.code == 76
    assert "exited with 3" in failed.err
    assert mac.run("upload", "--from-command", "bucket/key", "--", "echo", "a").code == 0
    assert sandbox.object_path("bucket", "key").read_text() == "a\n"

"""Upload, kill, resume and verify files and folders with obsup under Windows, to a sandbox on this machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.support.waiting import wait_for
from tests.windows.windows_machine import SCRIPTS, WindowsMachine, windows_path

pytestmark = [pytest.mark.windows, pytest.mark.xdist_group("windows")]

MakeFile = Callable[..., Path]
PARTS = 8


def sent_parts(sandbox: Sandbox) -> Counter[int]:
    """Return how many times each part was stored."""
    return Counter(
        one.part_number or 0 for one in sandbox.requests if one.operation == "part" and one.status == 200
    )


def test_upload_status_and_verify(windows: WindowsMachine, sandbox: Sandbox, make_file: MakeFile) -> None:
    """A file with a drive letter and backslashes is uploaded in parts; the default key is the file's name."""
    source = make_file(900_000, "big file.bin")
    done = windows.run("upload", windows_path(source), "bucket/backups/", "--parts", str(PARTS), "--json")
    assert (done.code, done.err) == (0, "")
    assert sandbox.object_path("bucket", "backups/big file.bin").read_bytes() == source.read_bytes()
    assert sent_parts(sandbox) == dict.fromkeys(range(1, PARTS + 1), 1)
    verified = windows.run("verify", "big file.bin", "bucket/backups/big file.bin", "--parts", str(PARTS))
    assert (verified.code, verified.err) == (0, "")
    source.write_bytes(b"x" + source.read_bytes()[1:])
    changed = windows.run("verify", "big file.bin", "bucket/backups/big file.bin", "--parts", str(PARTS))
    assert changed.code == 65, changed


def test_resume_after_terminate_process(
    windows: WindowsMachine, sandbox: Sandbox, make_file: MakeFile
) -> None:
    """TerminateProcess leaves a checkpoint; the next run sends what is missing, and the lock of the first is free."""
    source = make_file(900_000)
    upload = ("upload", source.name, "bucket/key", "--parts", str(PARTS), "-j", "1")
    sandbox.add_fault("delay=600,op=part,part=5,times=1")
    process = windows.start_python(windows_path(SCRIPTS / "terminate.py"), *upload)
    wait_for(lambda: len(sent_parts(sandbox)) == 4, within_s=300, process=process)
    status = windows.run("status", source.name, "bucket/key", "--json")
    assert status.json["uploads"][0]["live"] is True, status
    outcome = windows.outcome(process, b"\n")
    assert outcome.out == "1\n", outcome
    assert windows.run(*upload).code == 0
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    assert sent_parts(sandbox) == dict.fromkeys(range(1, PARTS + 1), 1)
    assert not sandbox.uploads()


def test_folders_have_keys_with_slashes(windows: WindowsMachine, sandbox: Sandbox) -> None:
    """Backslashes become slashes, names are Unicode, and a second run sends nothing."""
    names = ("a.txt", "sub/b.txt", "sub/größer/日本.txt")
    for name in names:
        path = windows.folder / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    done = windows.run("upload", "-r", "tree\\", "bucket/in/", "--exclude", "*.tmp", "--json")
    assert (done.code, done.err) == (0, "")
    for name in names:
        assert sandbox.object_path("bucket", f"in/{name}").read_text() == name
    requests = len(sandbox.requests)
    assert windows.run("upload", "-r", "tree/", "bucket/in/").code == 0
    assert not [one for one in sandbox.requests[requests:] if one.operation == "put"]
    listed = b"tree\\a.txt\r\ntree\\sub\\b.txt\r\n"
    assert windows.run("upload", "--from-list", "-", "bucket/list/", stdin=listed).code == 0
    assert sandbox.object_path("bucket", "list/tree/sub/b.txt").read_text() == "sub/b.txt"


def test_steps(windows: WindowsMachine, sandbox: Sandbox, make_file: MakeFile) -> None:
    """Init, part, parts, complete, and abort of another upload."""
    source = make_file(250_000)
    started = windows.run("init", "bucket/key")
    upload_id = started.out.strip()
    assert started.code == 0, started
    for number in ("1", "2"):
        cut = ("--parts", "2", "--part-number", number)
        part = windows.run("part", source.name, "bucket/key", "--upload-id", upload_id, *cut)
        assert part.code == 0, part
    parts = windows.run("parts", "bucket/key", "--upload-id", upload_id, "--json")
    assert [part["partNumber"] for part in parts.json["list"]] == [1, 2], parts
    done = windows.run("complete", source.name, "bucket/key", "--upload-id", upload_id, "--parts", "2")
    assert done.code == 0, done
    assert sandbox.object_path("bucket", "key").read_bytes() == source.read_bytes()
    other = windows.run("init", "bucket/other").out.strip()
    assert windows.run("abort", "bucket/other", "--upload-id", other).code == 0
    assert not sandbox.uploads()

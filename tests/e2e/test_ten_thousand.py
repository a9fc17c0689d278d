"""Ten thousand parts, the maximum per upload, through every command."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from obsup.units import KIB
from tests.support.shell import Shell

PARTS = 10_000
PART = 100 * KIB
SIZE = PARTS * PART

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Service:
    """A sandbox that can be stopped and restarted with the same port, keys and folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._port = 0
        self._access_key: str | None = None
        self._secret_key: str | None = None

    @contextmanager
    def running(self) -> Iterator[Sandbox]:
        """Serve while inside; bodies are counted and hashed, not kept."""
        with Sandbox(
            self.folder,
            port=self._port,
            discard=True,
            access_key=self._access_key,
            secret_key=self._secret_key,
        ) as sandbox:
            self._port = sandbox.port
            self._access_key, self._secret_key = sandbox.access_key, sandbox.secret_key
            yield sandbox

    def copy_upload(self, upload_id: str, *, key: str) -> None:
        """Create another open upload with the same parts. Call it only while the sandbox is stopped."""
        uploads = self.folder / ".sandbox/uploads"
        copy = uploads / (upload_id[:-1] + ("0" if upload_id[-1] != "0" else "1"))
        shutil.copytree(uploads / upload_id, copy)
        record = json.loads((copy / "upload.json").read_text())
        (copy / "upload.json").write_text(json.dumps({**record, "key": key}))


def sent(sandbox: Sandbox) -> Counter[int | None]:
    """Return how often each part was stored."""
    return Counter(r.part_number for r in sandbox.requests if r.operation == "part" and r.status == 200)


def test_ten_thousand_parts_through_every_command(tmp_path: Path) -> None:
    """init, part, an interrupted and resumed upload, status, parts, uploads, complete; then abort and gc."""
    source = tmp_path / "bigfile"
    with source.open("wb") as file:
        file.truncate(SIZE)
        for number in range(0, PARTS, 97):  # different parts, to detect a wrong order
            file.seek(number * PART)
            file.write(os.urandom(64))
    service = Service(tmp_path / "store")
    arguments = (source, "bucket/key")
    with service.running() as sandbox:
        shell = Shell.against(sandbox, tmp_path)
        shell = Shell(shell.folder, shell.environment, timeout_s=600)
        upload_id = shell.run("init", *arguments, "--parts", str(PARTS)).out.strip()
        assert shell.run("part", *arguments, "--part-number", str(PARTS)).code == 0
        interrupted = shell.run("upload", *arguments, "-j", "8", "--max-time", "3s")
        assert interrupted.code == 75, interrupted.err
        assert 1 < len(sent(sandbox)) < PARTS
        sandbox.add_fault("error=403:AccessDenied,op=complete,times=always")
        resumed = shell.run("upload", *arguments, "-j", "8", "--json")
        assert resumed.code == 77, resumed.err
        assert sent(sandbox) == Counter(range(1, PARTS + 1))
        status = shell.run("status", source, "--json").json["uploads"][0]
        assert (status["storedParts"], status["storedBytes"], status["missing"]) == (PARTS, SIZE, [])
        listed = [line.split("\t") for line in shell.run("parts", *arguments).out.splitlines()]
        assert [(int(row[0]), int(row[1])) for row in listed] == [(n, PART) for n in range(1, PARTS + 1)]
        [row] = shell.run("uploads", "bucket", "--long").out.splitlines()
        assert row.split("\t")[:2] + row.split("\t")[6:8] == ["key", upload_id, str(PARTS), str(SIZE)]
    service.copy_upload(upload_id, key="copy")
    with service.running() as sandbox:
        (tmp_path / "list").write_text("\n".join("\t".join(row) for row in listed))
        rejected = shell.run("complete", *arguments, "--etags-from", "list", "--parts", str(PARTS - 1))
        assert (rejected.code, f"part {PARTS} is not expected" in rejected.err) == (65, True)
        done = shell.run("complete", *arguments, "--json")
        assert (done.json["parts"], done.json["size"], done.json["verified"]) == (PARTS, SIZE, "etag")
        assert sandbox.object_metadata("bucket", "key").size == SIZE
        repeated = shell.run("complete", *arguments)
        assert repeated.out.strip() == done.json["etag"]
        [copy] = sandbox.uploads()
        assert len(copy.parts) == PARTS
        assert shell.run("gc", "bucket", "--older-than", "0s").out == ""
        assert shell.run("gc", "bucket", "--older-than", "0s", "--foreign", "--dry-run").out != ""
        assert shell.run("abort", "bucket/copy", "--upload-id", copy.upload_id).code == 0
        assert sandbox.uploads() == []

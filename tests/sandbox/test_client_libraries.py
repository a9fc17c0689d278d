"""Libraries for S3 and OSS against the sandbox. What they store is compared byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.sandbox.other_clients import SCRIPTS, environment, make_files, refusals, run, stored

pytestmark = pytest.mark.clients


def test_s3fs(start: Callable[..., Sandbox], tmp_path: Path) -> None:
    sandbox = start(buckets=["other"])
    big = make_files(tmp_path)["big"]
    run(["python", SCRIPTS / "s3fs_calls.py", "big"], environment(sandbox, tmp_path), tmp_path)
    assert stored(sandbox) == {"written": big + b"more", "folder/moved": big}


def test_pyarrow(start: Callable[..., Sandbox], tmp_path: Path) -> None:
    sandbox = start(buckets=["other"])
    big = make_files(tmp_path)["big"]
    run(["python", SCRIPTS / "pyarrow_calls.py", "big"], environment(sandbox, tmp_path), tmp_path)
    # It marks folders by empty objects.
    assert {key: body for key, body in stored(sandbox).items() if body} == {"moved": big}


def test_minio_js(start: Callable[..., Sandbox], tmp_path: Path) -> None:
    sandbox = start(buckets=["other"])
    big = make_files(tmp_path)["big"]
    run(["node", SCRIPTS / "minio_calls.js", "big"], environment(sandbox, tmp_path), tmp_path)
    keys = {"a ü+%": big, "stream": big, "composed": big + b"hello", "presigned": b"hello"}
    assert {key: sandbox.object_path("bucket", key).read_bytes() for key in keys} == keys
    assert len(stored(sandbox)) == len(keys)


@pytest.mark.parametrize("version", ["v1", "v4"])
def test_ali_oss(start: Callable[..., Sandbox], tmp_path: Path, version: str) -> None:
    sandbox = start(buckets=["other"])
    big = make_files(tmp_path)["big"]
    run(["node", SCRIPTS / "ali_oss_calls.js", "big", version], environment(sandbox, tmp_path), tmp_path)
    keys = ["a ü+%", "resumed", "stream", "copied parts"]
    assert all(sandbox.object_path("bucket", key).read_bytes() == big for key in keys)
    assert len(stored(sandbox)) == len(keys)
    assert {record.dialect for record in sandbox.requests} == {"oss1" if version == "v1" else "oss4"}
    assert refusals(sandbox) == set()

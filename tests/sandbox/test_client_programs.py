"""Command-line programs for S3 against the sandbox. What they store and fetch is compared byte by byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.sandbox.other_clients import MIB, environment, make_files, read_files, refusals, run, stored

pytestmark = pytest.mark.clients


def test_aws_s3(start: Callable[..., Sandbox], tmp_path: Path) -> None:
    sandbox = start(buckets=["other"])
    files = make_files(tmp_path / "in")
    variables = environment(sandbox, tmp_path)

    def s3(*words: str) -> bytes:
        return run(["aws", "--endpoint-url", sandbox.endpoint, "s3", *words], variables, tmp_path)

    s3("mb", "s3://bucket")
    s3("cp", "in/big", "s3://bucket/one", "--metadata", "colour=blue", "--only-show-errors")
    assert stored(sandbox) == {"one": files["big"]}
    assert sandbox.object_metadata("bucket", "one").attributes.metadata == {"colour": "blue"}
    s3("cp", "s3://bucket/one", "back", "--only-show-errors")
    assert (tmp_path / "back").read_bytes() == files["big"]
    assert [record.status for record in sandbox.requests].count(206) >= 2
    s3("sync", "in", "s3://bucket/tree", "--only-show-errors")
    assert stored(sandbox) == {"one": files["big"]} | {f"tree/{name}": body for name, body in files.items()}
    s3("sync", "s3://bucket/tree", "out", "--only-show-errors")
    assert read_files(tmp_path / "out") == files
    assert s3("sync", "in", "s3://bucket/tree") == b""
    s3("mv", "s3://bucket/one", "s3://bucket/two", "--only-show-errors")
    s3("rm", "--recursive", "s3://bucket/tree", "--only-show-errors")
    assert stored(sandbox) == {"two": files["big"]}
    assert b" two\n" in s3("ls", "--recursive", "s3://bucket")
    assert refusals(sandbox) == set()


def test_aws_s3api(start: Callable[..., Sandbox], tmp_path: Path) -> None:
    sandbox = start(limits={"min_part": 1})
    files = make_files(tmp_path)
    variables = environment(sandbox, tmp_path)

    def s3api(command: str, *words: str) -> Any:
        target = ["--bucket", "bucket", *(["--key", "key"] if "list-m" not in command else [])]
        arguments = ["aws", "--endpoint-url", sandbox.endpoint, "s3api", command, *target, *words]
        return json.loads(run(arguments, variables, tmp_path))

    upload = ["--upload-id", s3api("create-multipart-upload", "--checksum-algorithm", "SHA256")["UploadId"]]
    part = s3api(
        "upload-part", *upload, "--part-number", "1", "--body", "big", "--checksum-algorithm", "SHA256"
    )
    assert [one["UploadId"] for one in s3api("list-multipart-uploads")["Uploads"]] == upload[1:]
    listed = s3api("list-parts", *upload)["Parts"]
    assert (listed[0]["ETag"], listed[0]["ChecksumSHA256"]) == (part["ETag"], part["ChecksumSHA256"])
    named = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}]}
    s3api("complete-multipart-upload", *upload, "--multipart-upload", json.dumps(named))
    assert stored(sandbox) == {"key": files["big"]}
    s3api("get-object", "--range", "bytes=100-199", "back")
    assert (tmp_path / "back").read_bytes() == files["big"][100:200]
    attributes = s3api("get-object-attributes", "--object-attributes", "ObjectSize", "ObjectParts")
    assert (attributes["ObjectSize"], attributes["ObjectParts"]["TotalPartsCount"]) == (len(files["big"]), 1)
    assert refusals(sandbox) == set()


@pytest.mark.parametrize("signature", ["v4", "v2"])
def test_s3cmd(start: Callable[..., Sandbox], tmp_path: Path, signature: str) -> None:
    sandbox = start()
    files = make_files(tmp_path / "in")
    address = f"127.0.0.1:{sandbox.port}"
    (tmp_path / "config").write_text(
        f"[default]\nhost_base = {address}\nhost_bucket = {address}\nuse_https = False\n"
        f"multipart_chunk_size_mb = 5\nsignature_v2 = {signature == 'v2'}\n"
    )
    variables = environment(sandbox, tmp_path)

    def s3cmd(*words: str) -> bytes:
        return run(["s3cmd", "-c", "config", "--no-progress", *words], variables, tmp_path)

    s3cmd("mb", "s3://bucket")
    s3cmd("put", "in/big", "s3://bucket/one")
    assert stored(sandbox) == {"one": files["big"]}
    assert len([record for record in sandbox.requests if record.operation == "part"]) == 4
    s3cmd("get", "s3://bucket/one", "back")
    assert (tmp_path / "back").read_bytes() == files["big"]
    s3cmd("sync", "in/", "s3://bucket/tree/")
    assert stored(sandbox) == {"one": files["big"]} | {f"tree/{name}": body for name, body in files.items()}
    (tmp_path / "out").mkdir()
    s3cmd("sync", "s3://bucket/tree/", "out/")
    assert read_files(tmp_path / "out") == files
    s3cmd("mv", "s3://bucket/one", "s3://bucket/two")
    s3cmd("rm", "-r", "--force", "s3://bucket/tree")
    assert stored(sandbox) == {"two": files["big"]}
    assert b"s3://bucket/two" in s3cmd("ls", "-r", "s3://bucket")
    s3cmd("rm", "-r", "--force", "s3://bucket")
    assert stored(sandbox) == {}
    # It asks for ACLs, which the sandbox does not have.
    assert refusals(sandbox) <= {("unknown", "NotImplemented")}
    assert {record.dialect for record in sandbox.requests} == {"aws4" if signature == "v4" else "aws2"}


def test_s5cmd(start: Callable[..., Sandbox], tmp_path: Path) -> None:
    sandbox = start(buckets=["other"])
    files = make_files(tmp_path / "in")
    variables = environment(sandbox, tmp_path, S3_ENDPOINT_URL=sandbox.endpoint)

    def s5cmd(*words: str) -> bytes:
        return run(["s5cmd", *words], variables, tmp_path)

    s5cmd("mb", "s3://bucket")
    s5cmd("cp", "--part-size", "5", "in/", "s3://bucket/tree/")
    assert stored(sandbox) == {f"tree/{name}": body for name, body in files.items()}
    assert len([record for record in sandbox.requests if record.operation == "part"]) == 4
    assert s5cmd("cat", "s3://bucket/tree/big") == files["big"]
    s5cmd("cp", "s3://bucket/tree/*", "out/")
    assert read_files(tmp_path / "out") == files
    s5cmd("cp", "s3://bucket/tree/big", "s3://bucket/copy")
    s5cmd("mv", "s3://bucket/copy", "s3://bucket/moved")
    s5cmd("rm", "s3://bucket/tree/*")
    assert stored(sandbox) == {"moved": files["big"]}
    assert b"moved" in s5cmd("ls", "s3://bucket/*")
    s5cmd("rm", "s3://bucket/*")
    s5cmd("rb", "s3://bucket")
    assert refusals(sandbox) == set()


@pytest.mark.parametrize("signature", ["v4", "v2"])
def test_rclone(start: Callable[..., Sandbox], tmp_path: Path, signature: str) -> None:
    sandbox = start()
    files = make_files(tmp_path / "in")
    settings = {
        "PROVIDER": "Other",
        "ENDPOINT": sandbox.endpoint,
        "ACCESS_KEY_ID": sandbox.access_key,
        "SECRET_ACCESS_KEY": sandbox.secret_key,
        "V2_AUTH": str(signature == "v2").lower(),
        "CHUNK_SIZE": "5M",
        "UPLOAD_CUTOFF": "5M",
    }
    variables = environment(sandbox, tmp_path, RCLONE_CONFIG="/dev/null", RCLONE_RETRIES="1")
    variables |= {f"RCLONE_S3_{name}": value for name, value in settings.items()}

    def rclone(*words: str) -> bytes:
        return run(["rclone", *words], variables, tmp_path)

    rclone("copy", "in", ":s3:bucket/x")
    assert stored(sandbox) == {f"x/{name}": body for name, body in files.items()}
    assert len([record for record in sandbox.requests if record.operation == "part"]) == 4
    rclone("touch", ":s3:bucket/x/empty")
    rclone("touch", ":s3:bucket/x/small")
    assert stored(sandbox) == {f"x/{name}": body for name, body in (files | {"empty": b""}).items()}
    rclone("copy", ":s3:bucket/x", "out")
    assert read_files(tmp_path / "out") == files | {"empty": b""}
    rclone("check", "--one-way", "in", ":s3:bucket/x", "--exclude", "small")
    assert (
        rclone("cat", "--offset", str(MIB), "--count", "9", ":s3:bucket/x/big") == files["big"][MIB : MIB + 9]
    )
    rclone("moveto", ":s3:bucket/x/big", ":s3:bucket/y")
    rclone("deletefile", ":s3:bucket/x/empty")
    assert stored(sandbox) == {"y": files["big"], "x/small": b"hello", "x/sub/ü b+c": b"nested"}
    rclone("purge", ":s3:bucket")
    assert {record.dialect for record in sandbox.requests} == {"aws4" if signature == "v4" else "aws2"}
    assert {code for _, code in refusals(sandbox)} <= {"NoSuchKey"}

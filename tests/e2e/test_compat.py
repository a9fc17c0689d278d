"""The sample programs of the vendor's pages run after one import is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from obsup import compat
from obsup.errors import Refused, WrongUsage
from obsup.sandbox.sandbox import Sandbox

IMPORT = "from obsup.compat import ObsClient, CompleteMultipartUploadRequest, CompletePart\n"
CLIENT = """
import os
import traceback
ak = os.getenv("AccessKeyID")
sk = os.getenv("SecretAccessKey")
obsClient = ObsClient(access_key_id=ak, secret_access_key=sk, server=server)
bucketName, objectKey = "examplebucket", "objectname"
"""
# Page "Multipart Upload Overview".
OVERVIEW = """
resp = obsClient.initiateMultipartUpload(bucketName, objectKey, contentType="text/plain")
uploadId = resp.body["uploadId"]
partSize, partNum, offset, isFile, etags = 200 * 1024, 1, 0, True, {}
contentLength = os.path.getsize(filepath)
while offset < contentLength:
    partSize = min(partSize, (contentLength - offset))
    resp1 = obsClient.uploadPart(bucketName, objectKey, partNum, uploadId, filepath, isFile, partSize, offset)
    etags[partNum] = resp1.body.etag
    offset = offset + partSize
    partNum = partNum + 1
completes = []
for i in range(1, partNum):
    completes.append(CompletePart(i, etags[i]))
request = CompleteMultipartUploadRequest(parts=completes)
resp = obsClient.completeMultipartUpload(bucketName, objectKey, uploadId, request)
"""
# Page "Uploading an Object - Resumable".
RESUMABLE = """
resp = obsClient.uploadFile(bucketName, objectKey, filepath, 200 * 1024, 5, True, encoding_type="url")
"""
# Page "Uploading a Part".
PART = """
uploadId = obsClient.initiateMultipartUpload(bucketName, objectKey).body.uploadId
resp = obsClient.uploadPart(bucketName, objectKey, 1, uploadId, "Hello OBS", False, 9 * 1024 * 1024,
                            0, isAttachMd5=True)
"""
REPORT = """
if resp.status < 300:
    print("Succeeded", "requestId:", resp.requestId, "etag:", resp.body.etag)
else:
    print("Failed", resp.requestId, resp.errorCode, resp.errorMessage)
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox with the limits of the vendor whose client is replaced."""
    with Sandbox(aws_vendor="obs") as running:
        yield running


@pytest.mark.parametrize("sample", [OVERVIEW, RESUMABLE, PART], ids=["overview", "resumable", "part"])
def test_a_sample_program(
    sample: str,
    sandbox: Sandbox,
    make_file: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It reports success, and a whole object is the file."""
    source = make_file(1_000_000)
    monkeypatch.setenv("AccessKeyID", sandbox.access_key)
    monkeypatch.setenv("SecretAccessKey", sandbox.secret_key)
    exec(IMPORT + CLIENT + sample + REPORT, {"server": sandbox.endpoint, "filepath": str(source)})
    assert capsys.readouterr().out.startswith("Succeeded requestId: ")
    if sample != PART:
        assert sandbox.object_path("examplebucket", "objectname").read_bytes() == source.read_bytes()
        assert sandbox.uploads() == []


def test_a_failure_is_a_result_with_the_error_of_the_store(sandbox: Sandbox) -> None:
    """What is no response of the store is an exception."""
    client = compat.ObsClient(sandbox.access_key, sandbox.secret_key, server=sandbox.endpoint)
    result = client.uploadPart("bucket", "key", 1, "unknown", "text")
    assert (result.status, result.reason, result.errorCode) == (404, "Not Found", "NoSuchUpload")
    assert result.requestId
    assert "NoSuchUpload" in result.body
    assert result.nothing is None
    with pytest.raises(WrongUsage):
        client.uploadPart("bucket", "key", 10_001, "unknown", "text")
    for bucket, key in (("bucket", ""), ("bucket", "folder/"), ("bucket/folder", "key")):
        with pytest.raises(WrongUsage, match="invalid"):
            client.uploadFile(bucket, key, __file__)
    with pytest.raises(TypeError, match="colour"):
        compat.ObsClient(server=sandbox.endpoint, colour="blue")


def test_an_error_in_a_response_with_status_200_is_no_success(
    sandbox: Sandbox, make_file: Callable[..., Path]
) -> None:
    """Programs test ``resp.status < 300``: it is an exception."""
    source = make_file(300_000)
    client = compat.ObsClient(sandbox.access_key, sandbox.secret_key, server=sandbox.endpoint)
    sandbox.add_fault("error=200:AccessDenied,op=complete")
    with pytest.raises(Refused, match="AccessDenied"):
        client.uploadFile("bucket", "key", str(source), 100 * 1024)
    assert not sandbox.object_path("bucket", "key").exists()


def test_guards_that_would_be_ignored_are_refused(sandbox: Sandbox) -> None:
    """A key of SSE-C that is None, a header of another type, a CRC-64, a part that is named twice."""
    client = compat.ObsClient(sandbox.access_key, sandbox.secret_key, server=sandbox.endpoint)
    for header in (compat.SseCHeader("AES256", None), {"encryption": "AES256", "key": "k" * 32}):
        with pytest.raises(WrongUsage):
            client.initiateMultipartUpload("bucket", "key", sseHeader=header)  # type: ignore[arg-type]
    with pytest.raises(WrongUsage, match="crc64"):
        client.uploadPart("bucket", "key", 1, "id", "text", crc64="1")
    for parts in ([(1, "a", "1")], [(1, "a"), (1, "b")]):
        request = compat.CompleteMultipartUploadRequest([compat.CompletePart(*one) for one in parts])
        with pytest.raises(WrongUsage):
            client.completeMultipartUpload("bucket", "key", "id", request)
    assert not sandbox.requests

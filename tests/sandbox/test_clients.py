"""The vendors' own clients, against the sandbox as if it were their service."""

from __future__ import annotations

import hashlib
import http.client
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import alibabacloud_oss_v2 as oss
import botocore.exceptions
import oss2
import pytest
from obs import CompleteMultipartUploadRequest, CompletePart, ObsClient, SseCHeader

from obsup.sandbox.sandbox import Sandbox
from tests.doubles.certificates import Authority
from tests.sandbox.vendor_clients import KEY, alibaba, esdk, s3

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 MiB and a bit, so that every vendor's uploader makes several parts of it."""
    path = tmp_path_factory.mktemp("source") / "source.bin"
    block = hashlib.sha512(b"seed").digest() * 16384
    path.write_bytes(b"".join(bytes([n]) + block for n in range(12)) + b"tail")
    return path


@pytest.fixture
def _localhost_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve bucket.localhost here, as resolvers should and not all do."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if str(host).endswith("localhost") else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def assert_stored(sandbox: Sandbox, source: Path, bucket: str = "bucket", key: str = KEY) -> None:
    stored = sandbox.object_path(bucket, key).read_bytes()
    assert hashlib.sha256(stored).hexdigest() == hashlib.sha256(source.read_bytes()).hexdigest()
    assert sandbox.uploads() == []
    assert [record.status for record in sandbox.requests if record.status not in (200, 204)] == []


def put_url(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> http.client.HTTPResponse:
    """PUT to a presigned URL."""
    return send_url("PUT", url, body, headers)


def send_url(
    method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> http.client.HTTPResponse:
    """Send a request to a presigned URL, with no header but those given."""
    split = urlsplit(url)
    connection = http.client.HTTPConnection(split.hostname or "", split.port, timeout=10)
    connection.request(method, f"{split.path}?{split.query}", body, dict(headers or {}))
    reply = connection.getresponse()
    reply.read()
    connection.close()
    return reply


@pytest.fixture(params=["obs", "obs-virtual", "v2", "v4", "negotiated"])
def obs_client(
    request: pytest.FixtureRequest, start: Callable[..., Sandbox], _localhost_buckets: None
) -> Any:
    sandbox = start(aws_vendor="obs")
    if request.param == "obs-virtual":
        client = esdk(sandbox, "obs", server=f"http://localhost:{sandbox.port}", path_style=False)
    elif request.param == "negotiated":
        client = ObsClient(
            access_key_id=sandbox.access_key, secret_access_key=sandbox.secret_key, server=sandbox.endpoint
        )
    else:
        client = esdk(sandbox, request.param)
    client.sandbox = sandbox
    yield client
    client.close()


def test_esdk_uploads_a_file_with_a_checkpoint(obs_client: Any, source: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "record"
    reply = obs_client.uploadFile(
        "bucket", KEY, str(source), 5 * 1024 * 1024, 3, True, str(checkpoint), True, {"colour": "blue"}
    )
    assert reply.status == 200, reply
    assert_stored(obs_client.sandbox, source)
    assert obs_client.sandbox.object_metadata("bucket", KEY).attributes.metadata == {"colour": "blue"}


def test_esdk_walks_through_the_protocol(obs_client: Any, source: Path) -> None:
    sandbox: Sandbox = obs_client.sandbox
    upload_id = obs_client.initiateMultipartUpload("bucket", KEY).body.uploadId
    etags = {}
    for number, (offset, size) in enumerate([(0, 1 << 20), (1 << 20, 12 << 20)], start=1):
        reply = obs_client.uploadPart(
            "bucket", KEY, number, upload_id, str(source), True, size, offset, isAttachMd5=True
        )
        assert reply.status == 200, reply
        etags[number] = reply.body.etag
    listed = obs_client.listParts("bucket", KEY, upload_id).body
    assert [(part.partNumber, part.etag) for part in listed.parts] == list(etags.items())
    uploads = obs_client.listMultipartUploads("bucket").body
    assert [(upload.key, upload.uploadId) for upload in uploads.upload] == [(KEY, upload_id)]
    named = CompleteMultipartUploadRequest([CompletePart(number, etag) for number, etag in etags.items()])
    reply = obs_client.completeMultipartUpload("bucket", KEY, upload_id, named)
    assert reply.status == 200, reply
    assert_stored(sandbox, source)
    head = obs_client.getObjectMetadata("bucket", KEY)
    assert {name.lower(): value for name, value in head.header}["uploadid"] == upload_id


def test_esdk_aborts_an_upload(obs_client: Any) -> None:
    upload_id = obs_client.initiateMultipartUpload("bucket", KEY).body.uploadId
    assert obs_client.abortMultipartUpload("bucket", KEY, upload_id).status == 204
    assert obs_client.sandbox.uploads() == []
    assert obs_client.listParts("bucket", KEY, upload_id).errorCode == "NoSuchUpload"


@pytest.mark.parametrize("signature", ["obs", "v2", "v4"])
def test_esdk_signs_urls_that_work(start: Callable[..., Sandbox], signature: str) -> None:
    sandbox = start()
    client = esdk(sandbox, signature)
    signed = client.createSignedUrl("PUT", "bucket", KEY, expires=60)
    headers = {n: v for n, v in signed.actualSignedRequestHeaders.items() if n.lower() != "content-length"}
    assert put_url(signed.signedUrl, b"hello", headers).status == 200
    assert sandbox.object_path("bucket", KEY).read_bytes() == b"hello"
    client.close()


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("signature", ["s3", "s3v4"])
@pytest.mark.usefixtures("_localhost_buckets")
def test_boto3_uploads_a_file(
    start: Callable[..., Sandbox], source: Path, signature: str, style: str
) -> None:
    sandbox = start()
    client = s3(sandbox, signature, style=style, endpoint=f"http://localhost:{sandbox.port}")
    client.upload_file(str(source), "bucket", KEY, ExtraArgs={"Metadata": {"colour": "blue"}})
    assert_stored(sandbox, source)
    assert {record.dialect for record in sandbox.requests} == {"aws2" if signature == "s3" else "aws4"}
    head = client.head_object(Bucket="bucket", Key=KEY)
    assert head["Metadata"] == {"colour": "blue"}
    assert head["ETag"].endswith('-2"')
    assert client.get_object(Bucket="bucket", Key=KEY)["Body"].read() == source.read_bytes()


@pytest.mark.parametrize("signature", ["s3", "s3v4"])
def test_boto3_walks_through_the_protocol(
    start: Callable[..., Sandbox], source: Path, signature: str
) -> None:
    sandbox = start(limits={"page": 2})
    client = s3(sandbox, signature)
    client.create_bucket(Bucket="bucket")
    client.put_object(Bucket="bucket", Key="source", Body=source.read_bytes())
    upload = {"Bucket": "bucket", "Key": KEY}
    upload["UploadId"] = client.create_multipart_upload(**upload)["UploadId"]
    for number, span in enumerate(["0-5242879", "5242880-10485759"], start=1):
        client.upload_part_copy(
            **upload, PartNumber=number, CopySource="bucket/source", CopySourceRange=f"bytes={span}"
        )
    client.upload_part(**upload, PartNumber=3, Body=source.read_bytes()[10485760:])
    pages = client.get_paginator("list_parts").paginate(**upload)
    parts = [{"PartNumber": p["PartNumber"], "ETag": p["ETag"]} for page in pages for p in page["Parts"]]
    uploads = client.list_multipart_uploads(Bucket="bucket", Prefix="a folder/")["Uploads"]
    assert [(item["Key"], item["UploadId"]) for item in uploads] == [(KEY, upload["UploadId"])]
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert_stored(sandbox, source)
    listed = client.list_objects_v2(Bucket="bucket")["Contents"]
    assert [item["Key"] for item in listed] == [KEY, "source"]
    client.delete_object(Bucket="bucket", Key=KEY)
    with pytest.raises(botocore.exceptions.ClientError, match="404"):
        client.head_object(Bucket="bucket", Key=KEY)


@pytest.mark.parametrize("signature", ["s3", "s3v4"])
def test_boto3_presigns_urls_that_work(start: Callable[..., Sandbox], signature: str) -> None:
    sandbox = start()
    client = s3(sandbox, signature)
    upload = {"Bucket": "bucket", "Key": KEY}
    upload["UploadId"] = client.create_multipart_upload(**upload)["UploadId"]
    url = client.generate_presigned_url("upload_part", {**upload, "PartNumber": 1}, ExpiresIn=60)
    assert put_url(url, b"hello").headers["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
    assert put_url(url.replace("partNumber=1", "partNumber=2"), b"hello").status == 403


def signed_urls(sandbox: Sandbox) -> Iterator[str]:
    """Yield a URL of each vendor, in each signature, that is good for a minute."""
    for signature in ("obs", "v2", "v4"):
        client = esdk(sandbox, signature)
        yield client.createSignedUrl("GET", "bucket", KEY, expires=60).signedUrl
        client.close()
    for signature in ("s3", "s3v4"):
        s3_client = s3(sandbox, signature)
        yield s3_client.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": KEY}, ExpiresIn=60)
    for auth in (oss2.Auth, oss2.AuthV4):
        credentials = auth(sandbox.access_key, sandbox.secret_key)
        bucket = oss2.Bucket(credentials, sandbox.endpoint, "bucket", region="cn-hangzhou")
        yield bucket.sign_url("GET", KEY, 60, slash_safe=True)


@pytest.mark.parametrize(("later", "codes"), [(30, {"NoSuchKey"}), (90, {"AccessDenied"})])
def test_signed_urls_expire(start: Callable[..., Sandbox], later: float, codes: set[str]) -> None:
    sandbox = start(clock=lambda: time.time() + later)
    for url in signed_urls(sandbox):
        send_url("GET", url)
    assert len(sandbox.requests) == 7
    assert {record.code for record in sandbox.requests} == codes


@pytest.mark.usefixtures("_localhost_buckets")
def test_custom_domains_lead_to_their_bucket(start: Callable[..., Sandbox], source: Path) -> None:
    """OBS signs the domain there, OSS the bucket."""
    sandbox = start(custom_domains={"files.localhost": "bucket"}, aws_vendor="obs")
    domain = f"http://files.localhost:{sandbox.port}"
    for signature in ("v2", "v4"):
        client = esdk(sandbox, signature, server=domain, path_style=False, is_cname=True)
        assert client.putFile("bucket", KEY, str(source)).status == 200
        client.close()
        assert_stored(sandbox, source)
    for auth in (oss2.Auth, oss2.AuthV4):
        credentials = auth(sandbox.access_key, sandbox.secret_key)
        bucket = oss2.Bucket(credentials, domain, "bucket", is_cname=True, region="cn-hangzhou")
        assert bucket.put_object("oss", b"data").status == 200
    assert {record.bucket for record in sandbox.requests} == {"bucket"}


def test_boto3_sends_chunks_with_a_trailer_over_tls(
    start: Callable[..., Sandbox], tmp_path: Path, source: Path
) -> None:
    authority = Authority(tmp_path)
    sandbox = start(tls=authority.files("127.0.0.1"))
    client = s3(sandbox, "s3v4", verify=str(authority.bundle))
    client.put_object(Bucket="bucket", Key=KEY, Body=source.read_bytes())
    assert_stored(sandbox, source)
    (record,) = [record for record in sandbox.requests if record.method == "PUT"]
    assert record.received > source.stat().st_size


@pytest.mark.parametrize("auth", [oss2.Auth, oss2.AuthV4])
def test_oss2_uploads_a_file(start: Callable[..., Sandbox], source: Path, tmp_path: Path, auth: Any) -> None:
    sandbox = start()
    credentials = auth(sandbox.access_key, sandbox.secret_key)
    bucket = oss2.Bucket(credentials, sandbox.endpoint, "bucket", region="cn-hangzhou")
    result = oss2.resumable_upload(
        bucket,
        KEY,
        str(source),
        store=oss2.ResumableStore(root=str(tmp_path)),
        multipart_threshold=1 << 20,
        part_size=1 << 20,
        num_threads=3,
    )
    assert_stored(sandbox, source)
    assert result.crc == sandbox.object_metadata("bucket", KEY).crc64
    assert bucket.get_object(KEY).read() == source.read_bytes()


@pytest.mark.parametrize("auth", [oss2.Auth, oss2.AuthV4])
def test_oss2_reads_lists_copies_and_deletes(start: Callable[..., Sandbox], auth: Any) -> None:
    """It requires dates with .000Z, and NextKeyMarker in every list of uploads."""
    sandbox = start()
    credentials = auth(sandbox.access_key, sandbox.secret_key)
    bucket = oss2.Bucket(credentials, sandbox.endpoint, "bucket", region="cn-hangzhou")
    bucket.put_object(KEY, b"hello")
    bucket.copy_object("bucket", KEY, "copy")
    upload_id = bucket.init_multipart_upload("open").upload_id
    bucket.upload_part("open", upload_id, 1, b"part")
    assert [one.key for one in oss2.ObjectIterator(bucket)] == [KEY, "copy"]
    assert [one.upload_id for one in oss2.MultipartUploadIterator(bucket)] == [upload_id]
    assert [one.size for one in oss2.PartIterator(bucket, "open", upload_id)] == [4]
    assert bucket.batch_delete_objects([KEY, "copy"]).deleted_keys == [KEY, "copy"]
    assert list(oss2.ObjectIterator(bucket)) == []


@pytest.mark.parametrize("auth", [oss2.Auth, oss2.AuthV4])
def test_oss2_signs_urls_that_work(start: Callable[..., Sandbox], auth: Any) -> None:
    sandbox = start()
    credentials = auth(sandbox.access_key, sandbox.secret_key)
    bucket = oss2.Bucket(credentials, sandbox.endpoint, "bucket", region="cn-hangzhou")
    url = bucket.sign_url("PUT", KEY, 60, slash_safe=True)
    assert bucket.put_object_with_url(url, b"hello").status == 200
    assert sandbox.object_path("bucket", KEY).read_bytes() == b"hello"
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.put_object_with_url(url.replace("folder", "f0lder"), b"hello")
    assert caught.value.code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("version", ["v1", "v4"])
def test_alibabas_client_uploads_a_file(start: Callable[..., Sandbox], source: Path, version: str) -> None:
    sandbox = start()
    uploader = alibaba(sandbox, version).uploader(part_size=1 << 20, parallel_num=3)
    request = oss.PutObjectRequest(bucket="bucket", key=KEY, metadata={"colour": "blue"})
    assert uploader.upload_file(request, str(source)).status_code == 200
    assert_stored(sandbox, source)
    assert {record.dialect for record in sandbox.requests} == {"oss1" if version == "v1" else "oss4"}


@pytest.mark.parametrize("version", ["v1", "v4"])
def test_alibabas_client_presigns_urls_that_work(start: Callable[..., Sandbox], version: str) -> None:
    sandbox = start()
    signed = alibaba(sandbox, version).presign(oss.PutObjectRequest(bucket="bucket", key=KEY))
    assert put_url(signed.url, b"hello", signed.signed_headers).status == 200
    assert sandbox.object_path("bucket", KEY).read_bytes() == b"hello"


def test_esdk_sends_the_customers_key_with_every_part(start: Callable[..., Sandbox]) -> None:
    client = esdk(start(), "obs")
    sse = SseCHeader(encryption="AES256", key="0123456789abcdef0123456789abcdef")
    upload_id = client.initiateMultipartUpload("bucket", KEY, sseHeader=sse).body.uploadId
    assert client.uploadPart("bucket", KEY, 1, upload_id, object="x", sseHeader=sse).status == 200
    assert client.uploadPart("bucket", KEY, 2, upload_id, object="x").status == 400
    client.close()

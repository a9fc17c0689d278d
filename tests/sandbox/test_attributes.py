"""What objects carry besides bytes, and what the vendors refuse of it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest

from obsup.sandbox.sandbox import Sandbox
from tests.sandbox.client import Client

COMMON = {
    "Content-Type": "text/plain",
    "Content-Encoding": "gzip",
    "Content-Disposition": 'attachment; filename="a b"',
    "Content-Language": "de",
    "Cache-Control": "no-cache",
    "Expires": "Wed, 21 Oct 2037 07:28:00 GMT",
}
OWN = {
    "obs": {
        "x-obs-meta-colour": "blue",
        "x-obs-storage-class": "WARM",
        "x-obs-website-redirect-location": "/other",
        "x-obs-server-side-encryption": "kms",
        "x-obs-server-side-encryption-kms-key-id": "key-1",
    },
    "aws2": {
        "x-amz-meta-colour": "blue",
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-website-redirect-location": "/other",
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "key-1",
    },
    "oss1": {
        "x-oss-meta-colour": "blue",
        "x-oss-storage-class": "IA",
        "x-oss-server-side-encryption": "KMS",
        "x-oss-server-side-encryption-key-id": "key-1",
    },
}


def customer_key(prefix: str, key: bytes = b"k" * 32) -> dict[str, str]:
    start = f"{prefix}server-side-encryption-customer-"
    return {
        start + "algorithm": "AES256",
        start + "key": base64.b64encode(key).decode(),
        start + "key-MD5": base64.b64encode(hashlib.md5(key).digest()).decode(),
    }


@pytest.mark.parametrize("way", ["put", "upload"])
@pytest.mark.parametrize("dialect", ["obs", "aws2", "oss1"])
def test_attributes_come_back_with_head_and_get(
    sandbox: Sandbox, connect: Callable[..., Client], dialect: str, way: str
) -> None:
    client = connect(sandbox, dialect)
    headers = {**COMMON, **OWN[dialect]}
    if way == "put":
        assert client.send("PUT", "key", body=b"data", headers=headers).status == 200
    else:
        assert client.upload("key", [b"data"], **headers).status == 200
    for method in ("HEAD", "GET"):
        answered = client.send(method, "key").headers
        assert {name: answered.get(name.lower()) for name in headers} == headers
        assert answered["content-length"] == "4"


def test_tags_and_days_come_back_as_the_vendors_show_them(sandbox: Sandbox, client: Client) -> None:
    client.upload("key", [b"x"], **{"x-obs-tagging": "a=1&b=%C3%A4", "x-obs-expires": "30"})
    headers = client.send("HEAD", "key").headers
    assert headers["x-obs-tagging-count"] == "2"
    assert headers["x-obs-expiration"].startswith('expiry-date="')
    attributes = sandbox.object_metadata("bucket", "key").attributes
    assert (attributes.tagging, attributes.expires_days) == ("a=1&b=%C3%A4", 30)


def test_unsent_defaults_are_not_stored(client: Client) -> None:
    client.send("PUT", "key", body=b"x", headers={"x-obs-storage-class": "STANDARD"})
    headers = client.send("HEAD", "key").headers
    assert "x-obs-storage-class" not in headers
    assert headers["content-type"] == "binary/octet-stream"


@pytest.mark.parametrize(
    ("dialect", "name", "value", "code"),
    [
        ("obs", "x-obs-acl", "nobody", "InvalidArgument"),
        ("obs", "x-obs-acl", "authenticated-read", "InvalidArgument"),
        ("aws2", "x-amz-acl", "default", "InvalidArgument"),
        ("obs", "x-obs-storage-class", "STANDARD_IA", "InvalidStorageClass"),
        ("obs", "x-obs-storage-class", "warm", "InvalidStorageClass"),
        ("aws2", "x-amz-storage-class", "WARM", "InvalidStorageClass"),
        ("oss1", "x-oss-storage-class", "STANDARD", "InvalidArgument"),
        ("obs", "x-obs-server-side-encryption", "aws:kms", "InvalidEncryptionAlgorithmError"),
        ("obs", "x-obs-expires", "soon", "InvalidArgument"),
        ("obs", "x-obs-website-redirect-location", "other", "InvalidRedirectLocation"),
        ("obs", "x-obs-tagging", "&".join(f"k{n}=v" for n in range(11)), "InvalidTag"),
        ("obs", "x-obs-meta-large", "x" * 8192, "MetadataTooLarge"),
        ("aws2", "x-amz-meta-large", "x" * 2048, "MetadataTooLarge"),
        ("oss1", "x-oss-meta-under_score", "x", "InvalidArgument"),
    ],
)
def test_unsupported_values_are_rejected(
    sandbox: Sandbox, connect: Callable[..., Client], dialect: str, name: str, value: str, code: str
) -> None:
    client = connect(sandbox, dialect)
    headers = {name: value}
    for reply in (
        client.send("POST", "key", {"uploads": None}, headers=headers),
        client.send("PUT", "key", body=b"x", headers=headers),
    ):
        assert (reply.status, reply.code) == (400, code)
    assert sandbox.uploads() == []


def test_the_acl_of_oss_belongs_to_complete(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    client = connect(sandbox, "oss1")
    acl = {"x-oss-object-acl": "public-read"}
    upload_id = client.initiate("key", **acl)
    etag = client.part("key", upload_id, 1, b"x").etag
    client.complete("key", upload_id, {1: etag})
    assert sandbox.object_metadata("bucket", "key").attributes.acl == ""
    upload_id = client.initiate("key")
    client.part("key", upload_id, 1, b"x")
    client.complete("key", upload_id, {1: etag}, acl)
    assert sandbox.object_metadata("bucket", "key").attributes.acl == "public-read"


def test_etags_under_sse_kms_and_sse_c_are_not_md5(sandbox: Sandbox, client: Client) -> None:
    plain = hashlib.md5(b"data").hexdigest()
    key = customer_key("x-obs-")
    for encryption in ({"x-obs-server-side-encryption": "kms"}, key):
        repeated = encryption if encryption is key else {}
        assert client.send("PUT", "key", body=b"data", headers=encryption).etag != plain
        upload_id = client.initiate("key", **encryption)
        etag = client.part("key", upload_id, 1, b"data", repeated).etag
        assert etag != plain
        assert client.complete("key", upload_id, {1: plain}).code == "InvalidPart"
        assert client.complete("key", upload_id, {1: etag}).status == 200
        joined = hashlib.md5(bytes.fromhex(plain)).hexdigest() + "-1"
        assert client.send("HEAD", "key", headers=repeated).etag not in (plain, joined)
    managed = client.send("PUT", "key", body=b"data", headers={"x-obs-server-side-encryption": "AES256"})
    assert managed.etag == plain


@pytest.mark.parametrize(("dialect", "prefix"), [("obs", "x-obs-"), ("aws2", "x-amz-")])
def test_the_customers_key_is_wanted_again_and_again(
    sandbox: Sandbox, connect: Callable[..., Client], dialect: str, prefix: str
) -> None:
    client = connect(sandbox, dialect)
    right, wrong = customer_key(prefix), customer_key(prefix, b"w" * 32)
    upload_id = client.initiate("key", **right)
    assert client.part("key", upload_id, 1, b"x").code == "InvalidRequest"
    assert client.part("key", upload_id, 1, b"x", wrong).code == "InvalidRequest"
    reply = client.part("key", upload_id, 1, b"x", right)
    assert (
        reply.headers[f"{prefix}server-side-encryption-customer-key-md5"]
        == right[f"{prefix}server-side-encryption-customer-key-MD5"]
    )
    assert client.complete("key", upload_id, {1: reply.etag}).status == 200
    assert client.send("HEAD", "key").status == 400
    assert client.send("HEAD", "key", headers=wrong).status == 403
    assert client.send("GET", "key", headers=wrong).code == "AccessDenied"
    assert client.send("GET", "key", headers=right).body == b"x"
    other = client.initiate("other")
    assert client.part("other", other, 1, b"x", right).code == "InvalidRequest"


@pytest.mark.parametrize(
    ("name", "value"),
    [("algorithm", "AES128"), ("key", "c2hvcnQ="), ("key", "!"), ("key-MD5", "AAAAAAAAAAAAAAAAAAAAAA==")],
)
def test_a_customers_key_that_is_none_is_refused(client: Client, name: str, value: str) -> None:
    headers = customer_key("x-obs-")
    headers[f"x-obs-server-side-encryption-customer-{name}"] = value
    assert client.send("PUT", "key", body=b"x", headers=headers).status == 400


def test_obs_redirects_after_success(sandbox: Sandbox, client: Client) -> None:
    reply = client.send("PUT", "key", body=b"x", headers={"success-action-redirect": "http://example.org/ok"})
    assert (reply.status, reply.headers["location"]) == (303, "http://example.org/ok")
    assert sandbox.object_path("bucket", "key").read_bytes() == b"x"


@pytest.mark.parametrize(
    ("wanted", "status", "body"),
    [
        ("bytes=2-4", 206, b"234"),
        ("bytes=8-", 206, b"89"),
        ("bytes=-3", 206, b"789"),
        ("bytes=5-500", 206, b"56789"),
        ("bytes=10-", 416, None),
    ],
)
def test_ranges_of_an_object(client: Client, wanted: str, status: int, body: bytes | None) -> None:
    client.send("PUT", "key", body=b"0123456789")
    reply = client.send("GET", "key", headers={"Range": wanted})
    assert reply.status == status
    assert reply.code == "InvalidRange" if body is None else reply.body == body


def s3v4(sandbox: Sandbox) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=sandbox.endpoint,
        aws_access_key_id=sandbox.access_key,
        aws_secret_access_key=sandbox.secret_key,
        region_name="eu-central-1",
        config=botocore.config.Config(signature_version="s3v4", retries={"max_attempts": 0}),
    )


@pytest.mark.filterwarnings("ignore")
def test_s3_rejects_overwriting_on_request_under_v4(sandbox: Sandbox, connect: Callable[..., Client]) -> None:
    client = s3v4(sandbox)
    upload = {"Bucket": "bucket", "Key": "key"}
    upload["UploadId"] = client.create_multipart_upload(**upload)["UploadId"]
    etag = client.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]
    client.put_object(Bucket="bucket", Key="key", Body=b"first", IfNoneMatch="*")
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    with pytest.raises(botocore.exceptions.ClientError, match="PreconditionFailed"):
        client.complete_multipart_upload(**upload, MultipartUpload=parts, IfNoneMatch="*")
    with pytest.raises(botocore.exceptions.ClientError, match="PreconditionFailed"):
        client.put_object(Bucket="bucket", Key="key", Body=b"second", IfNoneMatch="*")
    assert sandbox.object_path("bucket", "key").read_bytes() == b"first"
    under_v2 = connect(sandbox, "aws2").send("PUT", "key", body=b"second", headers={"If-None-Match": "*"})
    assert under_v2.status == 200


@pytest.mark.filterwarnings("ignore")
def test_the_payloads_hash_is_checked_under_v4(sandbox: Sandbox) -> None:
    client = s3v4(sandbox)

    def tamper(request: Any, **_: Any) -> None:
        request.body = b"fals"

    client.meta.events.register("before-send.s3.UploadPart", tamper)
    upload = {"Bucket": "bucket", "Key": "key"}
    upload["UploadId"] = client.create_multipart_upload(**upload)["UploadId"]
    with pytest.raises(botocore.exceptions.ClientError, match="XAmzContentSHA256Mismatch"):
        client.upload_part(**upload, PartNumber=1, Body=b"true")
    assert sandbox.uploads()[0].parts == {}


@pytest.mark.parametrize(
    ("dialect", "header"),
    [
        ("obs", "x-obs-forbid-overwrite"),
        ("obs", "x-obs-object-acl"),
        ("aws2", "x-amz-forbid-overwrite"),
        ("aws2", "x-amz-checksum-sha512"),
        ("oss1", "x-oss-acl"),
        ("oss1", "x-oss-grant-read"),
        ("oss1", "x-oss-website-redirect-location"),
        ("oss1", "x-oss-server-side-encryption-customer-key"),
    ],
)
def test_a_header_that_would_be_dropped_is_refused(
    sandbox: Sandbox, connect: Callable[..., Client], dialect: str, header: str
) -> None:
    client = connect(sandbox, dialect)
    for method, query in (("PUT", {}), ("POST", {"uploads": None})):
        reply = client.send(method, "key", query, body=b"", headers={header: "private"})
        assert (reply.status, reply.code) == (501, "NotImplemented")
    assert not sandbox.object_path("bucket", "key").exists()
    assert sandbox.uploads() == []


def test_a_parameter_that_would_be_dropped_is_refused(
    sandbox: Sandbox, connect: Callable[..., Client]
) -> None:
    assert connect(sandbox, "oss1").send("GET", "key", {"x-oss-tagging": "a=b"}).code == "NotImplemented"

"""What boto3 sees of the sandbox: conditions, checksums, copies, parts and lists."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest

from obsup.sandbox.sandbox import Sandbox

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
BODY = b"0123456789"
MIB = 1024 * 1024
BUCKET: dict[str, Any] = {"Bucket": "bucket"}
OBJECT: dict[str, Any] = {**BUCKET, "Key": "key"}
BAD_ETAG = '"0123456789abcdef0123456789abcdef"'


@pytest.fixture
def s3(start: Callable[..., Sandbox]) -> Any:
    """A client of a sandbox with small parts allowed."""
    return connect(start(limits={"min_part": 1}))


def connect(sandbox: Sandbox) -> Any:
    """Return a client of boto3."""
    return boto3.client(
        "s3",
        endpoint_url=sandbox.endpoint,
        aws_access_key_id=sandbox.access_key,
        aws_secret_access_key=sandbox.secret_key,
        region_name="eu-central-1",
        config=botocore.config.Config(
            signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 0}
        ),
    )


def refusal(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
    """Return the status and the code of a request that must fail."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def upload_parts(s3: Any, bodies: list[bytes], **options: Any) -> dict[str, Any]:
    """Upload an object in parts; returns the arguments of Complete."""
    upload = {**OBJECT, "UploadId": s3.create_multipart_upload(**OBJECT, **options)["UploadId"]}
    algorithm = {"ChecksumAlgorithm": options["ChecksumAlgorithm"]} if "ChecksumAlgorithm" in options else {}
    keys = {name: value for name, value in options.items() if name.startswith("SSECustomer")}
    parts = []
    for number, body in enumerate(bodies, start=1):
        answer = s3.upload_part(**upload, PartNumber=number, Body=body, **algorithm, **keys)
        checksums = {name: value for name, value in answer.items() if name.startswith("Checksum")}
        checksums.pop("ChecksumType", None)
        parts.append({"PartNumber": number, "ETag": answer["ETag"], **checksums})
    return {**upload, "MultipartUpload": {"Parts": parts}}


def composite_sha256(bodies: list[bytes]) -> str:
    """Return the checksum of the checksums of parts, as S3 writes it."""
    raw = b"".join(hashlib.sha256(body).digest() for body in bodies)
    return f"{base64.b64encode(hashlib.sha256(raw).digest()).decode()}-{len(bodies)}"


def customer_key(letter: str, prefix: str = "") -> dict[str, str]:
    """The arguments of an SSE-C key."""
    key = letter * 32
    return {f"{prefix}SSECustomerAlgorithm": "AES256", f"{prefix}SSECustomerKey": key}


@pytest.mark.parametrize("call", ["get_object", "head_object"])
def test_conditions_of_reading(s3: Any, call: str) -> None:
    etag = s3.put_object(**OBJECT, Body=BODY)["ETag"]
    read = getattr(s3, call)
    past, future = (datetime.now(UTC) + timedelta(days=days) for days in (-1, 1))
    assert read(**OBJECT, IfMatch=etag)["ContentLength"] == 10
    assert read(**OBJECT, IfNoneMatch=BAD_ETAG, IfModifiedSince=past)["ContentLength"] == 10
    assert read(**OBJECT, IfMatch=etag, IfUnmodifiedSince=past)["ContentLength"] == 10
    assert refusal(read, **OBJECT, IfMatch=BAD_ETAG)[0] == 412
    assert refusal(read, **OBJECT, IfUnmodifiedSince=past)[0] == 412
    assert refusal(read, **OBJECT, IfNoneMatch=etag)[0] == 304
    assert refusal(read, **OBJECT, IfModifiedSince=future)[0] == 304


def test_conditions_of_writing(s3: Any) -> None:
    assert refusal(s3.put_object, **OBJECT, Body=BODY, IfMatch=BAD_ETAG) == (404, "NoSuchKey")
    etag = s3.put_object(**OBJECT, Body=BODY, IfNoneMatch="*")["ETag"]
    for condition in ({"IfMatch": BAD_ETAG}, {"IfNoneMatch": "*"}, {"IfNoneMatch": etag}):
        assert refusal(s3.put_object, **OBJECT, Body=b"other", **condition) == (412, "PreconditionFailed")
        complete = upload_parts(s3, [b"other"])
        failed = refusal(s3.complete_multipart_upload, **complete, **condition)
        assert failed == (412, "PreconditionFailed")
    assert s3.get_object(**OBJECT)["Body"].read() == BODY
    s3.put_object(**OBJECT, Body=b"other", IfMatch=etag)
    assert s3.get_object(**OBJECT)["Body"].read() == b"other"


def test_conditions_of_deleting(s3: Any) -> None:
    etag = s3.put_object(**OBJECT, Body=BODY)["ETag"]
    assert refusal(s3.delete_object, **OBJECT, IfMatch=BAD_ETAG) == (412, "PreconditionFailed")
    assert refusal(s3.delete_object, **OBJECT, IfMatchSize=1) == (412, "PreconditionFailed")
    long_ago = datetime(2015, 1, 1, tzinfo=UTC)
    assert refusal(s3.delete_object, **OBJECT, IfMatchLastModifiedTime=long_ago)[0] == 412
    s3.delete_object(**OBJECT, IfMatch=etag, IfMatchSize=10)
    assert refusal(s3.head_object, **OBJECT)[0] == 404
    s3.delete_object(**OBJECT, IfMatch=BAD_ETAG)


def test_many_objects_are_deleted_by_one_request(s3: Any) -> None:
    for name in ("a", "b <&>", "c"):
        s3.put_object(**BUCKET, Key=name, Body=BODY)
    named = [{"Key": "a"}, {"Key": "b <&>"}, {"Key": "c", "ETag": BAD_ETAG}, {"Key": "missing"}]
    answer = s3.delete_objects(**BUCKET, Delete={"Objects": named})
    assert [one["Key"] for one in answer["Deleted"]] == ["a", "b <&>", "missing"]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("c", "PreconditionFailed")]
    assert "Deleted" not in s3.delete_objects(**BUCKET, Delete={"Objects": [{"Key": "c"}], "Quiet": True})
    assert s3.list_objects_v2(**BUCKET)["KeyCount"] == 0
    too_many = [{"Key": str(number)} for number in range(1001)]
    assert refusal(s3.delete_objects, **BUCKET, Delete={"Objects": too_many}) == (400, "MalformedXML")


def test_a_range_has_no_checksum_of_the_whole_object(s3: Any) -> None:
    s3.put_object(**OBJECT, Body=BODY, ChecksumAlgorithm="SHA256")
    answer = s3.get_object(**OBJECT, Range="bytes=2-4", ChecksumMode="ENABLED")
    assert answer["Body"].read() == b"234"
    assert "ChecksumSHA256" not in answer
    expected = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    assert s3.head_object(**OBJECT, ChecksumMode="ENABLED")["ChecksumSHA256"] == expected
    assert "ChecksumSHA256" not in s3.head_object(**OBJECT)


@pytest.mark.parametrize(
    ("name", "right"),
    [("CRC32C", "4waSgw=="), ("CRC64NVME", "rosUhgp5mIg="), ("CRC32", "y/Q5Jg=="), ("SHA1", None)],
)
def test_checksums_are_compared(s3: Any, name: str, right: str | None) -> None:
    """The CRCs are the check values of the catalogues, of the text 123456789."""
    right = right or base64.b64encode(hashlib.sha1(b"123456789").digest()).decode()
    wrong = base64.b64encode(bytes(len(base64.b64decode(right)))).decode()
    checksum = f"Checksum{name}"
    assert refusal(s3.put_object, **OBJECT, Body=b"123456789", **{checksum: wrong}) == (400, "BadDigest")
    assert refusal(s3.put_object, **OBJECT, Body=b"x", **{checksum: "bad"}) == (400, "BadDigest")
    assert s3.put_object(**OBJECT, Body=b"123456789", **{checksum: right})[checksum] == right


def test_the_checksum_of_parts_is_the_checksum_of_their_checksums(s3: Any) -> None:
    bodies = [b"a" * MIB, b"bc"]
    complete = upload_parts(s3, bodies, ChecksumAlgorithm="SHA256")
    value = composite_sha256(bodies)
    listed = s3.list_parts(**OBJECT, UploadId=complete["UploadId"])
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == ("SHA256", "COMPOSITE")
    assert refusal(s3.complete_multipart_upload, **complete, ChecksumSHA256="A" * 43 + "=")[1] == "BadDigest"
    answer = s3.complete_multipart_upload(**complete, ChecksumSHA256=value)
    assert (answer["ChecksumSHA256"], answer["ChecksumType"]) == (value, "COMPOSITE")
    assert s3.head_object(**OBJECT, ChecksumMode="ENABLED")["ChecksumSHA256"] == value


def test_a_full_object_checksum_covers_all_bytes(s3: Any) -> None:
    bodies = [b"a" * MIB, b"bc"]
    complete = upload_parts(s3, bodies, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    value = base64.b64encode(zlib.crc32(b"".join(bodies)).to_bytes(4, "big")).decode()
    answer = s3.complete_multipart_upload(**complete, ChecksumCRC32=value)
    assert (answer["ChecksumCRC32"], answer["ChecksumType"]) == (value, "FULL_OBJECT")


def test_complete_can_be_repeated(s3: Any) -> None:
    """The response is the same as long as the object exists, and the list is the same."""
    complete = upload_parts(s3, [b"a" * MIB, b"bc"], ChecksumAlgorithm="SHA256")
    first = s3.complete_multipart_upload(**complete)
    again = s3.complete_multipart_upload(**complete)
    assert (again["ETag"], again["ChecksumSHA256"]) == (first["ETag"], first["ChecksumSHA256"])
    other = {**complete, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": BAD_ETAG}]}}
    assert refusal(s3.complete_multipart_upload, **other) == (400, "InvalidPart")
    s3.put_object(**OBJECT, Body=BODY)
    assert refusal(s3.complete_multipart_upload, **complete) == (404, "NoSuchUpload")


def test_a_part_that_is_listed_twice_counts_once(s3: Any) -> None:
    complete = upload_parts(s3, [b"new"])
    complete["MultipartUpload"]["Parts"].insert(0, {"PartNumber": 1, "ETag": BAD_ETAG})
    s3.complete_multipart_upload(**complete)
    assert s3.get_object(**OBJECT)["Body"].read() == b"new"


def test_the_attributes_of_an_object(s3: Any) -> None:
    bodies = [b"a" * MIB, b"b" * MIB, b"c"]
    named = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    upload = upload_parts(s3, bodies, ChecksumAlgorithm="SHA256", **customer_key("k"))
    assert refusal(s3.complete_multipart_upload, **upload) == (400, "InvalidRequest")
    etag = s3.complete_multipart_upload(**upload, **customer_key("k"))["ETag"]
    assert refusal(s3.get_object_attributes, **OBJECT, ObjectAttributes=named)[0] == 400
    page = {"MaxParts": 1, "PartNumberMarker": 1}
    encoded = {
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": base64.b64encode(b"k" * 32).decode(),
        "SSECustomerKeyMD5": base64.b64encode(hashlib.md5(b"k" * 32).digest()).decode(),
    }
    answer = s3.get_object_attributes(**OBJECT, ObjectAttributes=named, **page, **encoded)
    assert (answer["ETag"], answer["ObjectSize"]) == (etag.strip('"'), 2 * MIB + 1)
    assert answer["StorageClass"] == "STANDARD"
    assert answer["Checksum"] == {
        "ChecksumSHA256": composite_sha256(bodies),
        "ChecksumType": "COMPOSITE",
    }
    parts = answer["ObjectParts"]
    assert (parts["TotalPartsCount"], parts["IsTruncated"], parts["NextPartNumberMarker"]) == (3, True, 2)
    checksum = base64.b64encode(hashlib.sha256(bodies[1]).digest()).decode()
    assert parts["Parts"] == [{"PartNumber": 2, "Size": MIB, "ChecksumSHA256": checksum}]
    s3.put_object(**OBJECT, Body=BODY)
    answer = s3.get_object_attributes(**OBJECT, ObjectAttributes=["ObjectSize", "ObjectParts"])
    assert answer["ObjectSize"] == 10
    assert not answer.keys() & {"ETag", "ObjectParts", "Checksum"}
    assert refusal(s3.get_object_attributes, **OBJECT, ObjectAttributes=["Size"])[0] == 400
    assert refusal(s3.get_object_attributes, **BUCKET, Key="missing", ObjectAttributes=named)[0] == 404


def test_complete_compares_the_checksums_of_its_list(s3: Any) -> None:
    complete = upload_parts(s3, [BODY], ChecksumAlgorithm="SHA256")
    complete["MultipartUpload"]["Parts"][0]["ChecksumSHA256"] = "A" * 43 + "="
    assert refusal(s3.complete_multipart_upload, **complete) == (400, "InvalidPart")


def test_an_upload_accepts_checksums_of_its_algorithm_only(s3: Any) -> None:
    upload = {
        **OBJECT,
        "UploadId": s3.create_multipart_upload(**OBJECT, ChecksumAlgorithm="SHA256")["UploadId"],
    }
    part = {**upload, "PartNumber": 1, "Body": BODY}
    assert refusal(s3.upload_part, **part, ChecksumAlgorithm="SHA1") == (400, "InvalidRequest")
    wrong = {"ChecksumAlgorithm": "SHA256", "ChecksumType": "FULL_OBJECT"}
    assert refusal(s3.create_multipart_upload, **OBJECT, **wrong) == (400, "InvalidRequest")


def test_single_parts_can_be_read(s3: Any) -> None:
    bodies = [b"a" * MIB, b"bc"]
    upload = upload_parts(s3, bodies, ChecksumAlgorithm="CRC32")
    s3.complete_multipart_upload(**upload)
    for number, body in enumerate(bodies, start=1):
        answer = s3.get_object(**OBJECT, PartNumber=number, ChecksumMode="ENABLED")
        assert answer["Body"].read() == body
        assert answer["ChecksumCRC32"] == upload["MultipartUpload"]["Parts"][number - 1]["ChecksumCRC32"]
        assert answer["PartsCount"] == 2
        head = s3.head_object(**OBJECT, PartNumber=number)
        assert (head["ContentLength"], head["PartsCount"]) == (len(body), 2)
    assert refusal(s3.get_object, **OBJECT, PartNumber=3) == (400, "InvalidPart")
    s3.complete_multipart_upload(**upload_parts(s3, bodies, **customer_key("k")))
    assert refusal(s3.get_object, **OBJECT, PartNumber=3) == (400, "InvalidPart")
    assert s3.get_object(**OBJECT, PartNumber=2, **customer_key("k"))["Body"].read() == b"bc"
    s3.put_object(**OBJECT, Body=BODY)
    assert s3.get_object(**OBJECT, PartNumber=1)["Body"].read() == BODY


def test_objects_are_copied_with_or_without_their_metadata(s3: Any) -> None:
    s3.put_object(**OBJECT, Body=BODY, Metadata={"colour": "blue"}, ContentType="text/x-a")
    source = {"CopySource": {**OBJECT}}
    copied = s3.copy_object(**BUCKET, Key="copy", **source)["CopyObjectResult"]
    answer = s3.get_object(**BUCKET, Key="copy")
    assert (answer["Body"].read(), answer["Metadata"]) == (BODY, {"colour": "blue"})
    assert (answer["ETag"], answer["ContentType"]) == (copied["ETag"], "text/x-a")
    s3.copy_object(**BUCKET, Key="copy", **source, MetadataDirective="REPLACE", Metadata={"size": "big"})
    assert s3.head_object(**BUCKET, Key="copy")["Metadata"] == {"size": "big"}
    assert refusal(s3.copy_object, **OBJECT, **source) == (400, "InvalidRequest")
    s3.copy_object(**OBJECT, **source, MetadataDirective="REPLACE", Metadata={"new": "1"})
    assert s3.head_object(**OBJECT)["Metadata"] == {"new": "1"}


def test_conditions_of_copying(s3: Any) -> None:
    etag = s3.put_object(**OBJECT, Body=BODY)["ETag"]
    upload = {**BUCKET, "Key": "copy", "CopySource": {**OBJECT}}
    upload_id = s3.create_multipart_upload(**BUCKET, Key="copy")["UploadId"]
    part = {**upload, "UploadId": upload_id, "PartNumber": 1}
    for condition in ({"CopySourceIfMatch": BAD_ETAG}, {"CopySourceIfNoneMatch": etag}):
        assert refusal(s3.copy_object, **upload, **condition) == (412, "PreconditionFailed")
        assert refusal(s3.upload_part_copy, **part, **condition) == (412, "PreconditionFailed")
    s3.copy_object(**upload, CopySourceIfMatch=etag)
    assert refusal(s3.upload_part_copy, **part, CopySourceRange="bytes=0-10") == (416, "InvalidRange")
    assert refusal(s3.upload_part_copy, **part, CopySourceRange="bytes=5-") == (400, "InvalidArgument")
    s3.upload_part_copy(**part, CopySourceRange="bytes=0-9")


def test_an_encrypted_source_is_copied_with_its_key_only(s3: Any) -> None:
    s3.put_object(**OBJECT, Body=BODY, **customer_key("k"))
    copy = {**BUCKET, "Key": "copy", "CopySource": {**OBJECT}}
    assert refusal(s3.copy_object, **copy) == (400, "InvalidRequest")
    assert refusal(s3.copy_object, **copy, **customer_key("x", "CopySource"))[0] == 403
    part = {**copy, "UploadId": s3.create_multipart_upload(**BUCKET, Key="copy")["UploadId"], "PartNumber": 1}
    assert refusal(s3.upload_part_copy, **part) == (400, "InvalidRequest")
    s3.upload_part_copy(**part, **customer_key("k", "CopySource"))
    s3.copy_object(**copy, **customer_key("k", "CopySource"))
    assert s3.get_object(**BUCKET, Key="copy")["Body"].read() == BODY


@pytest.mark.parametrize(
    "options",
    [
        {**customer_key("k"), "ServerSideEncryption": "AES256"},
        {**customer_key("k"), "ServerSideEncryption": "aws:kms"},
        {"ServerSideEncryption": "AES256", "SSEKMSKeyId": "id"},
        {"SSEKMSKeyId": "id"},
        {"ServerSideEncryption": "aes:kms"},
    ],
)
def test_invalid_combinations_of_encryption_are_refused(s3: Any, options: dict[str, str]) -> None:
    assert refusal(s3.put_object, **OBJECT, Body=BODY, **options) == (400, "InvalidArgument")


@pytest.mark.parametrize("sent", ["aws-chunked", "gzip, aws-chunked", "gzip", "br, gzip"])
def test_aws_chunked_is_no_encoding_of_the_object(s3: Any, sent: str) -> None:
    s3.put_object(**OBJECT, Body=BODY, ContentEncoding=sent)
    kept = sent.removesuffix("aws-chunked").removesuffix(", ")
    assert s3.head_object(**OBJECT).get("ContentEncoding", "") == kept


@pytest.mark.parametrize(
    "options",
    [
        {"WriteOffsetBytes": 0},
        {"ServerSideEncryption": "aws:kms", "SSEKMSEncryptionContext": "e30="},
        {"ServerSideEncryption": "aws:kms", "BucketKeyEnabled": True},
    ],
)
def test_headers_that_would_be_dropped_are_refused(s3: Any, options: dict[str, Any]) -> None:
    assert refusal(s3.put_object, **OBJECT, Body=BODY, **options) == (501, "NotImplemented")


def test_lists_name_what_was_asked_for(s3: Any) -> None:
    for name in ("a", "b", "c"):
        s3.put_object(**BUCKET, Key=name, Body=BODY)
    none = s3.list_objects_v2(**BUCKET, MaxKeys=0)
    assert (none["KeyCount"], none["IsTruncated"], none["MaxKeys"]) == (0, False, 0)
    first = s3.list_objects_v2(**BUCKET, StartAfter="a", MaxKeys=1, FetchOwner=True)
    assert (first["StartAfter"], first["Contents"][0]["Key"]) == ("a", "b")
    assert first["Contents"][0]["Owner"]["ID"]
    token = first["NextContinuationToken"]
    second = s3.list_objects_v2(**BUCKET, ContinuationToken=token)
    assert (second["ContinuationToken"], [one["Key"] for one in second["Contents"]]) == (token, ["c"])
    assert "Owner" not in second["Contents"][0]
    assert "Owner" in s3.list_objects(**BUCKET)["Contents"][0]


def test_a_prefix_that_xml_cannot_contain(s3: Any) -> None:
    assert s3.list_objects(**BUCKET, Prefix="\n")["Prefix"] == "\n"
    assert s3.list_objects_v2(**BUCKET, Prefix="\n")["Prefix"] == "\n"


def test_buckets_are_created_and_listed(start: Callable[..., Sandbox]) -> None:
    s3 = connect(start(buckets=["first"]))
    assert refusal(s3.head_bucket, Bucket="second")[0] == 404
    assert refusal(s3.put_object, Bucket="second", Key="key", Body=BODY) == (404, "NoSuchBucket")
    s3.create_bucket(Bucket="second")
    s3.put_object(Bucket="second", Key="key", Body=BODY)
    listed = {one["Name"]: one["CreationDate"] for one in s3.list_buckets()["Buckets"]}
    assert listed.keys() == {"first", "second"}
    assert all(date > datetime.now(UTC) - timedelta(days=1) for date in listed.values())
    assert refusal(s3.create_bucket, Bucket="a-.b") == (400, "InvalidBucketName")


def test_a_url_can_replace_headers(s3: Any) -> None:
    s3.put_object(**OBJECT, Body=BODY)
    answer = s3.get_object(**OBJECT, ResponseContentType="text/x-b", ResponseCacheControl="no-cache")
    assert (answer["ContentType"], answer["CacheControl"]) == ("text/x-b", "no-cache")


def test_a_tag_may_have_no_value(s3: Any) -> None:
    s3.put_object(**OBJECT, Body=BODY, Tagging="a&b=")
    assert s3.head_object(**OBJECT)["TagCount"] == 2

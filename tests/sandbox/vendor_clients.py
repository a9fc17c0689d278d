"""The clients of OBS, S3 and OSS, and the same calls of a multipart upload for each of them."""

from __future__ import annotations

from typing import Any, Protocol

import alibabacloud_oss_v2 as oss
import boto3
import botocore.config
import oss2
from obs import CompleteMultipartUploadRequest, CompletePart, ListMultipartUploadsRequest, ObsClient

from obsup.sandbox.sandbox import Sandbox

BUCKET = "bucket"
KEY = "a folder/ü+%.bin"
OBJECT = {"Bucket": BUCKET, "Key": KEY}
SOURCE = "a source/ü+%"
"""The object that parts are copied from."""


def esdk(sandbox: Sandbox, signature: str, **options: Any) -> Any:
    options.setdefault("server", sandbox.endpoint)
    options.setdefault("path_style", True)
    return ObsClient(
        access_key_id=sandbox.access_key,
        secret_access_key=sandbox.secret_key,
        signature=signature,
        region="eu-de",
        is_signature_negotiation=False,
        **options,
    )


def s3(sandbox: Sandbox, signature: str, **options: Any) -> Any:
    style = options.pop("style", "path")
    return boto3.client(
        "s3",
        endpoint_url=options.pop("endpoint", sandbox.endpoint),
        aws_access_key_id=sandbox.access_key,
        aws_secret_access_key=sandbox.secret_key,
        region_name="eu-central-1",
        config=botocore.config.Config(
            signature_version=signature, s3={"addressing_style": style}, retries={"max_attempts": 0}
        ),
        **options,
    )


def alibaba(sandbox: Sandbox, version: str) -> Any:
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(
        sandbox.access_key, sandbox.secret_key
    )
    config.region = "cn-hangzhou"
    config.endpoint = sandbox.endpoint
    config.use_path_style = True
    config.signature_version = version
    return oss.Client(config)


class VendorClient(Protocol):
    """The calls of a multipart upload of KEY. ETags are bare and lower-case; lists are of all pages."""

    def __init__(self, sandbox: Sandbox) -> None: ...

    def put_source(self, body: bytes) -> None:
        """Store the object that parts are copied from."""

    def initiate(self) -> str:
        """Return the id of a new upload."""

    def upload_part(self, upload_id: str, number: int, body: bytes) -> str:
        """Return the ETag of an uploaded part."""

    def copy_part(self, upload_id: str, number: int, first: int, last: int) -> str:
        """Return the ETag of a part that is copied from the bytes *first* to *last* of the source."""

    def uploads(self) -> list[str]:
        """Return the ids of all uploads."""

    def parts(self, upload_id: str) -> list[tuple[int, str, int]]:
        """Return numbers, ETags and sizes of all parts."""

    def complete(self, upload_id: str, etags: dict[int, str]) -> None:
        """Complete the upload."""

    def abort(self, upload_id: str) -> None:
        """Abort the upload."""

    def objects(self) -> list[tuple[str, int]]:
        """Return keys and sizes of all objects."""

    def read(self) -> bytes:
        """Return the object."""


class Oss2:
    """oss2 of OSS."""

    def __init__(self, sandbox: Sandbox) -> None:
        auth = oss2.AuthV4(sandbox.access_key, sandbox.secret_key)
        self._bucket = oss2.Bucket(auth, sandbox.endpoint, BUCKET, region="cn-hangzhou")

    def put_source(self, body: bytes) -> None:
        self._bucket.put_object(SOURCE, body)

    def initiate(self) -> str:
        return str(self._bucket.init_multipart_upload(KEY).upload_id)

    def upload_part(self, upload_id: str, number: int, body: bytes) -> str:
        return bare(self._bucket.upload_part(KEY, upload_id, number, body).etag)

    def copy_part(self, upload_id: str, number: int, first: int, last: int) -> str:
        result = self._bucket.upload_part_copy(BUCKET, SOURCE, (first, last), KEY, upload_id, number)
        return bare(result.etag)

    def uploads(self) -> list[str]:
        return [one.upload_id for one in oss2.MultipartUploadIterator(self._bucket)]

    def parts(self, upload_id: str) -> list[tuple[int, str, int]]:
        listed = oss2.PartIterator(self._bucket, KEY, upload_id)
        return [(one.part_number, bare(one.etag), one.size) for one in listed]

    def complete(self, upload_id: str, etags: dict[int, str]) -> None:
        named = [oss2.models.PartInfo(number, etag) for number, etag in etags.items()]
        self._bucket.complete_multipart_upload(KEY, upload_id, named)

    def abort(self, upload_id: str) -> None:
        self._bucket.abort_multipart_upload(KEY, upload_id)

    def objects(self) -> list[tuple[str, int]]:
        return [(one.key, one.size) for one in oss2.ObjectIterator(self._bucket)]

    def read(self) -> bytes:
        return bytes(self._bucket.get_object(KEY).read())


class AlibabaV2:
    """alibabacloud-oss-v2 of OSS."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._client = alibaba(sandbox, "v4")

    def put_source(self, body: bytes) -> None:
        self._client.put_object(oss.PutObjectRequest(bucket=BUCKET, key=SOURCE, body=body))

    def initiate(self) -> str:
        request = oss.InitiateMultipartUploadRequest(bucket=BUCKET, key=KEY)
        return str(self._client.initiate_multipart_upload(request).upload_id)

    def upload_part(self, upload_id: str, number: int, body: bytes) -> str:
        part = {"upload_id": upload_id, "part_number": number}
        request = oss.UploadPartRequest(bucket=BUCKET, key=KEY, body=body, **part)
        return bare(self._client.upload_part(request).etag)

    def copy_part(self, upload_id: str, number: int, first: int, last: int) -> str:
        request = oss.UploadPartCopyRequest(
            bucket=BUCKET,
            key=KEY,
            upload_id=upload_id,
            part_number=number,
            source_bucket=BUCKET,
            source_key=SOURCE,
            source_range=f"bytes={first}-{last}",
        )
        return bare(self._client.upload_part_copy(request).etag)

    def uploads(self) -> list[str]:
        request = oss.ListMultipartUploadsRequest(bucket=BUCKET)
        pages = self._client.list_multipart_uploads_paginator().iter_page(request)
        return [one.upload_id for page in pages for one in page.uploads or []]

    def parts(self, upload_id: str) -> list[tuple[int, str, int]]:
        request = oss.ListPartsRequest(bucket=BUCKET, key=KEY, upload_id=upload_id)
        pages = self._client.list_parts_paginator().iter_page(request)
        return [(one.part_number, bare(one.etag), one.size) for page in pages for one in page.parts or []]

    def complete(self, upload_id: str, etags: dict[int, str]) -> None:
        named = [oss.UploadPart(part_number=number, etag=etag) for number, etag in etags.items()]
        listed = oss.CompleteMultipartUpload(parts=named)
        request = oss.CompleteMultipartUploadRequest(
            bucket=BUCKET, key=KEY, upload_id=upload_id, complete_multipart_upload=listed
        )
        self._client.complete_multipart_upload(request)

    def abort(self, upload_id: str) -> None:
        request = oss.AbortMultipartUploadRequest(bucket=BUCKET, key=KEY, upload_id=upload_id)
        self._client.abort_multipart_upload(request)

    def objects(self) -> list[tuple[str, int]]:
        pages = self._client.list_objects_v2_paginator().iter_page(oss.ListObjectsV2Request(bucket=BUCKET))
        return [(one.key, one.size) for page in pages for one in page.contents or []]

    def read(self) -> bytes:
        return bytes(self._client.get_object(oss.GetObjectRequest(bucket=BUCKET, key=KEY)).body.content)


class Esdk:
    """esdk-obs-python of OBS."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._client = esdk(sandbox, "obs")

    def put_source(self, body: bytes) -> None:
        assert self._client.putContent(BUCKET, SOURCE, body.decode("latin-1")).status == 200

    def initiate(self) -> str:
        return str(self._client.initiateMultipartUpload(BUCKET, KEY).body.uploadId)

    def upload_part(self, upload_id: str, number: int, body: bytes) -> str:
        return bare(self._client.uploadPart(BUCKET, KEY, number, upload_id, object=body).body.etag)

    def copy_part(self, upload_id: str, number: int, first: int, last: int) -> str:
        source = f"{BUCKET}/{SOURCE}"
        reply = self._client.copyPart(BUCKET, KEY, number, upload_id, source, f"{first}-{last}")
        return bare(reply.body.etag)

    def uploads(self) -> list[str]:
        found: list[str] = []
        key_marker = id_marker = None
        while True:
            request = ListMultipartUploadsRequest(key_marker=key_marker, upload_id_marker=id_marker)
            page = self._client.listMultipartUploads(BUCKET, request).body
            found += [one.uploadId for one in page.upload]
            if not page.isTruncated:
                return found
            key_marker, id_marker = page.nextKeyMarker, page.nextUploadIdMarker

    def parts(self, upload_id: str) -> list[tuple[int, str, int]]:
        found: list[tuple[int, str, int]] = []
        marker = None
        while True:
            page = self._client.listParts(BUCKET, KEY, upload_id, partNumberMarker=marker).body
            found += [(one.partNumber, bare(one.etag), one.size) for one in page.parts]
            if not page.isTruncated:
                return found
            marker = page.nextPartNumberMarker

    def complete(self, upload_id: str, etags: dict[int, str]) -> None:
        named = CompleteMultipartUploadRequest([CompletePart(number, etag) for number, etag in etags.items()])
        assert self._client.completeMultipartUpload(BUCKET, KEY, upload_id, named).status == 200

    def abort(self, upload_id: str) -> None:
        assert self._client.abortMultipartUpload(BUCKET, KEY, upload_id).status == 204

    def objects(self) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        marker = None
        while True:
            page = self._client.listObjects(BUCKET, marker=marker).body
            found += [(one.key, one.size) for one in page.contents]
            if not page.is_truncated:
                return found
            marker = page.next_marker

    def read(self) -> bytes:
        return bytes(self._client.getObject(BUCKET, KEY, loadStreamInMemory=True).body.buffer)


class Boto3:
    """boto3 of S3."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._client = s3(sandbox, "s3v4")

    def put_source(self, body: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=SOURCE, Body=body)

    def initiate(self) -> str:
        return str(self._client.create_multipart_upload(**OBJECT)["UploadId"])

    def upload_part(self, upload_id: str, number: int, body: bytes) -> str:
        answer = self._client.upload_part(**OBJECT, UploadId=upload_id, PartNumber=number, Body=body)
        return bare(answer["ETag"])

    def copy_part(self, upload_id: str, number: int, first: int, last: int) -> str:
        source = {"CopySource": {"Bucket": BUCKET, "Key": SOURCE}, "CopySourceRange": f"bytes={first}-{last}"}
        answer = self._client.upload_part_copy(**OBJECT, UploadId=upload_id, PartNumber=number, **source)
        return bare(answer["CopyPartResult"]["ETag"])

    def uploads(self) -> list[str]:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=BUCKET)
        return [one["UploadId"] for page in pages for one in page.get("Uploads", [])]

    def parts(self, upload_id: str) -> list[tuple[int, str, int]]:
        pages = self._client.get_paginator("list_parts").paginate(**OBJECT, UploadId=upload_id)
        listed = [one for page in pages for one in page.get("Parts", [])]
        return [(one["PartNumber"], bare(one["ETag"]), one["Size"]) for one in listed]

    def complete(self, upload_id: str, etags: dict[int, str]) -> None:
        named = [{"PartNumber": number, "ETag": etag} for number, etag in etags.items()]
        self._client.complete_multipart_upload(**OBJECT, UploadId=upload_id, MultipartUpload={"Parts": named})

    def abort(self, upload_id: str) -> None:
        self._client.abort_multipart_upload(**OBJECT, UploadId=upload_id)

    def objects(self) -> list[tuple[str, int]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [(one["Key"], one["Size"]) for page in pages for one in page.get("Contents", [])]

    def read(self) -> bytes:
        return bytes(self._client.get_object(**OBJECT)["Body"].read())


def bare(etag: str) -> str:
    """Return an ETag as the sandbox stores it."""
    return etag.strip('"').lower()

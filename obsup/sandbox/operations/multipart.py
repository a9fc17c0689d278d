"""Initiate, UploadPart and Abort."""

from __future__ import annotations

from pathlib import Path

from obsup.sandbox.operations import checksums
from obsup.sandbox.operations.call import Call
from obsup.sandbox.operations.conditions import check_write
from obsup.sandbox.operations.objects import new_etag
from obsup.sandbox.refusals import Refused
from obsup.sandbox.storage.disk import StoredPart
from obsup.sandbox.storage.names import check_key
from obsup.sandbox.storage.uploads import Upload, new_part_file
from obsup.sandbox.wire.body import Expected, receive
from obsup.sandbox.wire.digests import Digest
from obsup.sandbox.wire.response import (
    Child,
    Response,
    document,
    encode_key,
    quoted_etag,
    wants_url_encoding,
)


def initiate(call: Call) -> Response:
    """Initiate an upload. Its attributes are those of this request (OSS takes the ACL from Complete)."""
    check_key(call.key, call.vendor)
    attributes = call.attributes()
    if call.is_oss:
        check_write(call)
    upload = call.uploads.initiate(
        call.bucket, call.key, vendor=call.vendor, attributes=attributes, initiated=call.now
    )
    encoded = wants_url_encoding(call.request, call.vendor, is_key_list=False)
    children: list[Child] = [
        ("Bucket", call.bucket),
        ("Key", encode_key(call.key, call.vendor) if encoded else call.key),
        ("UploadId", upload.upload_id),
    ]
    if encoded:
        children.append(("EncodingType", "url"))
    response = document("InitiateMultipartUploadResult", children, call.vendor)
    return response.with_headers(
        {**call.encryption_headers(attributes), **checksums.upload_headers(call, attributes)}
    )


def upload_part(call: Call) -> Response:
    """Receive one part. A part of the same number is replaced."""
    number = part_number(call)
    upload = call.find_upload()
    call.check_length()
    check_part_key(call, upload)
    expected = call.expected(upload.attributes.checksum_algorithm, attributes=upload.attributes)
    checksums.check_algorithm(upload, expected)
    with call.disk.receiving() as path:
        received = None if call.disk.discard else path
        digest = receive(call.body, call.request, received, expected, flip="flip-bit" in call.faults)
        part = store_part(call, upload, number=number, digest=digest, received=received, expected=expected)
    headers = {"ETag": quoted_etag(part.etag, call.vendor), **checksums.shown(call, part.checksums)}
    if call.is_oss and part.crc64 is not None:
        headers["x-oss-hash-crc64ecma"] = str(part.crc64)
    return Response(headers={**headers, **call.encryption_headers(upload.attributes)})


def abort(call: Call) -> Response:
    """Discard an upload and its parts."""
    upload = call.find_upload()
    with upload.lock:
        call.uploads.forget(upload)
    return Response(204)


def part_number(call: Call) -> int:
    """Return the part number. Raises Refused (400 InvalidArgument) outside 1..10000."""
    number = call.request.int_param("partNumber", 0)
    if not 1 <= number <= call.limits.parts:
        message = f"Part number must be an integer between 1 and {call.limits.parts}, inclusive"
        raise Refused(400, "InvalidArgument", message)
    return number


def store_part(
    call: Call,
    upload: Upload,
    *,
    number: int,
    digest: Digest,
    received: Path | None,
    expected: Expected | None,
) -> StoredPart:
    """Add a received or copied part to its upload."""
    part = StoredPart(
        number=number,
        size=digest.size,
        etag=new_etag(call, upload.attributes, digest, salt=upload.upload_id),
        md5=digest.md5.hex(),
        modified=call.now,
        crc64=digest.crc64,
        file=new_part_file(number) if received is not None else "",
        checksums=checksums.part_checksums(upload, digest, expected),
    )
    call.uploads.store_part(upload, part, received)
    return part


def check_part_key(call: Call, upload: Upload) -> None:
    """Raise Refused (400 InvalidRequest) unless the SSE-C key of a part is the one of Initiate."""
    if call.customer_key() != upload.attributes.customer_key_md5:
        message = (
            "The multipart upload initiate requested encryption. "
            "Subsequent part requests must include the appropriate encryption parameters."
        )
        raise Refused(400, "InvalidRequest", message)

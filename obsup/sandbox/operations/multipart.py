"""Initiate, UploadPart, UploadPartCopy and Abort."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from obsup.sandbox.operations.call import Call
from obsup.sandbox.operations.objects import check_customer_key, check_no_overwrite, find_object, parse_range
from obsup.sandbox.refusals import Refused
from obsup.sandbox.storage.attributes import is_etag_opaque
from obsup.sandbox.storage.names import check_key
from obsup.sandbox.storage.uploads import StoredPart, Upload, new_part_file
from obsup.sandbox.wire.body import BLOCK, Expected, receive
from obsup.sandbox.wire.digests import Digest
from obsup.sandbox.wire.request import decode
from obsup.sandbox.wire.response import (
    Child,
    Response,
    document,
    encode_key,
    iso_date,
    quoted_etag,
    wants_url_encoding,
)


def initiate(call: Call) -> Response:
    """Initiate an upload. Its attributes are those of this request (OSS takes the ACL from Complete)."""
    check_key(call.key, call.vendor)
    attributes = call.attributes()
    if call.is_oss:
        check_no_overwrite(call)
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
    return response.with_headers(call.encryption_headers(attributes))


def upload_part(call: Call) -> Response:
    """Receive one part. A part of the same number is replaced."""
    number = part_number(call)
    upload = call.uploads.find(call.bucket, call.key, call.request.param("uploadId"))
    call.check_length()
    _check_customer_key(call, upload)
    expected = call.expected()
    received = None if call.disk.discard else call.disk.incoming()
    try:
        flip = "flip-bit" in call.faults
        digest = receive(call.body, call.request, received, expected, flip=flip)
        part = _store(call, upload, number=number, digest=digest, received=received, expected=expected)
    finally:
        if received is not None:
            received.unlink(missing_ok=True)
    headers = {"ETag": quoted_etag(part.etag, call.vendor), **part.checksums}
    if call.is_oss and part.crc64 is not None:
        headers["x-oss-hash-crc64ecma"] = str(part.crc64)
    return Response(headers={**headers, **call.encryption_headers(upload.attributes)})


def copy_part(call: Call) -> Response:
    """Copy a part from an object, or from an inclusive range of one, inside the store."""
    number = part_number(call)
    upload = call.uploads.find(call.bucket, call.key, call.request.param("uploadId"))
    _check_customer_key(call, upload)
    source = find_object(call, *_copy_source(call))
    check_customer_key(source, call.customer_key(of="copy-source-"))
    if_match = call.request.header(call.vendor.header("copy-source-if-match"))
    if if_match and if_match.strip('"').lower() != source.etag.lower():
        message = "At least one of the pre-conditions you specified did not hold"
        raise Refused(412, "PreconditionFailed", message, details={"Condition": "x-amz-copy-source-If-Match"})
    wanted = call.request.header(call.vendor.header("copy-source-range"))
    span = parse_range(wanted, source.size) if wanted else range(source.size)
    if span is None or (wanted and not re.fullmatch(r"bytes=\d+-\d+", wanted)):
        message = f"The range {wanted} is not valid for a source of {source.size} bytes."
        raise Refused(400, "InvalidArgument", message)
    received = None if call.disk.discard else call.disk.incoming()
    digest = Digest(["crc64"] if call.is_oss else [])
    try:
        _copy_range(call, (source.bucket, source.key), span, digest=digest, target=received)
        part = _store(call, upload, number=number, digest=digest, received=received, expected=None)
    finally:
        if received is not None:
            received.unlink(missing_ok=True)
    children: list[Child] = [
        ("LastModified", iso_date(part.modified)),
        ("ETag", quoted_etag(part.etag, call.vendor)),
    ]
    response = document("CopyPartResult", children, call.vendor)
    return response.with_headers(call.encryption_headers(upload.attributes))


def abort(call: Call) -> Response:
    """Discard an upload and its parts."""
    upload = call.uploads.find(call.bucket, call.key, call.request.param("uploadId"))
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


def _store(
    call: Call,
    upload: Upload,
    *,
    number: int,
    digest: Digest,
    received: Path | None,
    expected: Expected | None,
) -> StoredPart:
    md5 = digest.md5.hex()
    etag = md5
    if is_etag_opaque(upload.attributes, call.vendor):
        etag = hashlib.md5(f"{upload.upload_id}{md5}".encode(), usedforsecurity=False).hexdigest()
    part = StoredPart(
        number=number,
        size=digest.size,
        etag=etag,
        md5=md5,
        modified=call.now,
        crc64=digest.crc64,
        file=new_part_file(number) if received is not None else "",
        checksums=expected.headers() if expected is not None else {},
    )
    call.uploads.store_part(upload, part, received)
    return part


def _check_customer_key(call: Call, upload: Upload) -> None:
    """Raise Refused (400 InvalidRequest) unless the SSE-C key is the one of Initiate."""
    if call.customer_key() != upload.attributes.customer_key_md5:
        message = (
            "The multipart upload initiate requested encryption. "
            "Subsequent part requests must include the appropriate encryption parameters."
        )
        raise Refused(400, "InvalidRequest", message)


def _copy_source(call: Call) -> tuple[str, str]:
    value = call.request.header(call.vendor.header("copy-source"))
    bucket, slash, key = value.removeprefix("/").partition("?versionId=")[0].partition("/")
    if not slash or not bucket or not key:
        raise Refused(400, "InvalidArgument", f"The copy source must be bucket/key, not {value!r}.")
    if not call.disk.has_bucket(decode(bucket)):
        raise Refused(404, "NoSuchBucket", "The specified bucket does not exist")
    return decode(bucket), decode(key)


def _copy_range(
    call: Call, source: tuple[str, str], span: range, *, digest: Digest, target: Path | None
) -> None:
    output = target.open("wb") if target is not None else None
    try:
        with call.disk.open(*source) as file:
            file.seek(span.start)
            left = len(span)
            while left:
                block = file.read(min(BLOCK, left))
                if not block:
                    raise Refused(500, "InternalError", "The source shrank while it was copied.")
                left -= len(block)
                digest.update(memoryview(block))
                if output is not None:
                    output.write(block)
    finally:
        if output is not None:
            output.close()

"""PutObject, HeadObject, GetObject and DeleteObject."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import parse_qsl

from obsup.sandbox.operations.call import Call
from obsup.sandbox.refusals import Refused
from obsup.sandbox.storage.attributes import is_etag_opaque
from obsup.sandbox.storage.disk import StoredObject
from obsup.sandbox.storage.names import check_key
from obsup.sandbox.vendors import AWS4
from obsup.sandbox.wire.body import BLOCK, receive
from obsup.sandbox.wire.response import Response, http_date, quoted_etag

_DAY_S = 24 * 3600


def put(call: Call) -> Response:
    """Store an object from one body."""
    check_key(call.key, call.vendor)
    call.check_length()
    attributes = call.attributes()
    expected = call.expected()
    received = call.disk.incoming()
    try:
        target = None if call.disk.discard else received
        digest = receive(call.body, call.request, target, expected, flip="flip-bit" in call.faults)
        etag = digest.md5.hex()
        if is_etag_opaque(attributes, call.vendor):
            etag = hashlib.md5(received.name.encode() + digest.md5, usedforsecurity=False).hexdigest()
        stored = StoredObject(
            bucket=call.bucket,
            key=call.key,
            size=digest.size,
            etag=etag,
            modified=call.now,
            crc64=digest.crc64,
            checksums=expected.headers(),
            attributes=attributes,
        )
        with call.disk.lock:
            check_no_overwrite(call)
            call.disk.publish(received, stored)
    finally:
        received.unlink(missing_ok=True)
    return _put_response(call, stored)


def head(call: Call) -> Response:
    """Return an object's headers."""
    stored = find_object(call, call.bucket, call.key)
    check_customer_key(stored, call.customer_key())
    return Response(headers=object_headers(call, stored), length=stored.size)


def get(call: Call) -> Response:
    """Return an object's bytes, or one range of them."""
    with call.disk.lock:
        stored = find_object(call, call.bucket, call.key)
        check_customer_key(stored, call.customer_key())
        wanted = call.request.header("range")
        span = parse_range(wanted, stored.size) if wanted else range(stored.size)
        if span is None:
            headers = {"Content-Range": f"bytes */{stored.size}"}
            raise Refused(416, "InvalidRange", "The requested range is not satisfiable", headers=headers)
        file = call.disk.open(call.bucket, call.key)
    headers = object_headers(call, stored)
    if wanted:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{stored.size}"
    stream = _read_span(file, span)
    return Response(206 if wanted else 200, headers, stream=stream, length=len(span))


def delete(call: Call) -> Response:
    """Delete an object; succeeds even if the object does not exist."""
    call.disk.delete(call.bucket, call.key)
    return Response(204)


def find_object(call: Call, bucket: str, key: str) -> StoredObject:
    """Return an object. Raises Refused (404 NoSuchKey)."""
    stored = call.disk.find(bucket, key)
    if stored is None:
        raise Refused(404, "NoSuchKey", "The specified key does not exist.", details={"Key": key})
    return stored


def check_no_overwrite(call: Call) -> None:
    """Reject replacing an object if the client forbids it: 412 (S3), 409 FileAlreadyExists (OSS).

    S3 supports the condition only with Signature V4; V2 ignores the header, and OBS has no such header.
    """
    if "ignore-condition" in call.faults:
        return
    exists = call.disk.find(call.bucket, call.key) is not None
    if (
        call.dialect == AWS4
        and call.vendor.name == "s3"
        and call.request.header("if-none-match") == "*"
        and exists
    ):
        message = "At least one of the pre-conditions you specified did not hold"
        raise Refused(412, "PreconditionFailed", message, details={"Condition": "If-None-Match"})
    if call.is_oss and call.request.header("x-oss-forbid-overwrite") == "true" and exists:
        raise Refused(
            409, "FileAlreadyExists", "The object you specified already exists and can not be overwritten."
        )


def parse_range(text: str, size: int) -> range | None:
    """Return the offsets of ``bytes=A-B``, ``bytes=A-`` or ``bytes=-N``; None if the header is absent."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", text.strip())
    if not match or not (match[1] or match[2]):
        return None
    if not match[1]:
        span = range(max(0, size - int(match[2])), size)
    else:
        span = range(int(match[1]), min(size, int(match[2]) + 1) if match[2] else size)
    return span if span else None


def object_headers(call: Call, stored: StoredObject) -> dict[str, str]:
    """Return an object's headers with the names of the client's vendor."""
    vendor, attributes = call.vendor, stored.attributes
    default_type = "application/octet-stream" if call.is_oss else "binary/octet-stream"
    headers = {"Content-Type": default_type, **{n.title(): v for n, v in attributes.headers.items()}}
    headers["ETag"] = quoted_etag(stored.etag, vendor)
    headers["Last-Modified"] = http_date(stored.modified)
    headers["Accept-Ranges"] = "bytes"
    headers.update({vendor.header(f"meta-{name}"): value for name, value in attributes.metadata.items()})
    if attributes.storage_class and (call.is_oss or attributes.storage_class != vendor.storage_classes[0]):
        headers[vendor.header("storage-class")] = attributes.storage_class
    if attributes.tagging:
        headers[vendor.header("tagging-count")] = str(
            len(parse_qsl(attributes.tagging, keep_blank_values=True))
        )
    if attributes.website_redirect:
        headers[vendor.header("website-redirect-location")] = attributes.website_redirect
    if attributes.expires_days is not None:
        expiry = http_date(stored.modified + attributes.expires_days * _DAY_S)
        headers[vendor.header("expiration")] = f'expiry-date="{expiry}", rule-id="-"'
    if vendor.echoes_upload_id and stored.upload_id:
        headers[vendor.header("uploadId")] = stored.upload_id
    if call.is_oss:
        headers["x-oss-object-type"] = "Multipart" if stored.upload_id else "Normal"
        if stored.crc64 is not None:
            headers["x-oss-hash-crc64ecma"] = str(stored.crc64)
    return {**headers, **stored.checksums, **call.encryption_headers(attributes)}


def _put_response(call: Call, stored: StoredObject) -> Response:
    headers = {"ETag": quoted_etag(stored.etag, call.vendor), **stored.checksums}
    headers.update(call.encryption_headers(stored.attributes))
    if call.is_oss:
        headers["x-oss-hash-crc64ecma"] = str(stored.crc64)
    redirect = call.request.header("success-action-redirect") if call.vendor.prefix == "x-obs-" else ""
    if redirect:
        return Response(303, {**headers, "Location": redirect})
    return Response(headers=headers)


def check_customer_key(stored: StoredObject, sent: str) -> None:
    """Raise Refused unless *sent*, the MD5 of an SSE-C key or nothing, is that of the object's key."""
    wanted = stored.attributes.customer_key_md5
    if wanted and not sent:
        message = (
            "The object was stored using a form of Server Side Encryption. "
            "The correct parameters must be provided to retrieve the object."
        )
        raise Refused(400, "InvalidRequest", message)
    if sent and not wanted:
        message = "The encryption parameters are not applicable to this object."
        raise Refused(400, "InvalidRequest", message)
    if sent != wanted:
        raise Refused(403, "AccessDenied", "The encryption key is not the one of this object.")


def _read_span(file: BinaryIO, span: range) -> Iterator[bytes]:
    with file:
        file.seek(span.start)
        left = len(span)
        while left:
            block = file.read(min(BLOCK, left))
            if not block:
                return
            left -= len(block)
            yield block

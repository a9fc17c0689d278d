"""PutObject, HeadObject and GetObject."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from typing import BinaryIO
from urllib.parse import parse_qsl

from obsup.sandbox.operations.call import Call
from obsup.sandbox.operations.checksums import crc64_header, shown, type_header
from obsup.sandbox.operations.conditions import check_write, is_unchanged
from obsup.sandbox.refusals import Refused
from obsup.sandbox.storage.attributes import STANDARD_HEADERS, Attributes, is_etag_opaque
from obsup.sandbox.storage.disk import StoredObject
from obsup.sandbox.storage.names import check_key
from obsup.sandbox.wire.body import BLOCK, receive
from obsup.sandbox.wire.digests import Digest
from obsup.sandbox.wire.response import Response, http_date, quoted_etag

_DAY_S = 24 * 3600


def put(call: Call) -> Response:
    """Store an object from one body."""
    check_key(call.key, call.vendor)
    call.check_length()
    attributes = call.attributes()
    expected = call.expected(attributes=attributes)
    with call.disk.receiving() as received:
        target = None if call.disk.discard else received
        digest = receive(call.body, call.request, target, expected, flip="flip-bit" in call.faults)
        stored = StoredObject(
            bucket=call.bucket,
            key=call.key,
            size=digest.size,
            etag=new_etag(call, attributes, digest, salt=received.name),
            modified=call.now,
            crc64=digest.crc64,
            checksums=expected.headers(digest),
            attributes=call.with_default_retention(attributes),
        )
        with call.disk.lock:
            check_write(call)
            call.disk.publish(received, stored)
    return _put_response(call, stored)


def head(call: Call) -> Response:
    """Return an object's headers."""
    stored = find_object(call, call.bucket, call.key)
    return _select(call, stored)[0]


def get(call: Call) -> Response:
    """Return an object's bytes, one range of them, or those of one part."""
    with call.disk.lock:
        stored = find_object(call, call.bucket, call.key)
        response, span = _select(call, stored)
        if response.status == HTTPStatus.NOT_MODIFIED:
            return response
        return replace(response, stream=read_span(call, stored, span))


def find_object(call: Call, bucket: str, key: str) -> StoredObject:
    """Return an object. Raises Refused (404 NoSuchKey)."""
    stored = call.disk.find(bucket, key)
    if stored is None:
        raise Refused(404, "NoSuchKey", "The specified key does not exist.", details={"Key": key})
    return stored


def new_etag(call: Call, attributes: Attributes, digest: Digest, *, salt: str) -> str:
    """Return the ETag of received bytes: their MD5, unless the object is encrypted with a key."""
    if not is_etag_opaque(attributes, call.vendor):
        return digest.md5.hex()
    return hashlib.md5(salt.encode() + digest.md5, usedforsecurity=False).hexdigest()


def _select(call: Call, stored: StoredObject) -> tuple[Response, range]:
    """Return the response to GET or HEAD, without the bytes, and the offsets of the bytes that the client asks for.

    Raises Refused: 412 PreconditionFailed, 416 InvalidRange, 400 InvalidPart.
    """
    part = _part_span(call, stored)
    check_customer_key(stored, call.customer_key())
    if call.vendor.name == "s3" and call.request.has_header("x-amz-server-side-encryption"):
        message = "The encryption of an object cannot be selected when it is read."
        raise Refused(400, "InvalidArgument", message)
    headers = object_headers(call, stored)
    if is_unchanged(call, stored):
        kept = {name: headers[name] for name in ("ETag", "Last-Modified")}
        return Response(HTTPStatus.NOT_MODIFIED, kept), range(0)
    span = _range(call, stored) if part is None else part
    is_partial = part is not None or call.request.has_header("range")
    if is_partial:
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{stored.size}"
    if part is not None and stored.parts:
        headers[call.vendor.header("mp-parts-count")] = str(len(stored.parts))
    return Response(206 if is_partial else 200, {**headers, **overrides(call)}, length=len(span)), span


def _part_span(call: Call, stored: StoredObject) -> range | None:
    """Return the offsets of the part that the client asks for; None if it does not ask for one."""
    if not call.request.has_param("partNumber"):
        return None
    number, sizes = _part(call), [part.size for part in stored.parts] or [stored.size]
    if not 1 <= number <= len(sizes):
        raise Refused(400, "InvalidPart", f"The object has {len(sizes)} parts, and no part {number}.")
    start = sum(sizes[: number - 1])
    return range(start, start + sizes[number - 1])


def _range(call: Call, stored: StoredObject) -> range:
    wanted = call.request.header("range")
    span = parse_range(wanted, stored.size) if wanted else range(stored.size)
    if span is None:
        headers = {"Content-Range": f"bytes */{stored.size}"}
        raise Refused(416, "InvalidRange", "The requested range is not satisfiable", headers=headers)
    return span


def object_type(stored: StoredObject) -> str:
    """Return the object's type as OSS names it."""
    return "Multipart" if stored.upload_id else "Normal"


def overrides(call: Call) -> dict[str, str]:
    """Return the headers that response-content-type and its relatives replace."""
    values = {name: call.request.param(f"response-{name}") for name in STANDARD_HEADERS}
    return {name.title(): value for name, value in values.items() if value}


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
        headers["x-oss-object-type"] = object_type(stored)
    if call.is_oss or stored.upload_id:
        headers |= crc64_header(call, stored.crc64)
    headers |= {**call.lock_headers(attributes), **call.version_headers()}
    return {**headers, **_checksums(call, stored), **call.encryption_headers(attributes)}


def _checksums(call: Call, stored: StoredObject) -> dict[str, str]:
    """Return the checksum headers of the object or of one part, so not with a range, and for S3 only if asked for."""
    if call.request.has_header("range"):
        return {}
    if call.vendor.name == "s3" and call.request.header("x-amz-checksum-mode").upper() != "ENABLED":
        return {}
    whole = shown(call, stored.checksums, len(stored.parts) or None)
    part = stored.parts[_part(call) - 1] if stored.parts and _part(call) else None
    return {**(shown(call, part.checksums) if part else whole), **type_header(whole)}


def _part(call: Call) -> int:
    """Return the number of the part that the client asks for, 0 for the whole object."""
    return call.request.int_param("partNumber", 0)


def _put_response(call: Call, stored: StoredObject) -> Response:
    visible = shown(call, stored.checksums)
    headers = {"ETag": quoted_etag(stored.etag, call.vendor), **visible, **type_header(visible)}
    headers.update({**call.encryption_headers(stored.attributes), **call.version_headers()})
    if call.is_oss:
        headers["x-oss-hash-crc64ecma"] = str(stored.crc64)
    redirect = call.request.header("success-action-redirect") if call.vendor.prefix == "x-obs-" else ""
    if redirect.startswith(("http://", "https://")):  # the vendor ignores an invalid address
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
        message = (
            "Requests specifying Server Side Encryption with Customer provided keys "
            "must provide the correct secret key."
        )
        raise Refused(403, "AccessDenied", message)


def read_span(call: Call, stored: StoredObject, span: range) -> Iterator[bytes]:
    """Yield the bytes of an object at these offsets; they do not change if the object is replaced."""
    return _blocks(call.disk.open(stored.bucket, stored.key), span)


def _blocks(file: BinaryIO, span: range) -> Iterator[bytes]:
    with file:
        file.seek(span.start)
        left = len(span)
        while block := file.read(min(BLOCK, left)):
            left -= len(block)
            yield block

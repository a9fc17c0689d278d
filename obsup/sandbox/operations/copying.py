"""CopyObject and UploadPartCopy: bytes that come from an object in the store."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from obsup.sandbox.operations import checksums
from obsup.sandbox.operations.call import Call
from obsup.sandbox.operations.conditions import check_copy_source, check_write
from obsup.sandbox.operations.multipart import check_part_key, part_number, store_part
from obsup.sandbox.operations.objects import check_customer_key, find_object, new_etag, read_span
from obsup.sandbox.refusals import Refused
from obsup.sandbox.storage.attributes import Attributes
from obsup.sandbox.storage.disk import StoredObject
from obsup.sandbox.storage.names import check_key
from obsup.sandbox.wire.digests import Digest
from obsup.sandbox.wire.request import decode
from obsup.sandbox.wire.response import Child, Response, document, iso_date, quoted_etag


def copy_object(call: Call) -> Response:
    """Copy an object, with its own attributes or (metadata directive REPLACE) those of the request."""
    check_key(call.key, call.vendor)
    source = _source(call)
    attributes = _attributes(call, source)
    digest = Digest(["crc64"] if call.is_oss else [])
    with call.disk.receiving() as received:
        _copy_range(call, source, range(source.size), digest=digest, target=received)
        stored = StoredObject(
            bucket=call.bucket,
            key=call.key,
            size=source.size,
            etag=new_etag(call, attributes, digest, salt=received.name),
            modified=call.now,
            crc64=digest.crc64,
            # A checksum of part checksums is not one of the copy, which has no parts.
            checksums={name: value for name, value in source.checksums.items() if "-" not in value},
            attributes=call.with_default_retention(attributes),
        )
        with call.disk.lock:
            check_write(call)
            call.disk.publish(received, stored)
    response = _document(call, "CopyObjectResult", stored.etag, checksum=stored.checksums)
    return response.with_headers(call.encryption_headers(attributes))


def copy_part(call: Call) -> Response:
    """Copy a part from an object, or from an inclusive range of one, inside the store."""
    number = part_number(call)
    upload = call.find_upload()
    check_part_key(call, upload)
    source = _source(call)
    span = _span(call, source)
    digest = Digest({"crc64" if call.is_oss else "", upload.attributes.checksum_algorithm})
    with call.disk.receiving() as path:
        received = None if call.disk.discard else path
        _copy_range(call, source, span, digest=digest, target=received)
        part = store_part(call, upload, number=number, digest=digest, received=received, expected=None)
    response = _document(call, "CopyPartResult", part.etag, checksum=part.checksums)
    # ali-oss reads the ETag of a copied part from the header.
    header = {"ETag": quoted_etag(part.etag, call.vendor)} if call.is_oss else {}
    return response.with_headers({**header, **call.encryption_headers(upload.attributes)})


def _document(call: Call, root: str, etag: str, *, checksum: dict[str, str]) -> Response:
    children: list[Child] = [
        ("LastModified", iso_date(call.now)),
        ("ETag", quoted_etag(etag, call.vendor)),
        *checksums.elements(checksum),
    ]
    return document(root, children, call.vendor)


def _source(call: Call) -> StoredObject:
    """Return the object to copy, if its conditions hold and the request has its SSE-C key."""
    value = call.request.header(call.vendor.header("copy-source"))
    bucket, slash, key = value.removeprefix("/").partition("?versionId=")[0].partition("/")
    if not slash or not bucket or not key:
        raise Refused(400, "InvalidArgument", f"The copy source must be bucket/key, not {value!r}.")
    if not call.disk.has_bucket(decode(bucket)):
        raise Refused(404, "NoSuchBucket", "The specified bucket does not exist")
    source = find_object(call, decode(bucket), decode(key))
    check_customer_key(source, call.customer_key(of="copy-source-"))
    check_copy_source(call, source)
    return source


def _span(call: Call, source: StoredObject) -> range:
    """Return the offsets to copy. Raises Refused: 400 InvalidArgument, 416 InvalidRange unless all of them exist."""
    wanted = call.request.header(call.vendor.header("copy-source-range"))
    if not wanted:
        return range(source.size)
    match = re.fullmatch(r"bytes=(\d{1,18})-(\d{1,18})", wanted)
    if not match or int(match[1]) > int(match[2]):
        raise Refused(400, "InvalidArgument", f"The range must be bytes=FIRST-LAST, not {wanted!r}.")
    if int(match[2]) >= source.size:
        message = f"Range specified is not valid for source object of size: {source.size}"
        raise Refused(416, "InvalidRange", message)
    return range(int(match[1]), int(match[2]) + 1)


def _attributes(call: Call, source: StoredObject) -> Attributes:
    """Return the attributes of a copy: encryption, class and ACL are always those of the request."""
    sent = call.attributes()
    replaces = _directive(call, "metadata-directive")
    is_other = (source.bucket, source.key) != (call.bucket, call.key)
    if not (is_other or replaces or sent.storage_class or sent.encryption or sent.customer_key_md5):
        message = (
            "This copy request is illegal because it is trying to copy an object to itself without changing "
            "the object's metadata, storage class, website redirect location or encryption attributes."
        )
        raise Refused(400, "InvalidRequest", message)
    kept = source.attributes
    if not replaces:
        sent = replace(sent, headers=kept.headers, metadata=kept.metadata, expires_days=kept.expires_days)
    return sent if _directive(call, "tagging-directive") else replace(sent, tagging=kept.tagging)


def _directive(call: Call, name: str) -> bool:
    """Return whether the directive is REPLACE. Raises Refused (400 InvalidArgument)."""
    value = call.request.header(call.vendor.header(name), "COPY").upper()
    if value not in ("COPY", "REPLACE"):
        raise Refused(400, "InvalidArgument", f"Unknown {name}: {value}")
    return value == "REPLACE"


def _copy_range(
    call: Call, source: StoredObject, span: range, *, digest: Digest, target: Path | None
) -> None:
    with Path(target or os.devnull).open("wb") as output:
        for block in read_span(call, source, span):
            digest.update(memoryview(block))
            output.write(block)
    if digest.size < len(span):
        raise Refused(500, "InternalError", "The source shrank while it was copied.")

"""Complete: check the parts named by the client and join them to the object, exactly once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from obsup.sandbox.operations import checksums
from obsup.sandbox.operations.call import Call
from obsup.sandbox.operations.conditions import check_write
from obsup.sandbox.operations.multipart import check_part_key
from obsup.sandbox.refusals import Refused
from obsup.sandbox.storage.attributes import is_etag_opaque, read_acl
from obsup.sandbox.storage.disk import StoredObject, StoredPart
from obsup.sandbox.storage.uploads import Upload, join_parts, no_such_upload
from obsup.sandbox.wire.digests import combine_crc
from obsup.sandbox.wire.response import Child, Response, document, encode_key, quoted_etag, wants_url_encoding
from obsup.sandbox.wire.xml import local_name, malformed_xml, parse_xml

_MAX_DOCUMENT = 8 * 1024 * 1024


class NamedPart(NamedTuple):
    """A part in the document of Complete. ``etag`` is bare and lower-case, ``fields`` all elements."""

    number: int
    etag: str
    fields: Mapping[str, str]


def complete(call: Call) -> Response:
    """Join the named parts and publish the object; other parts are discarded, as by the services.

    S3 sends the same response again if the request is repeated and the object still exists.

    Raises Refused: MalformedXML, NoSuchUpload, InvalidPartOrder, InvalidPart, EntityTooSmall, InvalidRequest
    (x-amz-mp-object-size), PreconditionFailed, FileAlreadyExists.
    """
    named = parse_parts(call.read_document(_MAX_DOCUMENT, is_of_body=False), most=call.limits.parts)
    if call.vendor.name == "s3":
        # As in Ceph: of a number that is listed twice, the last entry counts.
        named = list({part.number: part for part in named}.values())
    try:
        return _response(call, _join(call, named))
    except Refused as refused:
        stored = call.disk.find(call.bucket, call.key)
        if refused.code != "NoSuchUpload" or call.vendor.name != "s3" or stored is None:
            raise
        if stored.upload_id != call.request.param("uploadId"):
            raise
        choose_parts(named, stored.parts)
        return _response(call, stored)


def _join(call: Call, named: Sequence[NamedPart]) -> StoredObject:
    upload = call.find_upload()
    with upload.lock:
        if not upload.is_open:
            raise no_such_upload(upload.upload_id)
        if call.vendor.name == "s3" and upload.attributes.checksum_algorithm:
            check_part_key(call, upload)
        parts = choose_parts(named, upload.listed_parts())
        _check_sizes(call, parts)
        stored = _describe(call, upload, parts)
        _publish(call, upload, parts, stored=stored)
        if "keep-upload" not in call.faults:
            call.uploads.forget(upload)
    return stored


def parse_parts(text: bytes, *, most: int) -> list[NamedPart]:
    """Return the parts that a CompleteMultipartUpload document names. Raises Refused (400 MalformedXML)."""
    named = []
    for element in parse_xml(text, "CompleteMultipartUpload"):
        fields = {local_name(child): (child.text or "").strip() for child in element}
        number, etag = fields.get("PartNumber", ""), fields.get("ETag")
        if local_name(element) != "Part" or not number.isdecimal() or etag is None:
            raise malformed_xml()
        named.append(NamedPart(int(number), etag.strip('"').lower(), fields))
    if not named or len(named) > most:
        raise malformed_xml()
    return named


def choose_parts(named: Sequence[NamedPart], stored: Sequence[StoredPart]) -> list[StoredPart]:
    """Return the stored parts that *named* lists. Raises Refused (400): InvalidPartOrder, InvalidPart."""
    numbers = [part.number for part in named]
    if any(first >= second for first, second in pairwise(numbers)):
        message = "The list of parts was not in ascending order. Parts must be ordered by part number."
        raise Refused(400, "InvalidPartOrder", message)
    by_number = {part.number: part for part in stored}
    chosen = []
    for number, etag, fields in named:
        part = by_number.get(number)
        if part is None or part.etag != etag or not checksums.check_named(part, fields):
            message = (
                "One or more of the specified parts could not be found. The part may not have been uploaded, "
                "or the specified entity tag may not match the part's entity tag."
            )
            raise Refused(400, "InvalidPart", message, details={"PartNumber": str(number), "ETag": etag})
        chosen.append(part)
    return chosen


def object_etag(parts: Sequence[StoredPart]) -> str:
    """Return the documented ETag of OBS and S3: the MD5 of the parts' MD5s, a dash, their number."""
    joined = b"".join(bytes.fromhex(part.md5) for part in parts)
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _check_sizes(call: Call, parts: Sequence[StoredPart]) -> None:
    least = call.vendor.min_part if call.limits.min_part is None else call.limits.min_part
    for part in parts[:-1]:
        if part.size < least:
            details = {
                "ProposedSize": str(part.size),
                "MinSizeAllowed": str(least),
                "PartNumber": str(part.number),
                "ETag": part.etag,
            }
            message = "Your proposed upload is smaller than the minimum allowed object size."
            raise Refused(400, "EntityTooSmall", message, details=details)
    if "equal-parts" in call.faults and len({part.size for part in parts[:-1]}) > 1:
        raise Refused(400, "InvalidPart", "All non-trailing parts must have the same length.")
    promised = call.request.header("x-amz-mp-object-size") if call.vendor.name == "s3" else ""
    if promised and promised != str(sum(part.size for part in parts)):
        raise Refused(400, "InvalidRequest", "The x-amz-mp-object-size is not the size of the parts.")


def _describe(call: Call, upload: Upload, parts: Sequence[StoredPart]) -> StoredObject:
    etag = object_etag(parts)
    if is_etag_opaque(upload.attributes, call.vendor):
        opaque = hashlib.md5((upload.upload_id + etag).encode(), usedforsecurity=False).hexdigest()
        etag = f"{opaque}-{len(parts)}"
    elif "own-etag" in call.faults:
        etag = _etag_of_blocks(upload, parts, int(call.faults["own-etag"].number))
    attributes = upload.attributes
    if call.is_oss:
        attributes = replace(attributes, acl=read_acl(call.request, call.vendor))
    return StoredObject(
        bucket=call.bucket,
        key=call.key,
        size=sum(part.size for part in parts),
        etag=etag,
        modified=call.now,
        crc64=_combined_crc64(call, parts),
        upload_id=upload.upload_id,
        parts=[replace(part, file="") for part in parts],
        checksums=checksums.object_checksums(call, upload, parts),
        attributes=call.with_default_retention(attributes),
    )


def _etag_of_blocks(upload: Upload, parts: Sequence[StoredPart], size: int) -> str:
    """Return a composite ETag over the blocks of *size* bytes that each part is stored in, as SeaweedFS does."""
    md5s = []
    for part in parts:
        with (upload.folder / part.file).open("rb") as file:
            while block := file.read(size):
                md5s.append(hashlib.md5(block, usedforsecurity=False).digest())
    return f"{hashlib.md5(b''.join(md5s), usedforsecurity=False).hexdigest()}-{len(md5s)}"


def _combined_crc64(call: Call, parts: Sequence[StoredPart]) -> int | None:
    total = 0
    for part in parts:
        if part.crc64 is None:
            return None
        total = combine_crc(total, part.crc64, part.size)
    promised = call.request.header(call.vendor.header("checksum-crc64ecma"))
    if promised and promised != str(total):
        raise Refused(400, "BadDigest", f"The crc64ecma you specified did not match: {total}.")
    return total


def _publish(call: Call, upload: Upload, parts: Sequence[StoredPart], *, stored: StoredObject) -> None:
    with call.disk.receiving() as joined:
        if not call.disk.discard:
            join_parts(upload, parts, joined)
        with call.disk.lock:
            check_write(call)
            call.disk.publish(joined, stored)


def _response(call: Call, stored: StoredObject) -> Response:
    encoded = wants_url_encoding(call.request, call.vendor, is_key_list=False)
    key = encode_key(stored.key, call.vendor) if encoded else stored.key
    etag = "" if "empty-etag" in call.faults else quoted_etag(stored.etag, call.vendor)
    children: list[Child] = [
        ("Location", f"http://{call.request.host}{call.request.path}"),
        ("Bucket", stored.bucket),
        ("Key", key),
        ("ETag", etag),
    ]
    visible = checksums.shown(call, stored.checksums, len(stored.parts))
    if visible:
        kind = checksums.type_header(visible).values()
        children += [*checksums.elements(visible), *(("ChecksumType", one) for one in kind)]
    if encoded:
        children.insert(0, ("EncodingType", "url"))
    headers = {**call.encryption_headers(stored.attributes), **call.version_headers()}
    headers |= checksums.crc64_header(call, stored.crc64)
    return document("CompleteMultipartUploadResult", children, call.vendor).with_headers(headers)

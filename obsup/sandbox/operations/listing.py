"""ListParts, ListMultipartUploads and ListObjects, page by page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from obsup.sandbox.operations.call import Call
from obsup.sandbox.operations.checksums import elements, shown
from obsup.sandbox.operations.objects import object_type
from obsup.sandbox.refusals import Refused
from obsup.sandbox.storage.disk import StoredObject, StoredPart
from obsup.sandbox.storage.uploads import Upload
from obsup.sandbox.wire.response import (
    Child,
    Response,
    document,
    encode_key,
    iso_date,
    quoted_etag,
    wants_url_encoding,
)

_OWNER: list[Child] = [("ID", "sandbox"), ("DisplayName", "sandbox")]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page: its items and common prefixes, and whether more follow."""

    items: tuple[T, ...]
    prefixes: tuple[str, ...]
    is_truncated: bool
    last_key: str
    """The key or common prefix of the last entry; the next page starts after it."""


def list_parts(call: Call) -> Response:
    """Return one page of an upload's parts by number, after part-number-marker."""
    upload_id = call.request.param("uploadId")
    upload = _find_upload(call, upload_id)
    size = _page_size(call, "max-parts")
    marker = call.request.int_param("part-number-marker", 0)
    listed = upload.listed_parts() if upload is not None else []
    behind = [part for part in listed if part.number > marker]
    shown = behind[:size]
    encoded = _wants_encoding(call, is_key_list=False)
    children: list[Child] = [
        ("Bucket", call.bucket),
        ("Key", encode_key(call.key, call.vendor) if encoded else call.key),
        ("UploadId", upload_id),
        ("Initiator", _OWNER),
        ("Owner", _OWNER),
        ("StorageClass", (upload and upload.attributes.storage_class) or call.vendor.storage_classes[0]),
        ("PartNumberMarker", marker),
        ("NextPartNumberMarker", shown[-1].number if shown else 0),
        ("MaxParts", size),
        ("IsTruncated", len(behind) > size),
    ]
    if encoded:
        children.insert(0, ("EncodingType", "url"))
    if upload is not None and upload.attributes.checksum_algorithm:
        children.append(("ChecksumAlgorithm", upload.attributes.checksum_algorithm.upper()))
        children.append(("ChecksumType", upload.attributes.checksum_type))
    children += [("Part", _part(call, part)) for part in shown]
    return document("ListPartsResult", children, call.vendor)


def list_uploads(call: Call) -> Response:
    """Return one page of the open uploads by key and upload id, after both markers."""
    key_marker = call.request.param("key-marker")
    id_marker = call.request.param("upload-id-marker") if key_marker else ""
    size = _page_size(call, "max-uploads")
    prefix, delimiter = call.request.param("prefix"), call.request.param("delimiter")
    entries = (
        (upload.key, upload)
        for upload in call.uploads.listed(call.bucket)
        if ("exact-uploads" not in call.faults or upload.key == prefix)
        and not (id_marker and upload.key == key_marker and upload.upload_id <= id_marker)
    )
    page = paginate(
        entries, prefix=prefix, delimiter=delimiter, marker=key_marker, inclusive=bool(id_marker), size=size
    )
    encoded = _wants_encoding(call, is_key_list=True)
    spell = _speller(call, encoded=encoded)
    children: list[Child] = [
        ("Bucket", call.bucket),
        ("KeyMarker", spell(key_marker)),
        ("UploadIdMarker", call.request.param("upload-id-marker")),
        ("Prefix", spell(prefix)),
        ("Delimiter", spell(delimiter)),
        ("MaxUploads", size),
        ("IsTruncated", page.is_truncated),
    ]
    if page.is_truncated or call.is_oss:
        ends_in_upload = bool(page.items) and page.items[-1].key == page.last_key
        children.append(("NextKeyMarker", spell(page.last_key) if page.is_truncated else ""))
        is_named = page.is_truncated and ends_in_upload
        children.append(("NextUploadIdMarker", page.items[-1].upload_id if is_named else ""))
    if encoded:
        children.append(("EncodingType", "url"))
    children += [("Upload", _upload(call, upload, key=spell(upload.key))) for upload in page.items]
    children += [("CommonPrefixes", [("Prefix", spell(common))]) for common in page.prefixes]
    return document("ListMultipartUploadsResult", children, call.vendor)


def list_objects(call: Call) -> Response:
    """Return one page of a bucket's objects, as ListObjects or (list-type=2) ListObjectsV2."""
    request = call.request
    is_v2 = request.param("list-type") == "2"
    marker = _v2_marker(call) if is_v2 else request.param("marker")
    size = _page_size(call, "max-keys")
    prefix, delimiter = request.param("prefix"), request.param("delimiter")
    keys = call.disk.keys(call.bucket)
    page = paginate(
        ((key, key) for key in keys),
        prefix=prefix,
        delimiter=delimiter,
        marker=marker,
        inclusive=False,
        size=size,
    )
    encoded = _wants_encoding(call, is_key_list=True)
    spell = _speller(call, encoded=encoded)
    # boto3 decodes the prefix of ListObjectsV2 only.
    is_plain = call.vendor.name == "s3" and not is_v2
    children: list[Child] = [
        ("Name", call.bucket),
        ("Prefix", prefix if is_plain else spell(prefix)),
        *([("Delimiter", spell(delimiter))] if delimiter else []),
        ("MaxKeys", size),
        ("IsTruncated", page.is_truncated),
    ]
    children += _object_markers(call, page, spell=spell, is_v2=is_v2)
    if encoded:
        children.append(("EncodingType", "url"))
    found = [stored for key in page.items if (stored := call.disk.find(call.bucket, key)) is not None]
    owner: list[Child] = [] if is_v2 and request.param("fetch-owner") != "true" else [("Owner", _OWNER)]
    children += [("Contents", _object(call, stored, key=spell(stored.key)) + owner) for stored in found]
    children += [("CommonPrefixes", [("Prefix", spell(common))]) for common in page.prefixes]
    return document("ListBucketResult", children, call.vendor)


def paginate(
    entries: Iterable[tuple[str, T]], *, prefix: str, delimiter: str, marker: str, inclusive: bool, size: int
) -> Page[T]:
    """Return the page of at most *size* entries after *marker*; *entries* are sorted by key.

    Keys that are equal up to the first *delimiter* after *prefix* form one entry, a common prefix.
    With *inclusive* the page may contain the marker's own key (its upload id decides).
    """
    items: list[T] = []
    prefixes: list[str] = []
    last_key = ""
    for key, common, value in _behind(entries, prefix, delimiter, marker, inclusive=inclusive):
        if common and prefixes and prefixes[-1] == common:
            continue
        if len(items) + len(prefixes) == size:
            return Page(tuple(items), tuple(prefixes), is_truncated=size > 0, last_key=last_key)
        if common:
            prefixes.append(common)
        else:
            items.append(value)
        last_key = common or key
    return Page(tuple(items), tuple(prefixes), is_truncated=False, last_key=last_key)


def _behind(
    entries: Iterable[tuple[str, T]], prefix: str, delimiter: str, marker: str, *, inclusive: bool
) -> Iterator[tuple[str, str, T]]:
    mark = marker.encode("utf-8")
    for key, value in entries:
        raw = key.encode("utf-8", "surrogateescape")
        if not key.startswith(prefix) or (marker and (raw < mark or (raw == mark and not inclusive))):
            continue
        end = key.find(delimiter, len(prefix)) if delimiter else -1
        common = key[: end + len(delimiter)] if end >= 0 else ""
        if common and common == marker:
            continue
        yield key, common, value


def _page_size(call: Call, name: str) -> int:
    """Return the requested page size, at most the limit; for OBS any other value means the limit.

    Raises Refused (400 InvalidArgument) if it is negative, or 0 for OSS.
    """
    wanted = call.request.int_param(name, call.limits.page)
    if call.vendor.name != "obs" and wanted < (1 if call.is_oss else 0):
        raise Refused(400, "InvalidArgument", f"Argument {name} must be an integer between 0 and 2147483647")
    if wanted < (0 if call.vendor.name == "s3" else 1):
        return call.limits.page
    return min(wanted, call.limits.page)


def _find_upload(call: Call, upload_id: str) -> Upload | None:
    """Return the upload; None if it does not exist, and this store reports no error for that."""
    try:
        return call.uploads.find(call.bucket, call.key, upload_id)
    except Refused:
        if "empty-list" not in call.faults:
            raise
        return None


def _wants_encoding(call: Call, *, is_key_list: bool) -> bool:
    wanted = wants_url_encoding(call.request, call.vendor, is_key_list=is_key_list)
    return wanted and "plain-keys" not in call.faults


def _speller(call: Call, *, encoded: bool) -> Callable[[str], str]:
    return (lambda key: encode_key(key, call.vendor)) if encoded else str


def _part(call: Call, part: StoredPart) -> list[Child]:
    children: list[Child] = [
        ("PartNumber", part.number),
        ("LastModified", iso_date(part.modified)),
        ("ETag", quoted_etag(part.etag, call.vendor)),
        ("Size", part.size),
        *elements(shown(call, part.checksums)),
    ]
    if call.is_oss and part.crc64 is not None:
        children.append(("HashCrc64ecma", str(part.crc64)))
    return children


def _upload(call: Call, upload: Upload, *, key: str) -> list[Child]:
    return [
        ("Key", key),
        ("UploadId", upload.upload_id),
        ("Initiator", _OWNER),
        ("Owner", _OWNER),
        ("StorageClass", upload.attributes.storage_class or call.vendor.storage_classes[0]),
        *([("Initiated", iso_date(upload.initiated))] if "no-dates" not in call.faults else []),
    ]


def _object(call: Call, stored: StoredObject, *, key: str) -> list[Child]:
    return [
        ("Key", key),
        ("LastModified", iso_date(stored.modified)),
        ("ETag", quoted_etag(stored.etag, call.vendor)),
        *([("Type", object_type(stored))] if call.is_oss else []),
        ("Size", stored.size),
        ("StorageClass", stored.attributes.storage_class or call.vendor.storage_classes[0]),
    ]


def _v2_marker(call: Call) -> str:
    token = call.request.param("continuation-token")
    if not token:
        return call.request.param("start-after")
    try:
        return base64.urlsafe_b64decode(token).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError) as exc:
        raise Refused(400, "InvalidArgument", "The continuation token provided is incorrect") from exc


def _object_markers(
    call: Call, page: Page[str], *, spell: Callable[[str], str], is_v2: bool
) -> Sequence[Child]:
    request = call.request
    if not is_v2:
        following: list[Child] = [("NextMarker", spell(page.last_key))] if page.is_truncated else []
        return [("Marker", spell(request.param("marker"))), *following]
    token = base64.urlsafe_b64encode(page.last_key.encode("utf-8")).decode("ascii")
    following = [("NextContinuationToken", token)] if page.is_truncated else []
    if request.has_param("continuation-token"):
        following.append(("ContinuationToken", request.param("continuation-token")))
    if request.has_param("start-after"):
        following.append(("StartAfter", spell(request.param("start-after"))))
    return [("KeyCount", len(page.items) + len(page.prefixes)), *following]

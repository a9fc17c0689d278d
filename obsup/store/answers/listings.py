"""The lists of the protocol, page by page. A server that never ends a list is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from msgspec.structs import replace

from obsup.dialects.dialect import Limits
from obsup.errors import NetworkError, StoreError
from obsup.model import ListWindow, ObjectPage, OpenUpload, StoredPart, Upload
from obsup.store.answers import xml
from obsup.store.answers.request import Query, StoreRequest

# More pages than a list can need. Of those without an entry, fewer show that the list does not end.
MAX_PAGES, MAX_EMPTY_PAGES = 10_000, 100
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}|\+")


class Fetch(Protocol):
    """Sends a request and returns the document of its response, which must have one of the elements *required*."""

    def __call__(self, request: StoreRequest, *required: str) -> xml.Element: ...


def parts_after(
    fetch: Fetch, upload: Upload, after: int, most: int | None, limits: Limits
) -> Iterator[StoredPart]:
    """Yield the parts of *upload* with numbers above *after*, strictly ascending, a page at a time, at most *most*.

    Parts with invalid numbers, which some stores accept, are skipped. Raises NetworkError for a truncated list without
    a next marker, and for the list of another upload.
    Source: OBS API reference, "Listing Uploaded Parts".
    """
    last, marker, count = after, after, 0
    while True:
        query: Query = (
            ("uploadId", upload.upload_id),
            ("max-parts", _page_size(limits, most, count)),
            ("part-number-marker", str(marker)),
        )
        target = upload.target
        request = StoreRequest("ListParts", "GET", target.bucket, target.key, query)
        root = fetch(request, "UploadId", "IsTruncated")
        if xml.text(root, "UploadId") not in ("", upload.upload_id):
            raise _broken("the list of parts belongs to another upload")
        parts, following = _parts_of(root)
        for part in parts:
            if last < part.number <= limits.max_parts:
                last = part.number
                yield part
                count += 1
                if count == most:
                    return
        if not _is_truncated(root) or last == limits.max_parts:
            return
        following = max(following, last)
        if not marker < following <= limits.max_parts:
            raise _broken("the list of parts is truncated, but has no valid next marker")
        marker = following


def uploads_in(
    fetch: Fetch, bucket: str, prefix: str, window: ListWindow, limits: Limits
) -> Iterator[OpenUpload]:
    """Yield the uploads in progress whose keys begin with *prefix*, in *window*, a page at a time.

    Raises NetworkError for a truncated list without a next marker, with a repeated one, or without an end.
    Source: OBS API reference, "Listing Initiated Multipart Uploads in a Bucket".
    """
    markers, count = (window.key_marker, window.upload_id_marker), 0
    seen, empty = {markers}, 0
    while len(seen) <= MAX_PAGES and empty < MAX_EMPTY_PAGES:
        names = ("prefix", "delimiter", "key-marker", "upload-id-marker")
        given = zip(names, (prefix, window.delimiter, *markers), strict=True)
        query: Query = (("uploads", None), ("max-uploads", _page_size(limits, window.most, count)))
        query += tuple((name, value) for name, value in given if value)
        request = StoreRequest("ListMultipartUploads", "GET", bucket, None, query)
        try:
            root, is_encoded = _fetch_keys(fetch, request, "Bucket", "IsTruncated", item="Upload")
        except StoreError as exc:
            if exc.refusal.code != "NoSuchUpload":
                raise
            return  # rclone, until the first upload of a bucket
        uploads = _uploads_of(root, is_encoded=is_encoded)
        empty = 0 if uploads else empty + 1
        for one in uploads:
            if one.key.startswith(prefix):
                yield one
                count += 1
                if count == window.most:
                    return
        if not _is_truncated(root):
            return
        markers = _markers_after(root, uploads)
        if markers in seen:
            raise _broken("the list of uploads is truncated, but has no valid next marker")
        seen.add(markers)
    raise _broken(f"the list of uploads does not end after {len(seen) - 1} pages")


def objects_after(fetch: Fetch, bucket: str, prefix: str, marker: str, limits: Limits) -> ObjectPage:
    """Return one page of the objects whose keys begin with *prefix* and follow the key *marker*.

    Some stores return a next marker that is not a key. Raises NetworkError for a truncated page without a next marker.
    Source: OBS API reference, "Listing Objects in a Bucket".
    """
    query: Query = (("max-keys", str(limits.page)),)
    if prefix:
        query += (("prefix", prefix),)
    if marker:
        query += (("marker", marker),)
    request = StoreRequest("ListObjects", "GET", bucket, None, query)
    root, is_encoded = _fetch_keys(fetch, request, "Name", "IsTruncated", item="Contents")
    try:
        objects = tuple(xml.stored_object(one, url_encoded=is_encoded) for one in root.findall("Contents"))
    except xml.BadXML as exc:
        raise _broken(str(exc)) from exc
    following = xml.key(root, "NextMarker", url_encoded=xml.text(root, "EncodingType") == "url")
    if not _is_truncated(root):
        return ObjectPage(objects, None)
    following = following or (objects[-1].key if objects else "")
    if following in ("", marker):
        raise _broken("the list of objects is truncated, but has no valid next marker")
    return ObjectPage(objects, following)


def _parts_of(root: xml.Element) -> tuple[list[StoredPart], int]:
    """Return the parts of one page and the marker of the next. Raises NetworkError.

    SeaweedFS lists a part that was sent again twice, in any order: the newest is the part.
    """
    parts: dict[int, StoredPart] = {}
    try:
        for element in root.findall("Part"):
            part = xml.stored_part(element)
            other = parts.get(part.number)
            if other is None or part.last_modified > other.last_modified:
                parts[part.number] = part
        return list(parts.values()), xml.number(root, "NextPartNumberMarker", default=0)
    except xml.BadXML as exc:
        raise _broken(str(exc)) from exc


def _markers_after(root: xml.Element, uploads: list[OpenUpload]) -> tuple[str, str]:
    """Return the key and the upload id from which the next page of *uploads* continues.

    SeaweedFS returns only an upload id, and must not get a key with it.
    """
    is_declared = xml.text(root, "EncodingType") == "url"
    key = xml.key(root, "NextKeyMarker", url_encoded=is_declared)
    upload_id = xml.text(root, "NextUploadIdMarker")
    last = uploads[-1] if uploads else OpenUpload("", "", "")
    return key or ("" if upload_id else last.key), upload_id or last.upload_id


def _uploads_of(root: xml.Element, *, is_encoded: bool) -> list[OpenUpload]:
    """Return the uploads of one page, with the common prefixes where they belong by their key."""
    uploads = [xml.open_upload(one, url_encoded=is_encoded) for one in root.findall("Upload")]
    prefixes = [xml.key(one, "Prefix", url_encoded=is_encoded) for one in root.findall("CommonPrefixes")]
    entries = [*uploads, *(OpenUpload(one, "", "", is_prefix=True) for one in prefixes)]
    return sorted(entries, key=lambda one: one.key) if prefixes else uploads


def _page_size(limits: Limits, most: int | None, count: int) -> str:
    """Return how many entries to request if *count* of at most *most* are listed."""
    return str(limits.page if most is None else min(limits.page, most - count))


def _fetch_keys(fetch: Fetch, request: StoreRequest, *required: str, item: str) -> tuple[xml.Element, bool]:
    """Return a page of *item* elements, and whether their keys are URL-encoded.

    The request asks for that, because a key may contain characters that are invalid in XML, and a response declares it
    in <EncodingType>. In lists of uploads, Ceph encodes keys, but not markers, and does not declare it; SeaweedFS
    declares it, and does not encode. A page without encoding shows the difference, unless it is not valid XML.
    """
    root = fetch(request, *required)
    is_declared = xml.text(root, "EncodingType") == "url"
    pattern = _ENCODED if is_declared else _ESCAPE
    ambiguous = {key for key in _keys_of(root, item) if pattern.search(key)}
    if not ambiguous or (is_declared and item == "Contents"):
        return root, is_declared
    try:
        plain = fetch(replace(request, plain_keys=True), *required)
    except NetworkError as exc:
        if exc.kind != "garbled":
            raise
        return root, True
    return (plain, False) if ambiguous <= set(_keys_of(plain, item)) else (root, True)


def _keys_of(root: xml.Element, item: str) -> list[str]:
    found = [xml.key(one, "Key", url_encoded=False) for one in root.findall(item)]
    return found + [xml.key(one, "Prefix", url_encoded=False) for one in root.findall("CommonPrefixes")]


def _is_truncated(root: xml.Element) -> bool:
    return xml.text(root, "IsTruncated").lower() == "true"


def _broken(detail: str) -> NetworkError:
    return NetworkError("garbled", detail, sent=True)

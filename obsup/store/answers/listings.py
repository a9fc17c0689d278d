"""The lists of the protocol, page by page. A server that never ends a list is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol
from urllib.parse import unquote_plus

from obsup.dialects.dialect import Limits
from obsup.errors import NetworkError
from obsup.model import ObjectPage, OpenUpload, StoredPart, Upload
from obsup.store.answers import xml
from obsup.store.answers.request import Query, StoreRequest

MAX_PAGES = 10_000
_ENCODED = re.compile(r"(?:[A-Za-z0-9_.~/*+!$'()-]|%[0-9A-Fa-f]{2})+")


class Fetch(Protocol):
    """Sends a request and returns the document of its response, which must have one of the elements *required*."""

    def __call__(self, request: StoreRequest, *required: str) -> xml.Element: ...


def all_parts(fetch: Fetch, upload: Upload, limits: Limits) -> Iterator[StoredPart]:
    """Yield every part of *upload*, strictly ascending, a page at a time.

    Parts with invalid numbers, which some stores accept, are skipped. Raises NetworkError for a truncated list without
    a next marker, and for the list of another upload.
    Source: OBS API reference, "Listing Uploaded Parts".
    """
    last, marker = 0, 0
    while True:
        query: Query = (
            ("uploadId", upload.upload_id),
            ("max-parts", str(limits.page)),
            ("part-number-marker", str(marker)),
        )
        target = upload.target
        root = fetch(
            StoreRequest("ListParts", "GET", target.bucket, target.key, query), "UploadId", "IsTruncated"
        )
        if xml.text(root, "UploadId") not in ("", upload.upload_id):
            raise _broken("the list of parts belongs to another upload")
        parts, following = _parts_of(root)
        for part in parts:
            if last < part.number <= limits.max_parts:
                last = part.number
                yield part
        if not _is_truncated(root) or last == limits.max_parts:
            return
        following = max(following, last)
        if not marker < following <= limits.max_parts:
            raise _broken("the list of parts is truncated, but has no valid next marker")
        marker = following


def all_uploads(fetch: Fetch, bucket: str, prefix: str, limits: Limits) -> Iterator[OpenUpload]:
    """Yield every upload in progress whose key begins with *prefix*, a page at a time.

    Raises NetworkError for a truncated list without a next marker, with a repeated one, or without an end.
    Source: OBS API reference, "Listing Initiated Multipart Uploads in a Bucket".
    """
    markers = ("", "")
    seen = {markers}
    while len(seen) <= MAX_PAGES:
        query: Query = (("uploads", None), ("max-uploads", str(limits.page)))
        if prefix:
            query += (("prefix", prefix),)
        if markers[0]:
            query += (("key-marker", markers[0]), ("upload-id-marker", markers[1]))
        root = fetch(
            StoreRequest("ListMultipartUploads", "GET", bucket, None, query), "Bucket", "IsTruncated"
        )
        is_encoded = _keys_are_encoded(root, prefix, item="Upload", marker_name="NextKeyMarker")
        uploads = [xml.open_upload(one, url_encoded=is_encoded) for one in root.findall("Upload")]
        yield from (one for one in uploads if one.key.startswith(prefix))
        if not _is_truncated(root):
            return
        is_declared = xml.text(root, "EncodingType") == "url"
        markers = (
            xml.key(root, "NextKeyMarker", url_encoded=is_declared) or (uploads[-1].key if uploads else ""),
            xml.text(root, "NextUploadIdMarker") or (uploads[-1].upload_id if uploads else ""),
        )
        if markers in seen:
            raise _broken("the list of uploads is truncated, but has no valid next marker")
        seen.add(markers)
    raise _broken(f"the list of uploads does not end after {MAX_PAGES} pages")


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
    root = fetch(StoreRequest("ListObjects", "GET", bucket, None, query), "Name", "IsTruncated")
    is_encoded = _keys_are_encoded(root, prefix, item="Contents", marker_name="NextMarker")
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
    """Return the parts of one page and the marker of the next. Raises NetworkError."""
    try:
        parts = [xml.stored_part(element) for element in root.findall("Part")]
        return parts, xml.number(root, "NextPartNumberMarker", default=0)
    except xml.BadXML as exc:
        raise _broken(str(exc)) from exc


def _keys_are_encoded(root: xml.Element, prefix: str, *, item: str, marker_name: str) -> bool:
    """Return whether the keys of a page's items are URL-encoded, as requested.

    A response declares it in <EncodingType>. Ceph encodes the keys, but not the markers, without declaring it; other
    stores do not encode at all. If the page does not show the difference, the keys are assumed to be encoded.
    """
    if xml.text(root, "EncodingType") == "url":
        return True
    keys = [xml.key(one, "Key", url_encoded=False) for one in root.findall(item)]
    if not keys or not all(map(_ENCODED.fullmatch, keys)):
        return False
    marker = xml.key(root, marker_name, url_encoded=False)
    if marker and unquote_plus(keys[-1]) != keys[-1]:
        return marker != keys[-1]
    return all(unquote_plus(key).startswith(prefix) for key in keys)


def _is_truncated(root: xml.Element) -> bool:
    return xml.text(root, "IsTruncated").lower() == "true"


def _broken(detail: str) -> NetworkError:
    return NetworkError("garbled", detail, sent=True)

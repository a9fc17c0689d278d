"""The lists of the protocol, over their pages. A server that sends us in circles is left."""

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


class Ask(Protocol):
    """Sends a call and returns the document of its answer, which must have one of the elements *signs*."""

    def __call__(self, call: StoreRequest, *signs: str) -> xml.Element: ...


def all_parts(ask: Ask, upload: Upload, limits: Limits) -> Iterator[StoredPart]:
    """Yield every part of *upload*, strictly ascending, a page at a time.

    Parts whose numbers the protocol does not have (some stores take them) are left out. Raises NetworkError for a
    list that goes on without saying where, and for another upload's.
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
        root = ask(
            StoreRequest("ListParts", "GET", target.bucket, target.key, query), "UploadId", "IsTruncated"
        )
        if xml.text(root, "UploadId") not in ("", upload.upload_id):
            raise _broken("the list of parts is another upload's")
        parts, following = _parts_of(root)
        for part in parts:
            if last < part.number <= limits.max_parts:
                last = part.number
                yield part
        if not _is_truncated(root) or last == limits.max_parts:
            return
        following = max(following, last)
        if not marker < following <= limits.max_parts:
            raise _broken("the list of parts says there is more, but not where")
        marker = following


def all_uploads(ask: Ask, bucket: str, prefix: str, limits: Limits) -> Iterator[OpenUpload]:
    """Yield every open upload whose key begins with *prefix*, a page at a time.

    Raises NetworkError for a list that goes on without saying where, that comes back to where it was, or that never
    ends.
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
        root = ask(StoreRequest("ListMultipartUploads", "GET", bucket, None, query), "Bucket", "IsTruncated")
        is_encoded = _keys_are_encoded(root, prefix, item="Upload", marker_name="NextKeyMarker")
        uploads = [xml.open_upload(one, url_encoded=is_encoded) for one in root.findall("Upload")]
        yield from (one for one in uploads if one.key.startswith(prefix))
        if not _is_truncated(root):
            return
        says_so = xml.text(root, "EncodingType") == "url"
        markers = (
            xml.key(root, "NextKeyMarker", url_encoded=says_so) or (uploads[-1].key if uploads else ""),
            xml.text(root, "NextUploadIdMarker") or (uploads[-1].upload_id if uploads else ""),
        )
        if markers in seen:
            raise _broken("the list of uploads says there is more, but not where")
        seen.add(markers)
    raise _broken(f"the list of uploads does not end after {MAX_PAGES} pages")


def objects_behind(ask: Ask, bucket: str, prefix: str, marker: str, limits: Limits) -> ObjectPage:
    """Return the next page of the objects whose keys begin with *prefix*: those behind the key *marker*.

    Some stores have a word of their own for where a page ends. Raises
    LineError for a page that does not go on.
    Source: OBS API reference, "Listing Objects in a Bucket".
    """
    query: Query = (("max-keys", str(limits.page)),)
    if prefix:
        query += (("prefix", prefix),)
    if marker:
        query += (("marker", marker),)
    root = ask(StoreRequest("ListObjects", "GET", bucket, None, query), "Name", "IsTruncated")
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
        raise _broken("the list of objects says there is more, but not where")
    return ObjectPage(objects, following)


def _parts_of(root: xml.Element) -> tuple[list[StoredPart], int]:
    """Return the parts of one page and the marker of the next. Raises NetworkError."""
    try:
        parts = [xml.stored_part(element) for element in root.findall("Part")]
        return parts, xml.number(root, "NextPartNumberMarker", default=0)
    except xml.BadXML as exc:
        raise _broken(str(exc)) from exc


def _keys_are_encoded(root: xml.Element, prefix: str, *, item: str, marker_name: str) -> bool:
    """Return whether the keys of a page's items are URL-encoded, as was asked for.

    An answer says so in <EncodingType>. Ceph encodes and does not say so, and its markers are plain; a store
    that knows no encoding leaves all as it is. Where nothing tells them apart, what was asked for was done.
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

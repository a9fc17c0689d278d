"""The two lists of the protocol, over all their pages. A server that sends us in circles is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from obsup.dialects.dialect import Limits
from obsup.errors import LineError
from obsup.model import OpenUpload, StoredPart, Upload
from obsup.store import xml
from obsup.store.call import Call, Query

MOST_PAGES = 10_000

Ask = Callable[[Call, str], xml.Element]
"""Sends a call and returns the document of its answer, whose root is named."""


def all_parts(ask: Ask, upload: Upload, limits: Limits) -> Iterator[StoredPart]:
    """Yield every part of *upload*, strictly ascending, a page at a time.

    Raises LineError for a list that goes on without saying where, for one with part numbers that the protocol
    does not have, and for another upload's.
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
        root = ask(Call("ListParts", "GET", target.bucket, target.key, query), "ListPartsResult")
        if xml.text(root, "UploadId") not in ("", upload.upload_id):
            raise _broken("the list of parts is another upload's")
        parts, following = _parts_of(root)
        for part in parts:
            if not 1 <= part.number <= limits.max_parts:
                raise _broken(f"the list of parts has a part {part.number}")
            if part.number > last:
                last = part.number
                yield part
        if not _is_truncated(root):
            return
        following = max(following, last)
        if not marker < following <= limits.max_parts:
            raise _broken("the list of parts says there is more, but not where")
        marker = following


def all_uploads(
    ask: Ask, bucket: str, prefix: str, limits: Limits, *, url_encoded: bool
) -> Iterator[OpenUpload]:
    """Yield every open upload whose key begins with *prefix*, a page at a time.

    *url_encoded* asks for keys in URL encoding: control characters cannot stand in XML. Raises LineError for a
    list that goes on without saying where, that comes back to where it was, or that never ends.
    Source: OBS API reference, "Listing Initiated Multipart Uploads in a Bucket".
    """
    markers = ("", "")
    seen = {markers}
    while len(seen) <= MOST_PAGES:
        query: Query = (("uploads", None), ("max-uploads", str(limits.page)))
        if prefix:
            query += (("prefix", prefix),)
        if markers[0]:
            query += (("key-marker", markers[0]), ("upload-id-marker", markers[1]))
        if url_encoded:
            query += (("encoding-type", "url"),)
        root = ask(Call("ListMultipartUploads", "GET", bucket, None, query), "ListMultipartUploadsResult")
        is_encoded = xml.text(root, "EncodingType") == "url"
        uploads = [xml.open_upload(one, url_encoded=is_encoded) for one in root.findall("Upload")]
        yield from (one for one in uploads if one.key.startswith(prefix))
        if not _is_truncated(root):
            return
        markers = (
            xml.key(root, "NextKeyMarker", url_encoded=is_encoded) or (uploads[-1].key if uploads else ""),
            xml.text(root, "NextUploadIdMarker") or (uploads[-1].upload_id if uploads else ""),
        )
        if markers in seen:
            raise _broken("the list of uploads says there is more, but not where")
        seen.add(markers)
    raise _broken(f"the list of uploads does not end after {MOST_PAGES} pages")


def _parts_of(root: xml.Element) -> tuple[list[StoredPart], int]:
    """Return the parts of one page and the marker of the next. Raises LineError."""
    try:
        parts = [xml.stored_part(element) for element in root.findall("Part")]
        return parts, xml.number(root, "NextPartNumberMarker", default=0)
    except xml.BadXML as exc:
        raise _broken(str(exc)) from exc


def _is_truncated(root: xml.Element) -> bool:
    return xml.text(root, "IsTruncated").lower() == "true"


def _broken(detail: str) -> LineError:
    return LineError("incomplete", detail, sent=True)

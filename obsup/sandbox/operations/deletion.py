"""DeleteObject and DeleteObjects."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from obsup.sandbox.operations.call import VERSION_ID, Call
from obsup.sandbox.operations.conditions import check_delete, check_lock
from obsup.sandbox.refusals import Refused
from obsup.sandbox.wire.response import Child, Response, document, encode_key, wants_url_encoding
from obsup.sandbox.wire.xml import local_name, malformed_xml, parse_xml

_MAX_DOCUMENT = 4 * 1024 * 1024
_MAX_KEYS = 1000


def delete(call: Call) -> Response:
    """Delete an object; succeeds even if the object does not exist."""
    names = ("if-match", "x-amz-if-match-size", "x-amz-if-match-last-modified-time")
    etag, size, modified = (call.request.header(name) for name in names)
    _delete_one(call, call.key, etag=etag, size=size, modified=modified)
    return Response(204)


def delete_many(call: Call) -> Response:
    """Delete up to 1,000 objects, and report each of them (with Quiet only the failures)."""
    if not call.expected().is_checked:
        message = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"
        raise Refused(400, "InvalidRequest", message)
    root = parse_xml(call.read_document(_MAX_DOCUMENT), "Delete")
    children = list(root)
    entries = [_fields(child) for child in children if local_name(child) == "Object"]
    quiet = any(local_name(child) == "Quiet" and (child.text or "").strip() == "true" for child in children)
    if not 1 <= len(entries) <= _MAX_KEYS or any("Key" not in entry for entry in entries):
        raise malformed_xml()
    # Only OSS encodes here; the list of deleted keys counts as a list of keys.
    encoded = call.vendor.name != "s3" and wants_url_encoding(call.request, call.vendor, is_key_list=True)
    results: list[Child] = [("EncodingType", "url")] if encoded else []
    for entry in entries:
        key = encode_key(entry["Key"], call.vendor) if encoded else entry["Key"]
        try:
            _delete_entry(call, entry)
        except Refused as refused:
            error: list[Child] = [("Key", key), ("Code", refused.code), ("Message", refused.message)]
            results.append(("Error", error))
        else:
            results += [] if quiet else [("Deleted", [("Key", key)])]
    return document("DeleteResult", results, call.vendor)


def _delete_entry(call: Call, entry: dict[str, str]) -> None:
    if entry.get("VersionId", "") not in ("", "null", VERSION_ID):
        raise Refused(404, "NoSuchVersion", "The specified version does not exist.")
    etag, size, modified = (entry.get(name, "") for name in ("ETag", "Size", "LastModifiedTime"))
    _delete_one(call, entry["Key"], etag=etag, size=size, modified=modified)


def _delete_one(call: Call, key: str, *, etag: str, size: str, modified: str) -> None:
    with call.disk.lock:
        check_lock(call, stored := call.disk.find(call.bucket, key))
        check_delete(stored, etag=etag, size=size, modified=modified)
        call.disk.delete(call.bucket, key)


def _fields(element: ET.Element) -> dict[str, str]:
    return {local_name(child): child.text or "" for child in element}

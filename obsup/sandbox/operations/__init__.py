"""The operations of the protocol, one function each, and how a request selects one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from obsup.sandbox.operations import (
    buckets,
    complete,
    copying,
    deletion,
    listing,
    multipart,
    object_attributes,
    object_lock,
    objects,
)
from obsup.sandbox.operations.call import VERSION_ID, Call
from obsup.sandbox.vendors import Vendor
from obsup.sandbox.wire.request import Request
from obsup.sandbox.wire.response import Response

Operation = Callable[[Call], Response]

OPERATIONS: Mapping[str, Operation] = {
    "initiate": multipart.initiate,
    "part": multipart.upload_part,
    "copy": copying.copy_part,
    "abort": multipart.abort,
    "complete": complete.complete,
    "parts": listing.list_parts,
    "uploads": listing.list_uploads,
    "list": listing.list_objects,
    "put": objects.put,
    "head": objects.head,
    "get": objects.get,
    "attributes": object_attributes.attributes,
    "retention": object_lock.retention,
    "set-retention": object_lock.set_retention,
    "legal-hold": object_lock.legal_hold,
    "set-legal-hold": object_lock.set_legal_hold,
    "copy-object": copying.copy_object,
    "delete": deletion.delete,
    "delete-many": deletion.delete_many,
    "head-bucket": buckets.head,
    "create-bucket": buckets.create,
    "delete-bucket": buckets.delete,
    "buckets": buckets.list_all,
    "location": buckets.location,
    "versioning": buckets.versioning,
}

_HARMLESS = frozenset(
    """encoding-type prefix delimiter marker max-keys key-marker upload-id-marker max-uploads list-type
    continuation-token start-after fetch-owner max-parts part-number-marker uploads uploadId partNumber attributes
    location x-id delete versioning versionId retention legal-hold""".split()  # noqa: SIM905 - a table of names reads better as text
)
_SUB_RESOURCES = (
    ("uploads", "GET", "uploads"),
    ("location", "GET", "location"),
    ("versioning", "GET", "versioning"),
    ("delete", "POST", "delete-many"),
)
"""Parameter, method and operation of a bucket's sub-resources."""
_WRITES = frozenset({"initiate", "part", "copy", "complete", "put", "copy-object"})
_KNOWN_HEADERS = frozenset(
    """checksum-algorithm checksum-crc32 checksum-crc32c checksum-crc64ecma checksum-crc64nvme checksum-sha1
    checksum-sha256 checksum-type content-sha256 copy-source copy-source-if-match copy-source-if-modified-since
    copy-source-if-none-match copy-source-if-unmodified-since copy-source-range date decoded-content-length
    metadata-directive mp-object-size request-payer sdk-checksum-algorithm security-token server-side-encryption
    storage-class tagging tagging-directive te trailer user-agent""".split()  # noqa: SIM905 - a table of names reads better as text
)
_KEYS = "server-side-encryption-customer- copy-source-server-side-encryption-customer-"
_OWN_HEADERS = {
    "obs": f"acl expires grant- object-lock-mode object-lock-retain-until-date website-redirect-location {_KEYS}",
    "s3": f"""acl api-version expected-bucket-owner grant- object-lock- source-expected-bucket-owner
        website-redirect-location {_KEYS}""",
    "oss": "forbid-overwrite hash-crc64ecma object-acl traffic-limit",
}
"""Further headers of one vendor. Those that end in a dash are prefixes."""
_AUTH = frozenset(
    {"Signature", "Expires", "AccessKeyId", "AWSAccessKeyId", "OSSAccessKeyId", "security-token"}
)
_SIGNING_AND_RESPONSE = frozenset(
    """x-amz-algorithm x-amz-checksum-mode x-amz-content-sha256 x-amz-credential x-amz-date x-amz-expires
    x-amz-security-token x-amz-signature x-amz-signedheaders x-amz-user-agent x-obs-security-token
    x-oss-additional-headers x-oss-credential x-oss-date x-oss-expires x-oss-security-token x-oss-signature
    x-oss-signature-version response-cache-control response-content-disposition response-content-encoding
    response-content-language response-content-type response-expires""".split()  # noqa: SIM905 - a table of names reads better as text
)
"""Parameters of signed URLs, and those that replace headers of the response, in lower case."""


def name_operation(request: Request) -> str:
    """Return the name of the operation that *request* selects, ``unknown`` if the sandbox does not support it."""
    if request.method == "HEAD" and request.has_param("apiversion"):
        return "apiversion"
    is_version = request.param("versionId") not in ("", "null", VERSION_ID)
    if is_version or any(_is_unknown(name) for name, _ in request.query):
        return "unknown"
    if not request.bucket:
        return "buckets" if request.method == "GET" else "unknown"
    if not request.key:
        return _bucket_operation(request)
    return _object_operation(request)


def _is_unknown(name: str) -> bool:
    return name not in _HARMLESS and name not in _AUTH and name.lower() not in _SIGNING_AND_RESPONSE


def unsupported_headers(request: Request, operation: str, vendor: Vendor) -> list[str]:
    """Return the headers of a write that would change the object, and that the sandbox would drop."""
    if operation not in _WRITES:
        return []
    own = [vendor.header(name) for name in ("meta-", *_OWN_HEADERS[vendor.name].split())]
    known = {vendor.header(name) for name in _KNOWN_HEADERS} | {vendor.kms_key_header, *own}
    prefixes = tuple(name for name in own if name.endswith("-"))
    sent = [name for name, _ in request.headers if name.startswith(vendor.prefix)]
    return [name for name in sent if name not in known and not name.startswith(prefixes)]


def _bucket_operation(request: Request) -> str:
    for name, method, operation in _SUB_RESOURCES:
        if request.has_param(name):
            return operation if request.method == method else "unknown"
    names = {"GET": "list", "HEAD": "head-bucket", "PUT": "create-bucket", "DELETE": "delete-bucket"}
    return names.get(request.method, "unknown")


def _object_operation(request: Request) -> str:
    if request.has_param("uploads"):
        return "initiate" if request.method == "POST" else "unknown"
    is_copy = any(name.endswith("-copy-source") for name, _ in request.headers)
    if request.has_param("uploadId"):
        names = {"GET": "parts", "DELETE": "abort", "POST": "complete", "PUT": "copy" if is_copy else "part"}
        return names.get(request.method, "unknown")
    if request.has_param("attributes"):
        return "attributes" if request.method == "GET" else "unknown"
    for name in ("retention", "legal-hold"):
        if request.has_param(name):
            return {"GET": name, "PUT": f"set-{name}"}.get(request.method, "unknown")
    names = {"HEAD": "head", "GET": "get", "DELETE": "delete", "PUT": "copy-object" if is_copy else "put"}
    return names.get(request.method, "unknown")

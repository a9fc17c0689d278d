"""The operations of the protocol, one function each, and how a request selects one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from obsup.sandbox.operations import buckets, complete, listing, multipart, objects
from obsup.sandbox.operations.call import Call
from obsup.sandbox.wire.request import Request
from obsup.sandbox.wire.response import Response

Operation = Callable[[Call], Response]

OPERATIONS: Mapping[str, Operation] = {
    "initiate": multipart.initiate,
    "part": multipart.upload_part,
    "copy": multipart.copy_part,
    "abort": multipart.abort,
    "complete": complete.complete,
    "parts": listing.list_parts,
    "uploads": listing.list_uploads,
    "list": listing.list_objects,
    "put": objects.put,
    "head": objects.head,
    "get": objects.get,
    "delete": objects.delete,
    "head-bucket": buckets.head,
    "create-bucket": buckets.create,
    "delete-bucket": buckets.delete,
    "buckets": buckets.list_all,
    "location": buckets.location,
}

_HARMLESS = frozenset(
    """encoding-type prefix delimiter marker max-keys key-marker upload-id-marker max-uploads list-type
    continuation-token start-after fetch-owner max-parts part-number-marker uploads uploadId partNumber
    location x-id versionId""".split()  # noqa: SIM905 - a table of names reads better as text
)
_AUTH = frozenset(
    {"Signature", "Expires", "AccessKeyId", "AWSAccessKeyId", "OSSAccessKeyId", "security-token"}
)


def name_operation(request: Request) -> str:
    """Return the name of the operation that *request* selects, ``unknown`` if the sandbox does not support it."""
    if request.method == "HEAD" and request.has_param("apiversion"):
        return "apiversion"
    if any(_is_unknown(name) for name, _ in request.query):
        return "unknown"
    if not request.bucket:
        return "buckets" if request.method == "GET" else "unknown"
    if not request.key:
        return _bucket_operation(request)
    return _object_operation(request)


def _is_unknown(name: str) -> bool:
    lower = name.lower()
    prefixed = lower.startswith(("x-amz-", "x-oss-", "x-obs-", "response-"))
    return not prefixed and name not in _HARMLESS and name not in _AUTH


def _bucket_operation(request: Request) -> str:
    if request.method == "GET":
        if request.has_param("uploads"):
            return "uploads"
        return "location" if request.has_param("location") else "list"
    names = {"HEAD": "head-bucket", "PUT": "create-bucket", "DELETE": "delete-bucket"}
    return names.get(request.method, "unknown")


def _object_operation(request: Request) -> str:
    if request.has_param("uploads"):
        return "initiate" if request.method == "POST" else "unknown"
    is_copy = any(name.endswith("-copy-source") for name, _ in request.headers)
    if request.has_param("uploadId"):
        names = {"GET": "parts", "DELETE": "abort", "POST": "complete", "PUT": "copy" if is_copy else "part"}
        return names.get(request.method, "unknown")
    names = {"HEAD": "head", "GET": "get", "DELETE": "delete", "PUT": "unknown" if is_copy else "put"}
    return names.get(request.method, "unknown")

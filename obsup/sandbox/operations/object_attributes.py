"""GetObjectAttributes of S3: size, checksums and parts of an object, without its other headers."""

from __future__ import annotations

from obsup.sandbox.operations import checksums
from obsup.sandbox.operations.call import Call
from obsup.sandbox.operations.objects import check_customer_key, find_object
from obsup.sandbox.refusals import Refused
from obsup.sandbox.storage.disk import StoredObject
from obsup.sandbox.wire.response import Child, Response, document, http_date


def attributes(call: Call) -> Response:
    """Return the attributes that the header x-amz-object-attributes lists. Raises Refused (400 InvalidArgument)."""
    listed = call.request.header("x-amz-object-attributes")
    if not listed or call.vendor.name != "s3":
        raise Refused(400, "InvalidArgument", "The header x-amz-object-attributes is missing.")
    stored = find_object(call, call.bucket, call.key)
    check_customer_key(stored, call.customer_key())
    visible = checksums.shown(call, stored.checksums, len(stored.parts) or None)
    kinds = checksums.type_header(visible).values()
    known: dict[str, Child] = {
        "ETag": ("ETag", stored.etag),
        "Checksum": (
            "Checksum",
            [*checksums.elements(visible), *(("ChecksumType", kind) for kind in kinds)],
        ),
        "ObjectParts": ("ObjectParts", _parts(call, stored)),
        "StorageClass": ("StorageClass", stored.attributes.storage_class or call.vendor.storage_classes[0]),
        "ObjectSize": ("ObjectSize", stored.size),
    }
    wanted = {name.strip() for name in listed.split(",")}
    if wanted - known.keys():
        raise Refused(400, "InvalidArgument", f"Unknown object attributes: {listed}")
    children = [child for name, child in known.items() if name in wanted and child[1] != []]
    response = document("GetObjectAttributesResponse", children, call.vendor)
    return response.with_headers({"Last-Modified": http_date(stored.modified)})


def _parts(call: Call, stored: StoredObject) -> list[Child]:
    """Return one page of the parts; nothing for an object that was not made of parts."""
    marker = _number(call, "x-amz-part-number-marker", 0)
    size = min(_number(call, "x-amz-max-parts", call.limits.page), call.limits.page)
    shown = list(enumerate(stored.parts, start=1))[marker : marker + size]
    if not stored.parts:
        return []
    return [
        ("PartsCount", len(stored.parts)),
        ("PartNumberMarker", marker),
        ("NextPartNumberMarker", marker + len(shown)),
        ("MaxParts", size),
        ("IsTruncated", marker + len(shown) < len(stored.parts)),
        *(
            (
                "Part",
                [
                    ("PartNumber", number),
                    ("Size", part.size),
                    *checksums.elements(checksums.shown(call, part.checksums)),
                ],
            )
            for number, part in shown
        ),
    ]


def _number(call: Call, header: str, default: int) -> int:
    text = call.request.header(header, str(default))
    if not text.isdecimal():
        raise Refused(400, "InvalidArgument", f"{header} must be a number, not {text!r}.")
    return int(text)

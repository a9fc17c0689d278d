"""Responses: status, headers, and XML in each vendor's format."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import formatdate
from urllib.parse import quote, quote_plus
from xml.etree import ElementTree as ET

from obsup.sandbox.refusals import Refused
from obsup.sandbox.vendors import Vendor
from obsup.sandbox.wire.request import Request

# Includes the carriage return, which XML allows only as a reference.
_UNSPEAKABLE = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")

Child = tuple[str, "str | int | bool | Sequence[Child]"]
"""An XML element: its name, and its text or its children."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response. ``length`` is the Content-Length, which HEAD sends without a body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    stream: Iterator[bytes] | None = None
    """For large bodies, instead of ``body``; ``length`` is its total size."""
    length: int | None = None
    code: str = ""
    """The vendor's error code, for the log."""

    def with_headers(self, headers: dict[str, str]) -> Response:
        """Return the response with *headers* added."""
        return replace(self, headers={**self.headers, **headers})


def document(root: str, children: Sequence[Child], vendor: Vendor) -> Response:
    """Return 200 with an XML document in the vendor's namespace."""
    element = ET.Element(root, {"xmlns": vendor.namespace} if vendor.namespace else {})
    _append(element, children)
    return Response(headers={"Content-Type": "application/xml"}, body=_serialise(element))


def error(refused: Refused, request: Request, vendor: Vendor, request_id: str) -> Response:
    """Return an error response in the vendor's format. HEAD has no body: OSS then uses the x-oss-err header."""
    element = ET.Element("Error")
    children: list[Child] = [("Code", refused.code), ("Message", refused.message)]
    children += refused.details.items()
    if vendor.name == "oss":
        children += [("RequestId", request_id), ("HostId", request.host), ("EC", "0000-00000000")]
    else:
        children += [("Resource", request.path), ("RequestId", request_id), ("HostId", request_id)]
    _append(element, children)
    body = _serialise(element)
    headers = {"Content-Type": "application/xml", **refused.headers}
    if request.method == "HEAD":
        if vendor.name == "oss":
            headers["x-oss-err"] = base64.b64encode(body).decode("ascii")
            headers["x-oss-ec"] = "0000-00000000"
        if vendor.name == "obs":
            headers[vendor.header("error-code")] = refused.code
            headers[vendor.header("error-message")] = refused.message
    return Response(refused.status, headers, body, code=refused.code)


def quoted_etag(etag: str, vendor: Vendor) -> str:
    """Return an ETag in the vendor's format: quoted, and upper-case for OSS."""
    return f'"{etag.upper() if vendor.upper_etag else etag}"'


def http_date(epoch: float) -> str:
    """Return an RFC 1123 date, for headers."""
    return formatdate(epoch, usegmt=True)


def iso_date(epoch: float) -> str:
    """Return an ISO 8601 date for XML: of whole seconds, as the services send it and oss2 requires it."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def wants_url_encoding(request: Request, vendor: Vendor, *, is_key_list: bool) -> bool:
    """Return whether keys in the response must be URL-encoded; S3 encodes them only in lists."""
    if request.param("encoding-type") not in ("", "url"):
        raise Refused(400, "InvalidArgument", "Invalid Encoding Method specified in Request")
    return bool(request.param("encoding-type")) and (is_key_list or vendor.encodes_responses)


def encode_key(key: str, vendor: Vendor) -> str:
    """URL-encode a key for a response: S3 and OBS write a space as ``+``, OSS as ``%20``."""
    if vendor.space == "%20":
        return quote(key, safe="")
    return quote_plus(key, safe="/" if vendor.name == "s3" else "")


def _append(parent: ET.Element, children: Sequence[Child]) -> None:
    for name, value in children:
        child = ET.SubElement(parent, name)
        if isinstance(value, bool):
            child.text = str(value).lower()
        elif isinstance(value, str | int):
            child.text = str(value)
        else:
            _append(child, value)


def _serialise(element: ET.Element) -> bytes:
    """Serialise the document; like the services, write characters that XML forbids as references."""
    text: str = _UNSPEAKABLE.sub(lambda one: f"&#x{ord(one[0]):x};", ET.tostring(element, encoding="unicode"))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode("utf-8", "surrogateescape")

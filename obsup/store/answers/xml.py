"""The XML of the stores: Complete's body out, every answer in. Namespaces and leading white space are ignored."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from obsup.model import OpenUpload, StoredObject, StoredPart
from obsup.text import clean

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element as Element


# What some stores write into their XML, raw or as a reference, and no parser reads: characters of keys.
_FORBIDDEN = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]|&#(?:x[0-9a-fA-F]{1,8}|[0-9]{1,10});"
)
# The longest honest list has 1,000 entries of a dozen elements. Each element takes a hundred times its text in memory.
_MOST_TAGS = 100_000
_REPLACEMENT = "\ufffd".encode()
# Expat's word for an end that came too soon.
_TORN = frozenset({"no element found", "unclosed token", "unclosed CDATA section", "partial character"})


class BadXML(ValueError):
    """The answer is not the XML document that the protocol promises. ``is_torn``: its end is missing."""

    def __init__(self, what: str, *, is_torn: bool = False) -> None:
        super().__init__(what)
        self.is_torn = is_torn


def complete_body(parts: Iterable[tuple[int, str]]) -> bytes:
    """Return the body of CompleteMultipartUpload for (part number, bare ETag) pairs, ascending by number."""
    from xml.sax.saxutils import escape

    lines = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{escape(etag)}&quot;</ETag></Part>"
        for number, etag in sorted(parts)
    )
    return f"<CompleteMultipartUpload>{lines}</CompleteMultipartUpload>".encode()


def parse(body: bytes) -> Element:
    """Return the root of an answer with every namespace stripped. Raises BadXML.

    Characters that cannot stand in XML, and do, are replaced: they are a key's, and what was asked is known.
    Source: github.com/boto/botocore/issues/3496, for S3.
    """
    # Here, and not above: a file that fits one request is over before there is any XML to read.
    from xml.etree.ElementTree import ParseError

    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    if body.count(b"<") > _MOST_TAGS:
        raise BadXML(f"the answer has more than {_MOST_TAGS} tags")
    try:
        try:
            root = fromstring(body.lstrip(), forbid_dtd=True)
        except ParseError:
            root = fromstring(_FORBIDDEN.sub(_allowed, body.lstrip()), forbid_dtd=True)
    except ParseError as exc:
        raise BadXML(
            "the answer is not XML as promised", is_torn=str(exc).partition(":")[0] in _TORN
        ) from exc
    except (DefusedXmlException, LookupError, ValueError) as exc:
        raise BadXML(f"the answer is not XML as promised: {type(exc).__name__}") from exc
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    return root


def _allowed(found: re.Match[bytes]) -> bytes:
    """Return what may stand for a character or a reference: a reference to a character that XML knows stays."""
    written = found[0]
    if not written.startswith(b"&#"):
        return _REPLACEMENT
    number = int(written[3:-1], 16) if written[2:3] == b"x" else int(written[2:-1])
    is_known = number in (9, 10, 13) or 0x20 <= number < 0xD800 or 0xE000 <= number < 0xFFFE
    return written if is_known or 0x10000 <= number < 0x110000 else _REPLACEMENT


def text(element: Element, name: str) -> str:
    """Return the text of the child *name*, clean and stripped; empty where it is missing or empty."""
    return clean(element.findtext(name) or "")


def bare_etag(value: str | None) -> str:
    """Return an ETag without its quotes."""
    return (value or "").strip().removeprefix("W/").strip('"')


def number(element: Element, name: str, default: int | None = None) -> int:
    """Return the child *name* as an integer. Raises BadXML where it is none and there is no *default*."""
    value = text(element, name)
    if not value and default is not None:
        return default
    if not value.isascii() or not value.isdigit() or len(value) > 20:
        raise BadXML(f"<{name}> is not a number")
    return int(value)


def stored_part(element: Element) -> StoredPart:
    """Return one <Part> of ListParts. Raises BadXML."""
    crc64 = text(element, "HashCrc64ecma")
    return StoredPart(
        number=number(element, "PartNumber"),
        size=number(element, "Size"),
        etag=bare_etag(text(element, "ETag")),
        last_modified=text(element, "LastModified"),
        crc64=int(crc64) if crc64.isascii() and crc64.isdigit() else None,
    )


def key(element: Element, name: str, *, url_encoded: bool) -> str:
    """Return the child *name*, a key, decoded where the answer is URL-encoded; white space is part of it."""
    value = element.findtext(name) or ""
    return unquote_plus(value) if url_encoded else value


def stored_object(element: Element, *, url_encoded: bool) -> StoredObject:
    """Return one <Contents> of ListObjects; the key as that of ``open_upload``. Raises BadXML."""
    return StoredObject(
        key=key(element, "Key", url_encoded=url_encoded),
        size=number(element, "Size"),
        etag=bare_etag(text(element, "ETag")),
    )


def open_upload(element: Element, *, url_encoded: bool) -> OpenUpload:
    """Return one <Upload> of ListMultipartUploads; the key decoded where the answer is URL-encoded."""
    return OpenUpload(
        key=key(element, "Key", url_encoded=url_encoded),
        upload_id=text(element, "UploadId"),
        initiated=text(element, "Initiated"),
    )

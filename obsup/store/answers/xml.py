"""The XML of the stores: the body of Complete, and all responses. Namespaces and leading white space are ignored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from obsup.dates import parse_date
from obsup.dialects.dialect import Dialect
from obsup.model import Checksum, ObjectLock, OpenUpload, StoredObject, StoredPart
from obsup.store.answers.checksums import element_of, read_elements
from obsup.text import clean
from obsup.units import KIB

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element as Element


# Characters of keys, raw or as a reference, that some stores write into XML although they are invalid there.
_FORBIDDEN = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]|&#(?:x[0-9a-fA-F]{1,8}|[0-9]{1,10});"
)
# The longest valid list has 1,000 entries of a dozen elements. In memory, an element takes a hundred times its text.
_MAX_TAGS = 100_000
# Of the largest CRC-64. int() fails for thousands of digits.
MAX_DIGITS = 20
# The longest valid value is a canonical request in an error of AWS; keys, ids and ETags are far shorter.
_MAX_TEXT = 64 * KIB
# More than Expat needs for a new parser. CPython crashes in pyexpat.c if Expat finds no memory for it.
_PARSER_BYTES = 256 * KIB
_REPLACEMENT = "\ufffd".encode()
# The messages of Expat for a document that ends too early.
_INCOMPLETE = frozenset({"no element found", "unclosed token", "unclosed CDATA section", "partial character"})


class BadXML(ValueError):
    """The response is not an XML document as the protocol defines it. ``is_incomplete``: its end is missing."""

    def __init__(self, message: str, *, is_incomplete: bool = False) -> None:
        super().__init__(message)
        self.is_incomplete = is_incomplete


def complete_body(
    parts: Iterable[tuple[int, str]], checksums: Mapping[int, Checksum] = MappingProxyType({})
) -> bytes:
    """Return the body of CompleteMultipartUpload for pairs of part number and ETag without quotes.

    *checksums* are those of the parts by number, as far as they are known.
    """
    from xml.sax.saxutils import escape

    lines = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{escape(etag)}&quot;</ETag>"
        f"{_checksum_element(checksums.get(number))}</Part>"
        for number, etag in sorted(parts)
    )
    return f"<CompleteMultipartUpload>{lines}</CompleteMultipartUpload>".encode()


def _checksum_element(checksum: Checksum | None) -> str:
    if checksum is None:
        return ""
    name = element_of(checksum)
    return f"<{name}>{checksum.value}</{name}>"


def lock_bodies(lock: ObjectLock, dialect: Dialect) -> Iterator[tuple[str, str, bytes]]:
    """Yield operation, sub-resource and body of each request that sets the *lock* of an object."""
    if lock.retention is not None and lock.retain_until is not None:
        end_ms = round((parse_date(lock.retain_until) or 0.0) * 1000)
        date = end_ms if dialect.retention_in_ms else lock.retain_until
        mode = dialect.retention_modes[lock.retention]
        body = f"<Retention><Mode>{mode}</Mode><RetainUntilDate>{date}</RetainUntilDate></Retention>"
        yield "PutObjectRetention", "retention", body.encode()
    if lock.legal_hold:
        yield "PutObjectLegalHold", "legal-hold", b"<LegalHold><Status>ON</Status></LegalHold>"


def parse(body: bytes) -> Element:
    """Return the root of a response without namespaces. Raises BadXML, MemoryError.

    Characters that are invalid in XML are replaced: they belong to a key, which the caller knows.
    Source: github.com/boto/botocore/issues/3496, for S3.
    """
    # Imported here, because a file that fits one request needs no XML. ParseError is not taken from the standard
    # library: while defusedxml is imported in another thread, that one's module is not the one it will raise.
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    if not body or body.isspace():
        raise BadXML("the response is empty", is_incomplete=True)  # that to HEAD needs no parser
    if body.count(b"<") > _MAX_TAGS:
        raise BadXML(f"the response has more than {_MAX_TAGS} tags")
    bytes(_PARSER_BYTES)
    try:
        try:
            root = fromstring(body.lstrip(), forbid_dtd=True)
        except ParseError:
            root = fromstring(_FORBIDDEN.sub(_allowed, body.lstrip()), forbid_dtd=True)
    except ParseError as exc:
        raise BadXML(
            "the response is not valid XML", is_incomplete=str(exc).partition(":")[0] in _INCOMPLETE
        ) from exc
    except (DefusedXmlException, LookupError, ValueError) as exc:
        raise BadXML(f"the response is not valid XML: {type(exc).__name__}") from exc
    for element in root.iter():
        if element.text is not None and len(element.text) > _MAX_TEXT:
            raise BadXML(f"the response has a value of more than {_MAX_TEXT // KIB} KiB")
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    return root


def is_error(body: bytes) -> bool:
    """Return whether *body* is the document <Error>. Stores that respond before they are done send it with 200."""
    if b"Error" not in body:
        return False
    try:
        return parse(body).tag == "Error"
    except BadXML:
        return False


def _allowed(match: re.Match[bytes]) -> bytes:
    """Return the replacement of a character or a reference; a reference to a valid character is kept."""
    text = match[0]
    if not text.startswith(b"&#"):
        return _REPLACEMENT
    number = int(text[3:-1], 16) if text[2:3] == b"x" else int(text[2:-1])
    is_valid = number in (9, 10, 13) or 0x20 <= number < 0xD800 or 0xE000 <= number < 0xFFFE
    return text if is_valid or 0x10000 <= number < 0x110000 else _REPLACEMENT


def text(element: Element, name: str) -> str:
    """Return the text of the child *name*, clean and stripped; empty if it is missing."""
    return clean(element.findtext(name) or "")


def bare_etag(value: str | None) -> str:
    """Return an ETag without its quotes."""
    return (value or "").strip().removeprefix("W/").strip('"')


def number(element: Element, name: str, default: int | None = None) -> int:
    """Return the child *name* as an integer. Raises BadXML if it is invalid, or missing without a *default*."""
    value = text(element, name)
    if not value and default is not None:
        return default
    found = decimal(value)
    if found is None:
        raise BadXML(f"<{name}> is not a number")
    return found


def decimal(value: str | None) -> int | None:
    """Return *value* as an integer; None if it is not one, or longer than any number of the protocol."""
    is_valid = value is not None and value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS
    return int(value) if value is not None and is_valid else None


def stored_part(element: Element) -> StoredPart:
    """Return one <Part> of ListParts. Raises BadXML."""
    return StoredPart(
        number=number(element, "PartNumber"),
        size=number(element, "Size"),
        etag=bare_etag(text(element, "ETag")),
        last_modified=text(element, "LastModified"),
        crc64=decimal(text(element, "HashCrc64ecma")),
        checksum=read_elements(partial(text, element)),
    )


def key(element: Element, name: str, *, url_encoded: bool) -> str:
    """Return the child *name*, a key, decoded if the response is URL-encoded; white space is kept."""
    value = element.findtext(name) or ""
    return unquote_plus(value) if url_encoded else value


def stored_object(element: Element, *, url_encoded: bool) -> StoredObject:
    """Return one <Contents> of ListObjects; Raises BadXML."""
    return StoredObject(
        key=key(element, "Key", url_encoded=url_encoded),
        size=number(element, "Size"),
        etag=bare_etag(text(element, "ETag")),
        last_modified=text(element, "LastModified"),
    )


def open_upload(element: Element, *, url_encoded: bool) -> OpenUpload:
    """Return one <Upload> of ListMultipartUploads; the key is decoded if the response is URL-encoded."""
    return OpenUpload(
        key=key(element, "Key", url_encoded=url_encoded),
        upload_id=text(element, "UploadId"),
        initiated=text(element, "Initiated"),
    )

"""Read the result of a request from the headers of its response. Texts of the server are made safe to print."""

from __future__ import annotations

from collections.abc import Callable

from obsup.dates import iso_date, parse_date
from obsup.dialects.dialect import HeaderNames
from obsup.errors import NetworkError
from obsup.model import ObjectInfo, ObjectLock, Stored
from obsup.store.answers import xml
from obsup.store.answers.checksums import read_headers
from obsup.store.http.settings import Response
from obsup.text import clean

_Field = Callable[[str | None], str | None]


def read_stored(response: Response, names: HeaderNames, etag: str, *, location: str | None = None) -> Stored:
    """Return what *response* confirms. *etag* and *location* may come from its body; the ETag has no quotes."""
    field = _fields(response)
    return Stored(
        status=response.status,
        etag=etag,
        request_id=field(names.request_id) or "",
        host_id=field(names.host_id) or "",
        version_id=field(names.version_id),
        location=location,
        crc64=xml.decimal(field(names.crc64)),
        sse_kms=field(names.sse),
        sse_kms_key=field(names.sse_kms_key_id),
        sse_c=field(names.sse_c and f"{names.sse_c}algorithm"),
        sse_c_key_md5=field(names.sse_c and f"{names.sse_c}key-MD5"),
        date=field("Date") or "",
        checksum=read_headers(names, field),
        source_version_id=field(f"{names.copy_source}-version-id"),
    )


def read_object_info(response: Response, names: HeaderNames) -> ObjectInfo:
    """Return the properties in a response to HeadObject; the size is -1 if it is missing or invalid.

    Raises NetworkError without an ETag and a date: the response is not from a store.
    """
    field = _fields(response)
    if not header_etag(response) and not field("Last-Modified"):
        raise NetworkError("garbled", "the response to HeadObject has no ETag and no date", sent=True)
    size = xml.decimal(field("Content-Length"))
    return ObjectInfo(
        size=-1 if size is None else size,
        etag=header_etag(response),
        metadata={
            name.removeprefix(names.meta): value
            for name, value in response.headers.items()
            if name.startswith(names.meta)
        },
        upload_id=field(names.upload_id),
        version_id=field(names.version_id),
        crc64=xml.decimal(field(names.crc64)),
        request_id=field(names.request_id) or "",
        last_modified=field("Last-Modified") or "",
        sse=field(names.sse),
        lock=_read_lock(field, names),
        headers={name: clean(value) for name, value in response.headers.items()},
        checksum=read_headers(names, field),
    )


def _read_lock(field: _Field, names: HeaderNames) -> ObjectLock | None:
    mode, is_held = field(names.retention_mode), field(names.legal_hold) == "ON"
    if mode is None:
        return ObjectLock(legal_hold=True) if is_held else None
    end_s = parse_date(field(names.retain_until) or "")
    return ObjectLock(mode.lower(), iso_date(end_s) if end_s is not None else None, is_held)


def header_etag(response: Response) -> str:
    """Return the ETag header without quotes; empty without one."""
    return xml.bare_etag(clean(response.headers.get("etag", "")))


def require_etag(response: Response, operation: str) -> str:
    """Return the ETag header without quotes. Raises NetworkError without one: the response is not from a store."""
    etag = header_etag(response)
    if not etag:
        raise NetworkError("garbled", f"the response to {operation} has no ETag", sent=True)
    return etag


def _fields(response: Response) -> _Field:
    """Return the function that returns a header by the dialect's spelling; None for a name that the vendor lacks."""

    def field(name: str | None) -> str | None:
        value = response.headers.get(name.lower()) if name else None
        return None if value is None else clean(value)

    return field

"""From the headers of an answer to the result it carries. Pure. What a server says is made safe to print."""

from __future__ import annotations

from obsup.dialects.dialect import HeaderNames
from obsup.errors import NetworkError
from obsup.model import ObjectInfo, Stored
from obsup.store.answers import xml
from obsup.store.http.settings import Response
from obsup.text import clean


def read_stored(answer: Response, names: HeaderNames, etag: str, *, location: str | None = None) -> Stored:
    """Return what *answer* confirms, with its bare ETag, which stands in a header or in the body."""
    field = _Fields(answer)
    return Stored(
        status=answer.status,
        etag=etag,
        request_id=field(names.request_id) or "",
        host_id=field(names.host_id) or "",
        version_id=field(names.version_id),
        location=location,
        crc64=_decimal(field(names.crc64)),
        sse_kms=field(names.sse),
        sse_kms_key=field(names.sse_kms_key_id),
        sse_c=field(names.sse_c and f"{names.sse_c}algorithm"),
        sse_c_key_md5=field(names.sse_c and f"{names.sse_c}key-MD5"),
    )


def read_object_info(answer: Response, names: HeaderNames) -> ObjectInfo:
    """Return what HeadObject told; a size of -1 where it told none."""
    field = _Fields(answer)
    size = _decimal(field("Content-Length"))
    return ObjectInfo(
        size=-1 if size is None else size,
        etag=header_etag(answer),
        metadata={
            name.removeprefix(names.meta): value
            for name, value in answer.headers.items()
            if name.startswith(names.meta)
        },
        upload_id=field(names.upload_id),
        version_id=field(names.version_id),
        crc64=_decimal(field(names.crc64)),
        request_id=field(names.request_id) or "",
        last_modified=field("Last-Modified") or "",
        sse=field(names.sse),
    )


def header_etag(answer: Response) -> str:
    """Return the bare ETag of the answer's headers; empty where there is none."""
    return xml.bare_etag(clean(answer.headers.get("etag", "")))


def named_etag(answer: Response, operation: str) -> str:
    """Return the bare ETag of what *operation* stored. Raises NetworkError for an answer without: it is no store's."""
    etag = header_etag(answer)
    if not etag:
        raise NetworkError("garbled", f"the answer to {operation} names no ETag", sent=True)
    return etag


class _Fields:
    """The headers of an answer by the dialect's spelling; None for a name the vendor does not have."""

    def __init__(self, answer: Response) -> None:
        self._headers = answer.headers

    def __call__(self, name: str | None) -> str | None:
        value = self._headers.get(name.lower()) if name else None
        return None if value is None else clean(value)


def _decimal(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 20 else None

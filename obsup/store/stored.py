"""From an answer that says a part or an object was taken to what it confirms."""

from __future__ import annotations

from obsup.dialects.dialect import HeaderNames
from obsup.model import Stored
from obsup.store.refusal import printable
from obsup.store.transport import Answer


def read_stored(answer: Answer, names: HeaderNames, etag: str, *, location: str | None = None) -> Stored:
    """Return what *answer* confirms, with its ETag, which stands in a header or in the body."""
    headers = answer.headers
    sse, sse_c = names.sse or "", names.sse_c or ""
    return Stored(
        status=answer.status,
        etag=etag,
        request_id=printable(headers.get(names.request_id, "")),
        host_id=printable(headers.get(names.host_id, "")),
        version_id=headers.get(names.version_id),
        location=location,
        crc64=decimal(headers.get(names.crc64) if names.crc64 else None),
        sse_kms=headers.get(sse),
        sse_kms_key=headers.get(names.sse_kms_key_id or ""),
        sse_c=headers.get(sse_c + "algorithm"),
        sse_c_key_md5=headers.get((sse_c + "key-md5").lower()),
    )


def decimal(text: str | None) -> int | None:
    """Return the number that a header holds, or None where it holds none."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 20 else None

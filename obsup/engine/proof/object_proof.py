"""What proves that the object in the store is our source. Pure. Proof fails closed: what is missing proves nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

from obsup.dialects.dialect import Dialect
from obsup.model import ObjectInfo, Receipt, Stored
from obsup.value import Value

TOKEN_NAME = "obsup-token"

Verified = Literal["etag", "crc64", "upload-id", "token", "size", "receipt"]
"""What verified that an object is the source."""


class Expected(Value):
    """What the finished object must show: size, ETag, CRC-64, and the marks that it is this upload's.

    ``etag`` is lower-case, None where it could not be computed. ``upload_id`` is None for a single PutObject.
    """

    size: int
    etag: str | None
    crc64: int | None
    upload_id: str | None
    token: str | None


def composite_etag(md5s: Sequence[str]) -> str:
    """Return md5-of-md5s-N for the hex MD5s of the parts, in order.

    Source: OBS API reference, "Assembling Parts": the ETag of the object.
    """
    whole = hashlib.md5(b"".join(bytes.fromhex(one) for one in md5s), usedforsecurity=False)
    return f"{whole.hexdigest()}-{len(md5s)}"


def looks_like_md5(etag: str) -> bool:
    """Return whether *etag* has the form of an MD5 in hex."""
    return len(etag) == 32 and not etag.strip("0123456789abcdefABCDEF")


def is_composite(etag: str) -> bool:
    """Return whether *etag* has the form md5-of-md5s-N."""
    digest, dash, count = etag.partition("-")
    return bool(dash) and looks_like_md5(digest) and count.isascii() and count.isdigit()


def expected_etag(receipts: Sequence[Receipt], dialect: Dialect) -> str | None:
    """Return the composite ETag that the store must answer, or None where this dialect's proves nothing."""
    md5s = [one.md5 for one in receipts if one.md5 is not None]
    if not dialect.etag_is_composite or len(md5s) != len(receipts):
        return None
    return composite_etag(md5s)


def verify_response(expected: Expected, answer: Stored) -> Verified | None:
    """Return what the answer to Complete or PutObject proves (``crc64``, ``etag``), or None for nothing."""
    if expected.crc64 is not None and answer.crc64 == expected.crc64:
        return "crc64"
    if expected.etag is not None and answer.etag.lower() == expected.etag:
        return "etag"
    return None


def contradicts(expected: Expected, etag: str, crc64: int | None, *, ours: bool) -> bool:
    """Return whether digests that the store shows say that the content is another.

    *ours* tells that the object is known to be this upload's: then an ETag of another form (a store that
    encrypts) says nothing. An ETag of the expected form with another value is a contradiction always.
    """
    if expected.crc64 is not None and crc64 is not None:
        return crc64 != expected.crc64
    if expected.etag is None or not etag or etag.lower() == expected.etag:
        return False
    if ours:
        return is_composite(etag) == is_composite(expected.etag) and etag.count("-") == expected.etag.count(
            "-"
        )
    return True


def verify_object(expected: Expected, info: ObjectInfo, *, ours_only: bool = False) -> Verified | None:
    """Return what HeadObject proves of the object: ``crc64``, ``etag``, ``upload-id``, ``token``; None for nothing.

    A size or a digest that differs disproves everything. *ours_only* asks not just for the source's content but
    for the object of this very upload, wherever upload id or token can tell: an older object with the same
    content must not pass for a Complete that never happened.
    """
    if info.size != expected.size:
        return None
    mark = _mark(expected, info)
    can_be_marked = expected.token is not None or bool(expected.upload_id and info.upload_id)
    if ours_only and can_be_marked and mark is None:
        return None
    if contradicts(expected, info.etag, info.crc64, ours=mark is not None):
        return None
    if expected.crc64 is not None and info.crc64 == expected.crc64:
        return "crc64"
    if expected.etag is not None and info.etag.lower() == expected.etag:
        return "etag"
    return mark


def is_marked(expected: Expected, info: ObjectInfo) -> bool:
    """Return whether the object shows, by upload id or token, that this very upload made it."""
    return _mark(expected, info) is not None


def _mark(expected: Expected, info: ObjectInfo) -> Verified | None:
    """Return how the object shows that this very upload made it, or None."""
    if expected.upload_id and info.upload_id == expected.upload_id:
        return "upload-id"
    if expected.token and info.metadata.get(TOKEN_NAME) == expected.token:
        return "token"
    return None

"""Verify that the object in the store is the source. Pure. Verification fails closed: missing data verifies nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, cast

from msgspec.structs import replace

from obsup.dialects.dialect import Dialect
from obsup.local.source.digest import CRC64, combine_checksums, combine_crc64
from obsup.model import (
    TOKEN_NAME,
    Checksum,
    ObjectChecksums,
    ObjectInfo,
    Receipt,
    Stored,
    Upload,
    UploadChecksum,
)
from obsup.value import Value

Verified = Literal[
    "crc64nvme",
    "crc32c",
    "crc32",
    "sha256",
    "sha1",
    "etag",
    "crc64",
    "parts",
    "upload-id",
    "token",
    "size",
    "receipt",
    "content",
]
"""What verified that an object is the source."""

BY_CONTENT = frozenset({"crc64nvme", "crc32c", "crc32", "sha256", "sha1", "etag", "crc64"})
"""Those of the content; the others show who made the object, and what it is made of."""


class Expected(Value):
    """What the completed object must show: its size and digests, and the mark of the upload that made it.

    ``size`` is bytes, ``etag`` lower-case; each is None if it is unknown, as ``crc64`` and ``checksum``. The mark is
    the upload id, if the store shows it, or the token in the metadata; ``upload_id`` is None for a single PutObject.
    ``needs_token``: only the token shows that the upload is ours. ``composed_etag`` is what most stores make of the
    ETags of these parts, even if they are not MD5s: it shows that the object is made of them.
    """

    size: int | None
    etag: str | None
    crc64: int | None
    upload_id: str | None
    token: str | None
    needs_token: bool = False
    composed_etag: str | None = None
    checksum: Checksum | None = None

    def lacks_token(self, info: ObjectInfo) -> bool:
        """Return whether the object *info* has other object options, because another client initiated the upload."""
        return self.needs_token and info.metadata.get(TOKEN_NAME) != self.token


def mark_of(upload: Upload) -> Expected:
    """Return what shows that *upload* made an object, whatever its content."""
    return Expected(None, None, None, upload.upload_id, upload.token)


def composite_etag(md5s: Sequence[str]) -> str:
    """Return md5-of-md5s-N for the hex MD5s of the parts, in order.

    Source: OBS API reference, "Assembling Parts": the ETag of the object.
    """
    whole = hashlib.md5(b"".join(bytes.fromhex(one) for one in md5s), usedforsecurity=False)
    return f"{whole.hexdigest()}-{len(md5s)}"


def etag_of(etags: Sequence[str]) -> str | None:
    """Return the ETag that a store makes of these parts' ETags, None if they are not MD5s."""
    if not etags or not all(looks_like_md5(one) for one in etags):
        return None
    return composite_etag([one.lower() for one in etags])


def looks_like_md5(etag: str) -> bool:
    """Return whether *etag* has the form of an MD5 in hex."""
    return len(etag) == 32 and not etag.strip("0123456789abcdefABCDEF")


def is_composite(etag: str) -> bool:
    """Return whether *etag* has the form md5-of-md5s-N."""
    digest, dash, count = etag.partition("-")
    return bool(dash) and looks_like_md5(digest) and count.isascii() and count.isdigit()


def expected_etag(receipts: Sequence[Receipt], dialect: Dialect) -> str | None:
    """Return the composite ETag that the store must show, or None if the ETags of *dialect* are not composite."""
    md5s = [one.md5 for one in receipts if one.md5 is not None]
    if not dialect.etag_is_composite or len(md5s) != len(receipts):
        return None
    return composite_etag(md5s)


def combined_crc64(receipts: Sequence[Receipt]) -> int | None:
    """Return the CRC-64 of all parts together, in order, or None if that of one is unknown."""
    crc64: int | None = 0
    for receipt in receipts:
        if crc64 is None or receipt.crc64 is None:
            return None
        crc64 = combine_crc64(crc64, receipt.crc64, receipt.size)
    return crc64


def whole_checksum(receipts: Sequence[Receipt], upload: Upload) -> Checksum | None:
    """Return the checksum of the object that *upload* makes of *receipts*, None if that of a part is unknown."""
    if upload.checksum is None:
        return None
    parts = ((one.checksum, one.size) for one in receipts)
    agreed = upload.checksum
    return combine_checksums(agreed.algorithm, parts, is_full_object=agreed.is_full_object)


def with_listed_checksum(upload: Upload, receipts: Sequence[Receipt]) -> Upload:
    """Return *upload* with the checksum that its parts have, if nothing here records what the store agreed to."""
    algorithms = {one.checksum.algorithm for one in receipts if one.checksum is not None}
    if upload.checksum is not None or len(algorithms) != 1:
        return upload
    algorithm = algorithms.pop()
    return replace(upload, checksum=UploadChecksum(algorithm, is_full_object=algorithm == "crc64nvme"))


def sent_checksums(receipts: Sequence[Receipt], upload: Upload) -> ObjectChecksums | None:
    """Return the checksums that Complete sends: those that are known; None if the store did not agree to any."""
    if upload.checksum is None:
        return None
    algorithm = upload.checksum.algorithm
    parts = {
        one.number: one.checksum
        for one in receipts
        if one.checksum is not None and one.checksum.algorithm == algorithm
    }
    return ObjectChecksums(parts, whole_checksum(receipts, upload), sum(one.size for one in receipts))


def sent_crc64(receipts: Sequence[Receipt]) -> ObjectChecksums | None:
    """Return the CRC-64 that Complete sends to OBS; None if that of a part is unknown."""
    crc64 = combined_crc64(receipts)
    size = sum(one.size for one in receipts)
    return ObjectChecksums({}, Checksum(CRC64, str(crc64)), size) if crc64 is not None else None


def expected_object(
    receipts: Sequence[Receipt], upload: Upload, *, dialect: Dialect, opaque_etags: bool
) -> Expected:
    """Return what the object that *upload* makes of *receipts* must show. *receipts* has all parts, in order.

    If the object is encrypted, for example by a bucket default, the ETags of parts are not MD5s, and the ETag of the
    object depends on more than the content. A receipt without an ETag was made of the source, not of a response.
    """
    is_opaque = opaque_etags or any(one.md5 and one.etag and one.md5 != one.etag.lower() for one in receipts)
    return Expected(
        size=sum(one.size for one in receipts),
        etag=None if is_opaque else expected_etag(receipts, dialect),
        crc64=combined_crc64(receipts),
        upload_id=upload.upload_id,
        token=upload.token,
        needs_token=upload.is_found and upload.token is not None,
        composed_etag=etag_of([one.etag for one in receipts]) if dialect.etag_is_composite else None,
        checksum=whole_checksum(receipts, upload) if upload.checksum and upload.checksum.is_proof else None,
    )


def verify_response(expected: Expected, response: Stored) -> Verified | None:
    """Return which digest in the response to Complete or PutObject verifies the object, or None for none."""
    if is_confirmed(expected, response.checksum):
        return _algorithm(expected)
    if expected.crc64 is not None and response.crc64 == expected.crc64:
        return "crc64"
    if expected.etag is not None and response.etag.lower() == expected.etag:
        return "etag"
    return None


def is_confirmed(expected: Expected, checksum: Checksum | None) -> bool:
    """Return whether *checksum*, which the store returned, is that of the object."""
    return expected.checksum is not None and expected.checksum == checksum


def has_other_checksum(expected: Expected, checksum: Checksum | None) -> bool:
    """Return whether *checksum*, which the store returned, belongs to other content.

    One of another algorithm or type means nothing. Some stores return a wrong one of an object with the right ETag.
    """
    wanted = expected.checksum
    if wanted is None or checksum is None or is_confirmed(expected, checksum):
        return False
    return (wanted.algorithm, wanted.is_composite) == (checksum.algorithm, checksum.is_composite)


def has_other_crc64(expected: Expected, crc64: int | None) -> bool:
    """Return whether *crc64*, which the store returned, is that of other content."""
    return None not in (expected.crc64, crc64) and crc64 != expected.crc64


def contradicts(expected: Expected, etag: str, crc64: int | None, *, ours: bool) -> bool:
    """Return whether the digests that the store shows belong to other content.

    *ours*: the object is known to be made by this upload. An ETag of another form (a store that encrypts), or over
    another number of parts (a store that has its own parts), then means nothing. An ETag of the expected form with
    another value is always a contradiction, and so is another CRC-64, unless the ETag is right: some stores return a
    wrong one.
    """
    if expected.etag is not None and etag.lower() == expected.etag:
        return False
    if expected.crc64 is not None and crc64 is not None:
        return crc64 != expected.crc64
    if expected.etag is None or not etag:
        return False
    if ours:
        return is_composite(etag) == is_composite(expected.etag) and _count(etag) == _count(expected.etag)
    return True


def has_own_parts(expected: Expected, response: Stored, info: ObjectInfo) -> bool:
    """Return whether the store stores the object in its own parts, and computes the ETag over these.

    Then ETags verified every part that was sent, and the same ETag over another number of parts is in the *response* to
    Complete and in *info*, which has the right size. SeaweedFS does so until early 2026.
    """
    etag = response.etag.lower()
    if expected.etag is None or expected.size != info.size or etag != info.etag.lower():
        return False
    return is_composite(etag) and is_composite(expected.etag) and _count(etag) != _count(expected.etag)


def verify_object(expected: Expected, info: ObjectInfo, *, ours_only: bool = False) -> Verified | None:
    """Return what HeadObject verifies of the object: a digest, ``upload-id`` or ``token``; None for nothing.

    A different size or digest always fails. *ours_only* requires, if upload id or token can show it, that this very
    upload made the object: an older object with the same content must not pass for a Complete that never happened.
    """
    if not info.may_have(expected.size):
        return None
    mark = _mark(expected, info)
    if ours_only and lacks_mark(expected, info):
        return None
    if contradicts(expected, info.etag, info.crc64, ours=mark is not None):
        return None
    if is_confirmed(expected, info.checksum):
        return _algorithm(expected)
    if expected.crc64 is not None and info.crc64 == expected.crc64:
        return "crc64"
    if expected.etag is not None and info.etag.lower() == expected.etag:
        return "etag"
    is_sized = expected.size in (None, info.size)
    return mark if is_sized and not has_other_checksum(expected, info.checksum) else None


def lacks_mark(expected: Expected, info: ObjectInfo) -> bool:
    """Return whether the object would show an upload id or the token if this very upload had made it, and does not."""
    can_be_marked = expected.token is not None or bool(expected.upload_id and info.upload_id)
    return can_be_marked and _mark(expected, info) is None


def is_marked(expected: Expected, info: ObjectInfo) -> bool:
    """Return whether the upload id or the token shows that this very upload made the object."""
    return _mark(expected, info) is not None


def has_known_etag(expected: Expected, response: Stored, info: ObjectInfo) -> bool:
    """Return whether the ETag in *info* is that in the *response* to Complete or PutObject, or that of our parts."""
    return info.etag != "" and info.etag.lower() in (response.etag.lower(), expected.composed_etag)


def _algorithm(expected: Expected) -> Verified | None:
    return cast(Verified, expected.checksum.algorithm) if expected.checksum is not None else None


def _count(etag: str) -> str:
    """Return the number of parts in a composite ETag."""
    return etag.rpartition("-")[2] if is_composite(etag) else ""


def _mark(expected: Expected, info: ObjectInfo) -> Verified | None:
    if expected.lacks_token(info):
        return None
    if expected.upload_id and info.upload_id == expected.upload_id:
        return "upload-id"
    if expected.token and info.metadata.get(TOKEN_NAME) == expected.token:
        return "token"
    return None

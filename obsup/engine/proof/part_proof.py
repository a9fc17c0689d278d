"""Choose the digest that verifies each part, and compare it with the store's response."""

from __future__ import annotations

from obsup.dialects.dialect import Dialect
from obsup.engine.proof.object_proof import looks_like_md5
from obsup.local.source.digest import PartDigest
from obsup.model import Receipt, Stored, StoredPart
from obsup.value import Value


class DigestChoice(Value):
    """The digests that verify each part. ``opaque_etags``: the object is encrypted, so no ETag is an MD5.

    ``crc64_or_md5``: the CRC-64 verifies the parts, and the MD5 does if the store returns no CRC-64.
    """

    md5: bool
    crc64: bool
    opaque_etags: bool = False
    crc64_or_md5: bool = False

    def digest(self) -> PartDigest:
        """Return a new, empty digest."""
        return PartDigest(md5=self.md5, crc64=self.crc64)


def choose_digests(
    digest: str, dialect: Dialect, *, encrypted: bool, is_compared: bool = False
) -> DigestChoice:
    """Return what *digest* (auto, md5, crc64, none) means for *dialect*: auto is the best that the store confirms.

    *is_compared*: the parts are compared with a file, so each has a CRC-64.
    """
    has_crc64 = dialect.headers.crc64 is not None and not dialect.etag_is_composite
    if digest == "auto":
        return DigestChoice(
            md5=not has_crc64,
            crc64=has_crc64 or is_compared,
            opaque_etags=encrypted,
            crc64_or_md5=has_crc64,
        )
    return DigestChoice(
        md5=digest == "md5",
        crc64=digest == "crc64" or is_compared,
        opaque_etags=encrypted,
        crc64_or_md5=digest == "crc64",
    )


def matches(stored: Stored, digest: PartDigest, digests: DigestChoice) -> bool | None:
    """Return whether the store confirms the bytes that were read, None if its response has no comparable digest."""
    if digest.crc64 is not None and stored.crc64 is not None:
        return stored.crc64 == digest.crc64
    encrypted = digests.opaque_etags or (stored.sse_kms or "AES256").upper() != "AES256" or stored.sse_c
    if digest.md5 is None or encrypted or not looks_like_md5(stored.etag):
        return None
    return stored.etag.lower() == digest.md5


def needs_md5(stored: Stored, digest: PartDigest, digests: DigestChoice) -> bool:
    """Return whether only the MD5, which was not computed, can be compared with the store's response."""
    return (
        digests.crc64_or_md5 and stored.crc64 is None and digest.md5 is None and looks_like_md5(stored.etag)
    )


def has_content(
    stored: StoredPart, digest: PartDigest, recorded: Receipt | None, digests: DigestChoice
) -> bool | None:
    """Return whether a listed part has the bytes of *digest*, None if nothing comparable is known of it.

    *recorded* is our own receipt: it has the digests of the bytes that were sent, which can be compared even if the
    ETag is not an MD5. It counts if the store lists its ETag.
    """
    if recorded is not None and recorded.etag.lower() == stored.etag.lower():
        pairs = ((recorded.md5, digest.md5), (recorded.crc64, digest.crc64))
        compared = [sent == now for sent, now in pairs if None not in (sent, now)]
        if compared:
            return all(compared)
    return matches(Stored(status=200, etag=stored.etag, crc64=stored.crc64), digest, digests)

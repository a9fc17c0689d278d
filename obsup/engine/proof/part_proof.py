"""Choose the digest that verifies each part, and compare it with the store's response."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from obsup.dialects.dialect import Dialect
from obsup.engine.proof.encryption import hides_md5
from obsup.engine.proof.object_proof import looks_like_md5
from obsup.local.source.digest import CRC64, PartDigest
from obsup.model import Checksum, Receipt, Stored, StoredPart, Upload
from obsup.value import Value

Digest = Literal["auto", "crc64nvme", "crc32c", "crc64", "sha256", "md5", "none"]
CHECKSUMS = frozenset({"crc64nvme", "crc32c", "sha256"})
DEFAULT_CHECKSUM = "crc64nvme"


class DigestChoice(Value):
    """The digests that verify each part. ``opaque_etags``: the object is encrypted, so no ETag is an MD5.

    ``crc64_or_md5``: the CRC-64 verifies the parts, and the MD5 does if the store returns no CRC-64.
    ``checksum`` is the algorithm of the checksum that is sent; before an upload is initiated, the one to ask for.
    ``keeps_md5``: the MD5 is computed even if the store agreed to a checksum. ``is_named``: the user asked for it.
    """

    md5: bool
    crc64: bool
    opaque_etags: bool = False
    crc64_or_md5: bool = False
    checksum: str | None = None
    keeps_md5: bool = False
    is_named: bool = False

    @property
    def is_any(self) -> bool:
        """Whether parts are verified at all: not with --digest none."""
        return self.md5 or self.crc64_or_md5 or self.checksum is not None

    @property
    def has_no_response(self) -> bool:
        """Whether no response is known to have a comparable digest: of an encrypted object, ETags are none."""
        return self.opaque_etags and self.md5 and self.checksum not in CHECKSUMS

    def of_upload(self, upload: Upload) -> DigestChoice:
        """Return the digests of the parts of *upload*: with the checksum that the store agreed to, if any.

        Until the store returns the checksum of the object, parts are not verified more weakly than by MD5: without it,
        the file is read again.
        """
        agreed = upload.checksum
        if agreed is None:
            return self if self.checksum == CRC64 else replace(self, checksum=None)
        md5 = self.md5 and (self.keeps_md5 or not agreed.is_proof)
        return replace(self, checksum=agreed.algorithm, md5=md5)

    def digest(self) -> PartDigest:
        """Return a new, empty digest."""
        return PartDigest(md5=self.md5, crc64=self.crc64)


def choose_digests(
    digest: str, dialect: Dialect, *, encrypted: bool, is_compared: bool = False, is_read_once: bool = False
) -> DigestChoice:
    """Return what *digest* means for *dialect*: auto is the best that the store confirms, as far as that is known.

    *is_compared*: the parts are compared with a file, so each has a CRC-64. *is_read_once*: the source cannot be read
    again, so MD5 must be computed now if it may be needed.
    """
    if digest in ("auto", CRC64) and dialect.headers.crc64 is not None and dialect.etag_is_composite:
        # OBS: the first part shows whether the store confirms it; until then, MD5 does.
        return DigestChoice(
            md5=True,
            crc64=is_compared,
            opaque_etags=encrypted,
            checksum=CRC64,
            crc64_or_md5=True,
            keeps_md5=is_read_once,
            is_named=digest == CRC64,
        )
    if digest in ("md5", "crc64", "none"):
        is_md5 = digest == "md5"
        crc64 = digest == "crc64" or is_compared
        return DigestChoice(
            md5=is_md5,
            crc64=crc64,
            opaque_etags=encrypted,
            crc64_or_md5=digest == "crc64",
            keeps_md5=is_md5,
        )
    has_crc64 = dialect.headers.crc64 is not None and not dialect.etag_is_composite
    known = (DEFAULT_CHECKSUM,) if dialect.checksums is None else dialect.checksums
    algorithm = next(iter(known), None) if digest == "auto" else digest
    return DigestChoice(
        md5=not has_crc64,
        crc64=has_crc64 or is_compared,
        opaque_etags=encrypted,
        checksum=algorithm if dialect.headers.checksum is not None else None,
        keeps_md5=is_read_once,
        crc64_or_md5=has_crc64,
    )


def matches(
    stored: Stored, digest: PartDigest, digests: DigestChoice, checksum: Checksum | None = None
) -> bool | None:
    """Return whether the store confirms the bytes that were read, None if its response has no comparable digest.

    *checksum* is the one that was sent with them.
    """
    is_returned = checksum is not None and stored.checksum is not None
    if is_returned and stored.checksum != checksum:
        return False
    by_digest = _matches(stored, digest, digests)
    return True if by_digest is None and is_returned else by_digest


def _matches(stored: Stored, digest: PartDigest, digests: DigestChoice) -> bool | None:
    has_crc64 = digest.crc64 is not None and stored.crc64 is not None
    if has_crc64 and stored.crc64 != digest.crc64:
        return False
    if digest.md5 is None or hides_digest(stored, digests) or not looks_like_md5(stored.etag):
        return True if has_crc64 else None
    return stored.etag.lower() == digest.md5


def hides_digest(stored: Stored, digests: DigestChoice) -> bool:
    """Return whether the encryption that was requested, or that the response shows, makes ETags other values."""
    return digests.opaque_etags or hides_md5(stored.sse_kms) or bool(stored.sse_c)


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
        pairs = (
            (recorded.md5, digest.md5),
            (recorded.crc64, digest.crc64),
            (recorded.checksum, digest.checksum),
        )
        compared = [sent == now for sent, now in pairs if None not in (sent, now)]
        if compared:
            return all(compared)
    listed = Stored(status=200, etag=stored.etag, crc64=stored.crc64, checksum=stored.checksum)
    return matches(listed, digest, digests, digest.checksum)


def is_proven(receipt: Receipt, digests: DigestChoice, dialect: Dialect) -> bool:
    """Return whether the ETag of a recorded part is enough to show its content, if the source is unchanged.

    It is not if the part was sent with --digest none, unless *digests* accept that, too: no digest is in its *receipt*.
    A CRC-64 is one of the part only where the store returns it.
    """
    has_crc64 = receipt.crc64 is not None and dialect.headers.crc64 is not None
    is_verified = has_crc64 or receipt.md5 is not None or receipt.checksum is not None
    return not receipt.is_unproven and (is_verified or not digests.is_any)

"""One part, from its window on the source to the store's receipt for it. Runs in a thread or on another machine."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from obsup import events
from obsup.dialects.dialect import Dialect
from obsup.engine.proof import looks_like_md5
from obsup.errors import DataMismatch
from obsup.local.digest import PartDigest
from obsup.local.source import PartBody, check_unchanged, hash_part
from obsup.model import Part, Receipt, SourceStat, Stored, Upload
from obsup.store.store import ObjectStore

RESENDS = 2

Gate = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Proving:
    """What each part is proved with. ``opaque_etags``: the object is encrypted, so that no ETag is an MD5."""

    md5: bool
    crc64: bool
    opaque_etags: bool = False

    def digest(self) -> PartDigest:
        """Return a fresh digest."""
        return PartDigest(md5=self.md5, crc64=self.crc64)


def choose_proving(digest: str, dialect: Dialect, *, encrypted: bool) -> Proving:
    """Return what *digest* (auto, md5, crc64, none) means for *dialect*: auto is the best that the store answers."""
    has_crc64 = dialect.headers.crc64 is not None and not dialect.etag_is_composite
    if digest == "auto":
        return Proving(md5=not has_crc64, crc64=has_crc64, opaque_etags=encrypted)
    return Proving(md5=digest == "md5", crc64=digest == "crc64", opaque_etags=encrypted)


@dataclass(frozen=True, slots=True)
class PartJob:
    """All that a worker needs to send one part, without secrets. ``path`` is absolute."""

    upload: Upload
    part: Part
    path: str
    stat: SourceStat
    proving: Proving
    content_md5: bool = False


def confirms(stored: Stored, digest: PartDigest, proving: Proving) -> bool | None:
    """Return whether the store's answer shows the bytes that were read; None where it shows nothing."""
    if digest.crc64 is not None and stored.crc64 is not None:
        return stored.crc64 == digest.crc64
    encrypted = proving.opaque_etags or (stored.sse_kms or "AES256").upper() != "AES256" or stored.sse_c
    if digest.md5 is None or encrypted or not looks_like_md5(stored.etag):
        return None
    return stored.etag.lower() == digest.md5


def send_part(
    job: PartJob, store: ObjectStore, *, observe: events.Observer = events.ignore, gate: Gate | None = None
) -> Receipt:
    """Send one part and return the receipt, once the store has confirmed the very bytes that were read.

    Raises SourceChanged where the file is not the one planned, DataMismatch where the store confirms other
    bytes three times in a row, and what the store and the disk raise.
    """
    path, part = Path(job.path), job.part
    check_unchanged(path, job.stat)
    for resend in range(1 + RESENDS):
        if resend:
            observe(
                events.Retried(part.number, resend, "the store confirmed other bytes than were sent", 0.0)
            )
        stored, digest = _send_once(job, store, observe=observe, gate=gate)
        check_unchanged(path, job.stat)
        if confirms(stored, digest, job.proving) is not False:
            observe(events.PartStored(part.number, part.size))
            return Receipt(part.number, part.size, stored.etag, digest.md5, digest.crc64)
    raise DataMismatch(
        f"part {part.number} of {job.upload.target} arrives changed",
        f"sent with MD5 {digest.md5}, CRC-64 {digest.crc64}; the store has ETag {stored.etag}",
        "look at the line (proxies, memory); what is stored stays",
    )


def _send_once(
    job: PartJob, store: ObjectStore, *, observe: events.Observer, gate: Gate | None
) -> tuple[Stored, PartDigest]:
    """Send the part; return the store's answer and the digest of what was read in the attempt that it answers."""
    digests: list[PartDigest] = []

    def open_body() -> PartBody:
        digests.append(job.proving.digest())
        return PartBody(
            Path(job.path),
            job.part,
            digest=digests[-1],
            on_sent=lambda sent: observe(events.PartSent(job.part.number, sent)),
            gate=gate,
        )

    content_md5 = content_md5_of(Path(job.path), job.part, gate) if job.content_md5 else None
    stored = store.upload_part(job.upload, job.part.number, open_body, content_md5=content_md5)
    return stored, digests[-1]


def content_md5_of(path: Path, part: Part, gate: Gate | None) -> str:
    """Return the Content-MD5 of the part, which must be known before the first byte is sent: a second read."""
    digest = PartDigest(md5=True)
    hash_part(path, part, digest, gate)
    return base64.b64encode(bytes.fromhex(digest.md5 or "")).decode()

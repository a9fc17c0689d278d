"""Compare a stream that is fed again with the parts that the store already has, and skip those.

Nothing is sent before the last stored part has been compared; parts that are missing in between are held in memory.
So a different stream is detected before the upload changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from obsup.engine.proof.object_proof import looks_like_md5
from obsup.engine.proof.part_proof import DigestChoice
from obsup.errors import SourceChanged, run_again
from obsup.local.source.digest import Gate
from obsup.local.source.memory_part import MemoryPart
from obsup.model import Receipt, StoredPart


def comparable_receipts(
    listed: Iterable[StoredPart], recorded: Mapping[int, Receipt], digests: DigestChoice
) -> dict[int, Receipt]:
    """Return the receipts of the stored parts that have a digest to compare with, by part number.

    The digest is the recorded one if the record matches the stored part, otherwise the one that the store lists. Parts
    without a digest are sent again.
    """
    receipts = {}
    for stored in listed:
        receipt = recorded.get(stored.number)
        if receipt is None or receipt.etag.lower() != stored.etag.lower() or receipt.size != stored.size:
            is_md5 = looks_like_md5(stored.etag) and not digests.opaque_etags
            md5 = stored.etag.lower() if is_md5 else None
            receipt = replace(stored.receipt, md5=md5)
        if (receipt.md5, receipt.crc64, receipt.checksum) != (None, None, None):
            receipts[stored.number] = receipt
    return receipts


@dataclass(slots=True)
class ReplayCheck:
    """Compares the parts of a stream with the *stored* ones.

    ``confirmed`` are those found equal, ``held_back`` the parts to send once the last stored part has been compared.
    ``is_complete``: the stored parts are an object already, to which nothing can be added.
    """

    stored: Mapping[int, Receipt]
    is_complete: bool = False
    confirmed: dict[int, Receipt] = field(default_factory=dict)
    held_back: list[MemoryPart] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The number of the last stored part, or 0."""
        return max(self.stored, default=0)

    def confirm(self, part: MemoryPart, gate: Gate | None = None) -> bool:
        """Return whether *part* is already stored; compare it if the store has a part of this number.

        Raises SourceChanged if the stored part differs, or if the stream ends before the last stored part.
        """
        receipt = self.stored.get(part.part.number)
        if receipt is not None:
            digest = part.hashed(gate)
            sent = receipt.checksum
            checksum = part.checksum(sent.algorithm, gate) if sent is not None else None
            pairs = ((receipt.md5, digest.md5), (receipt.crc64, digest.crc64), (sent, checksum))
            known = [(then, now) for then, now in pairs if then is not None and now is not None]
            if receipt.size != part.part.size or not known or any(then != now for then, now in known):
                raise _different_stream(f"Part {part.part.number} differs from the stored part")
            self.confirmed[receipt.number] = receipt
        if part.is_last and part.part.number < self.last:
            raise _different_stream(f"It ends in part {part.part.number}, but part {self.last} is stored")
        if receipt is None and self.is_complete:
            raise _different_stream(
                f"The object was completed with {self.last} parts, and the stream is longer"
            )
        return receipt is not None


def _different_stream(how: str) -> SourceChanged:
    return SourceChanged(
        "the stream differs from the one of the interrupted upload",
        f"{how}; an object must not mix two streams",
        run_again("feed the same stream again, or discard the stored parts", add=("--restart",)),
    )

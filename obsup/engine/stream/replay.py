"""The same stream fed again: what the store holds of it is compared, not sent.

Nothing is sent before the last stored part has been compared: parts that are missing between stored ones wait in
memory. So a stream that is another is found out while the upload is still as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from obsup.engine.proof.object_proof import looks_like_md5
from obsup.engine.proof.part_proof import DigestChoice
from obsup.errors import SourceChanged
from obsup.local.source.file import Gate
from obsup.local.source.memory_part import MemoryPart
from obsup.model import Receipt, StoredPart


def comparable(
    listed: Iterable[StoredPart], recorded: Mapping[int, Receipt], digests: DigestChoice
) -> dict[int, Receipt]:
    """Return receipts of the stored parts that a part of a stream can be compared with, by part number.

    That is where the recorded digest is the stored part's, or the store itself tells one. Others are sent again.
    """
    receipts = {}
    for stored in listed:
        known = recorded.get(stored.number)
        if known is None or known.etag.lower() != stored.etag.lower() or known.size != stored.size:
            is_md5 = looks_like_md5(stored.etag) and not digests.opaque_etags
            md5 = stored.etag.lower() if is_md5 else None
            known = Receipt(stored.number, stored.size, stored.etag, md5, stored.crc64)
        if known.md5 is not None or known.crc64 is not None:
            receipts[stored.number] = known
    return receipts


@dataclass(slots=True)
class ReplayCheck:
    """Holds the parts of a stream, as they come, against the *stored* ones; ``confirmed`` are those found equal."""

    stored: Mapping[int, Receipt]
    confirmed: dict[int, Receipt] = field(default_factory=dict)
    waiting: list[MemoryPart] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The number of the last stored part; 0 where there is none."""
        return max(self.stored, default=0)

    def confirms(self, part: MemoryPart, gate: Gate | None = None) -> bool:
        """Return whether *part* is stored already.

        Raises SourceChanged where another part is stored in its place, or the stream ends before what is stored.
        """
        receipt = self.stored.get(part.part.number)
        if receipt is not None:
            digest = part.hashed(gate)
            pairs = ((receipt.md5, digest.md5), (receipt.crc64, digest.crc64))
            known = [(then, now) for then, now in pairs if then is not None and now is not None]
            if receipt.size != part.part.size or not known or any(then != now for then, now in known):
                raise _another(f"part {part.part.number} differs from what is stored")
            self.confirmed[receipt.number] = receipt
        if part.is_last and part.part.number < self.last:
            raise _another(f"it ends in part {part.part.number}, and part {self.last} is stored")
        return receipt is not None

    def give_up(self) -> None:
        """Compare no more: what has not been compared is sent again, whatever is stored in its place."""
        self.stored = dict(self.confirmed)


def _another(how: str) -> SourceChanged:
    return SourceChanged(
        "this is not the stream that the upload was begun with",
        f"{how}; an object must not mix two streams",
        "feed the same stream, or run with --restart to begin again with this one",
    )

"""Compare an object with a local file: HeadObject and digests of the file; the bytes of the object only on request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from msgspec.structs import replace

from obsup.dialects.dialect import Dialect
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.result import Result
from obsup.engine.plan.file_plan import Plan
from obsup.engine.plan.likely_plans import PlanDigest, likely_plans
from obsup.engine.proof.encryption import hides_md5
from obsup.engine.proof.object_proof import Verified, composite_etag, is_composite, looks_like_md5
from obsup.errors import DataMismatch, NextStep, ObsupError, SourceChanged, run_again
from obsup.local.source.digest import CRC64, Gate, PartDigest, digest_like
from obsup.local.source.file import blocks_of, hash_part
from obsup.local.source.part_md5s import md5s_of_parts
from obsup.local.state.receipt_file import ObjectReceipt
from obsup.model import Checksum, ObjectInfo, Part, SourceStat
from obsup.text import operand, quoted
from obsup.units import MIB, counted
from obsup.value import Value

# How many plans are tried in the first pass over the file, in the second, …: usually the first plan is right.
BATCHES = (1, 4, 8, 16)
MAX_COMPARED_PLANS = 100
# Bytes per request of a download: the longest response may have twice as many.
DOWNLOADED_BYTES = 4 * MIB
# What can be compared, beside the bytes, if the ETag is not a digest, and if it is that of parts.
ONLY_RECEIPT = "give the receipt of its upload with --receipt"
RECEIPT_OR_SIZE = f"{ONLY_RECEIPT}, or its part size with --part-size"
OTHER_RECEIPT = "give the receipt of the upload of this object, or leave out --receipt"
CHOOSE = "find out which is right; this replaces the object with the file"


class CannotCompare(ObsupError, exit_code=1, reason="incomparable"):
    """The store returns nothing about the object that can be compared with the file."""


class Identical(Value):
    """The object has the content of the file. ``by`` is what verified it; ``part_size`` is bytes."""

    info: ObjectInfo
    by: Verified
    part_size: int
    parts: int

    def result(self, request: UploadRequest, tally: ProgressTally, *, source: SourceStat) -> Result:
        """Return the result of *request* if nothing had to be sent."""
        info = self.info
        return Result(
            target=request.target,
            upload_id=info.upload_id,
            etag=info.etag,
            verified=self.by,
            size=info.size,
            part_size=self.part_size,
            parts=self.parts,
            seconds=tally.seconds,
            request_id=info.request_id,
            version_id=info.version_id,
            source=source,
            date=info.last_modified,
            lock=info.lock,
        )


class Comparison:
    """Compares the file *path* of identity *stat* with the object of *request*.

    *gate* is called before each block is read, and may raise. Raises DataMismatch if file and object differ,
    CannotCompare if that cannot be determined.
    """

    def __init__(
        self,
        request: UploadRequest,
        path: Path,
        stat: SourceStat,
        *,
        dialect: Dialect,
        gate: Gate | None = None,
    ) -> None:
        self._target = request.target
        self._path = path
        self._stat = stat
        self._dialect = dialect
        self._gate = gate
        self._has_customer_key = request.encrypted_by_customer

    def by_object(
        self,
        info: ObjectInfo | None,
        plan: Plan | None = None,
        *,
        hint: Plan | None = None,
        max_plans: int = MAX_COMPARED_PLANS,
    ) -> Identical:
        """Compare with what HeadObject returned: a checksum, or the ETag that *plan* makes of the file.

        Without a plan up to *max_plans* likely ones are tried, *hint* first.
        """
        info = self._same_size(info)
        crc64 = Checksum(CRC64, str(info.crc64)) if info.crc64 is not None else None
        has_checksum = info.checksum is not None and not info.checksum.is_composite
        checksum = info.checksum if has_checksum else crc64
        if checksum is not None:
            return self._by_checksum(info, checksum, plan or hint)
        return self._by_etag(info, plan, hint=hint, max_plans=max_plans)

    def _by_etag(
        self, info: ObjectInfo, plan: Plan | None, *, hint: Plan | None, max_plans: int
    ) -> Identical:
        if self._has_customer_key or hides_md5(info.sse):
            raise self._cannot(
                f"The object is encrypted ({info.sse or 'SSE-C'}), so its ETag is not a digest", ONLY_RECEIPT
            )
        if looks_like_md5(info.etag):
            return self._by_md5(info)
        if not is_composite(info.etag) or not self._dialect.etag_is_composite:
            raise self._cannot(
                f"The store returns no digest of the object, and its ETag {info.etag!r} is not one",
                ONLY_RECEIPT,
            )
        count = int(info.etag.rpartition("-")[2])
        if plan is not None:
            if plan.count != count:
                raise self._cannot(f"The object was sent in {counted(count, 'part')}, not in {plan.count}")
            return self._by_composite(info, [plan], is_decisive=True)
        plans = likely_plans(self._stat.size, count, self._dialect.limits)
        is_likely = hint is not None and hint.count == count
        if hint is not None and is_likely:
            plans = [hint, *(one for one in plans if one != hint)]
        return self._by_composite(info, plans[:max_plans], is_decisive=is_likely)

    def by_receipt(self, info: ObjectInfo | None, receipt: ObjectReceipt) -> Identical:
        """Compare with a receipt: it must belong to the object, and every part of the file must be what was sent."""
        recorded, target = receipt.target, self._target
        if (recorded.endpoint, recorded.bucket, recorded.key) != (target.endpoint, target.bucket, target.key):
            raise self._cannot(f"The receipt belongs to {recorded} at {recorded.endpoint}", OTHER_RECEIPT)
        info = self._same_size(info)
        versions = {receipt.version_id, info.version_id}
        is_another = info.etag.lower() != receipt.etag.lower() or info.size != receipt.size
        if is_another or (None not in versions and len(versions) > 1):
            raise DataMismatch(
                f"the object {target} is not the one of the receipt",
                f"The receipt has ETag {receipt.etag}, version {receipt.version_id}; "
                f"the store has ETag {info.etag}, version {info.version_id}",
                self._upload("another upload has replaced the object; this replaces it with the file"),
            )
        if not info.etag and None in versions:
            raise self._cannot(
                "The store returns no ETag and no version of the object", "leave out --receipt"
            )
        offset = 0
        for one in receipt.receipts:
            digest = digest_like(one)
            if digest.is_idle:
                raise self._cannot("The receipt has no digests (--digest none)", OTHER_RECEIPT)
            self._hash(digest, Part(one.number, offset, one.size))
            offset += one.size
            if not digest.is_of(one):
                raise self._differs(f"Part {one.number} is not what was sent", info)
        return Identical(info, "receipt", receipt.part_size, len(receipt.receipts))

    def by_download(self, info: ObjectInfo, read: Callable[[int, int], tuple[str, bytes]]) -> Identical:
        """Compare every byte of the object, which *read* returns, as ``ObjectStore.read_object``."""
        size, again = self._stat.size, "upload the file again to be sure"
        if info.size < 0:
            step = f"{ONLY_RECEIPT}, or download the object with another tool, and compare it with the file"
            raise self._cannot("The store does not return the size of the object", step)
        if not info.etag and size > DOWNLOADED_BYTES:
            raise self._cannot("It has no ETag: it could be replaced unnoticed between two requests", again)
        with self._unchanged_source():
            for first in range(0, size or 1, DOWNLOADED_BYTES):
                part = Part(1, first, min(DOWNLOADED_BYTES, size - first))
                etag, content = read(part.offset, part.size)
                if etag != info.etag:
                    raise self._differs("Another upload replaced the object during the comparison", info)
                start = 0
                for block in blocks_of(self._path, part, self._stat, gate=self._gate):
                    if block != content[start : start + len(block)]:
                        raise self._differs(
                            f"They differ between bytes {first} and {first + part.size}", info
                        )
                    start += len(block)
        return Identical(info, "content", size, 1)

    def _same_size(self, info: ObjectInfo | None) -> ObjectInfo:
        if info is None:
            raise DataMismatch(
                f"the object {self._target} does not exist",
                "The store has no object with this key",
                self._upload("upload it"),
            )
        if not info.may_have(self._stat.size):
            raise self._differs(f"The file has {self._stat.size} bytes, the object {info.size}", info)
        return replace(info, size=self._stat.size)

    def _by_checksum(self, info: ObjectInfo, checksum: Checksum, plan: Plan | None) -> Identical:
        """Compare with the checksum of the object. If it differs, the ETag of one plan decides.

        Some stores return a wrong checksum.
        """
        computed = self._hash(PartDigest(checksum=checksum.algorithm)).checksum
        if computed == checksum:
            return Identical(info, cast(Verified, checksum.algorithm), self._stat.size, 1)
        try:
            return self._by_etag(info, plan, hint=plan, max_plans=1)
        except (CannotCompare, DataMismatch):
            shown = f"{checksum.algorithm} {computed.value if computed else None}"
            raise self._differs(f"The file has {shown}, the object {checksum.value}", info) from None

    def _by_md5(self, info: ObjectInfo) -> Identical:
        digest = self._hash(PartDigest(md5=True))
        if digest.md5 != info.etag.lower():
            raise self._differs(f"The file has the MD5 {digest.md5}, the object the ETag {info.etag}", info)
        return Identical(info, "etag", self._stat.size, 1)

    def _hash(self, digest: PartDigest, part: Part | None = None) -> PartDigest:
        """Return *digest* of *part*, by default of the whole file."""
        with self._unchanged_source():
            return hash_part(self._path, part or self._whole, self._stat, digest, self._gate)

    def _by_composite(self, info: ObjectInfo, plans: Sequence[Plan], *, is_decisive: bool) -> Identical:
        """Compare the ETags of *plans*. Unless one of them *is_decisive*, the store may have its own parts."""
        for batch in _in_batches(plans):
            for plan, etag in zip(batch, self._etags(batch), strict=True):
                if etag == info.etag.lower():
                    return Identical(info, "etag", plan.part_size, plan.count)
        tried = "this plan" if len(plans) == 1 else f"any of {len(plans)} likely plans"
        if not is_decisive:
            count = info.etag.rpartition("-")[2]
            raise self._cannot(
                f"The object's ETag {info.etag} is not that of the file in {tried}; parts of an unusual size, or "
                f"parts that the store itself makes, could explain its number of {count} parts"
            )
        raise self._differs(
            f"The object's ETag {info.etag} is not that of the file in {tried}",
            info,
            step=f"if it was sent in parts of an unusual size, give that with --part-size; otherwise {CHOOSE}",
        )

    def _etags(self, plans: Sequence[Plan]) -> list[str]:
        """Return the ETag that each of *plans* makes of the file, in one pass over it."""
        parts = sorted(
            ((part, number) for number, plan in enumerate(plans) for part in plan.parts()),
            key=lambda one: one[0].offset,
        )
        with self._unchanged_source():
            md5s = md5s_of_parts(self._path, [part for part, _ in parts], self._stat, self._gate)
            if md5s is not None:
                pairs = list(zip(parts, md5s, strict=True))
                return [
                    composite_etag([md5 for (_, plan), md5 in pairs if plan == number])
                    for number in range(len(plans))
                ]
            digests = [PlanDigest(plan) for plan in plans]
            for block in blocks_of(self._path, self._whole, self._stat, gate=self._gate):
                for digest in digests:
                    digest.update(block)
            return [digest.etag for digest in digests]

    @contextmanager
    def _unchanged_source(self) -> Iterator[None]:
        """Raise the error of a comparison if the source changes inside."""
        try:
            yield
        except SourceChanged as exc:
            raise type(exc)(
                f"{quoted(self._path)} changed during the comparison",
                exc.why,
                run_again("wait until nothing writes to it"),
            ) from exc

    @property
    def _whole(self) -> Part:
        return Part(1, 0, self._stat.size)

    def _differs(self, why: str, info: ObjectInfo, *, step: str = CHOOSE) -> DataMismatch:
        return DataMismatch(
            f"{quoted(self._path)} and the object {self._target} differ",
            f"{why} (last modified {info.last_modified or 'unknown'}; request id {info.request_id or 'none'})",
            self._upload(step),
        )

    def _upload(self, text: str) -> NextStep:
        return NextStep(text, command=("obsup", "upload", operand(self._path), self._target.name))

    def _cannot(self, why: str, step: str = RECEIPT_OR_SIZE) -> CannotCompare:
        return CannotCompare(
            f"cannot compare {quoted(self._path)} with the object {self._target}",
            why,
            NextStep(step),
        )


def _in_batches(plans: Sequence[Plan]) -> Iterable[Sequence[Plan]]:
    start = 0
    for size in BATCHES:
        if start < len(plans):
            yield plans[start : start + size]
        start += size

"""Is the object in the bucket this file? A look at the object and digests of the file; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from obsup.dialects.dialect import Dialect
from obsup.engine.job.context import UploadContext
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.result import Result
from obsup.engine.plan.file_plan import Plan
from obsup.engine.plan.likely_plans import PlanDigest, likely_plans
from obsup.engine.proof.object_proof import is_composite, looks_like_md5
from obsup.errors import DataMismatch, ObsupError, SourceChanged
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import Gate, PartBody, changes, hash_part, stat_source
from obsup.local.state.receipt_file import ObjectReceipt
from obsup.model import ObjectInfo, Part, SourceStat, Target
from obsup.text import quoted, shell_line
from obsup.value import Value

# How many plans are tried in the first pass over the file, in the second, …: mostly the first plan is right.
BATCHES = (1, 4, 8, 16)


class CannotCompare(ObsupError):
    """Nothing that the store tells of the object can be compared with the file."""

    exit_code = 1
    reason = "incomparable"


class Identical(Value):
    """The object is the file: *by* says what proved it (``etag``, ``crc64``, ``receipt``)."""

    info: ObjectInfo
    by: Literal["etag", "crc64", "receipt"]
    part_size: int
    parts: int


class Comparison:
    """Compares one file with one object.

    ``encrypted_by_customer``: the request carries an SSE-C key. *gate* is called before each block is read, and
    may raise. Raises DataMismatch where file and object differ, CannotCompare where nobody can tell.
    """

    def __init__(
        self,
        target: Target,
        path: Path,
        stat: SourceStat,
        *,
        dialect: Dialect,
        gate: Gate | None = None,
        encrypted_by_customer: bool = False,
    ) -> None:
        self._target = target
        self._path = path
        self._stat = stat
        self._dialect = dialect
        self._gate = gate
        self._has_customer_key = encrypted_by_customer

    def by_object(
        self,
        info: ObjectInfo | None,
        plan: Plan | None = None,
        *,
        hint: Plan | None = None,
        tries: int = 100,
    ) -> Identical:
        """Compare by what the store tells: CRC-64, or the ETag of *plan*.

        Without a plan at most *tries* likely ones are tried, *hint* before the others.
        """
        info = self._same_size(info)
        if info.crc64 is not None:
            return self._by_crc64(info, info.crc64)
        if self._is_opaque(info):
            raise self._cannot(f"its ETag is no digest: it is encrypted ({info.sse or 'SSE-C'})")
        if looks_like_md5(info.etag):
            return self._by_md5(info)
        if not is_composite(info.etag) or not self._dialect.etag_is_composite:
            raise self._cannot(f"the store tells no digest of it, and its ETag {info.etag!r} is none")
        count = int(info.etag.rpartition("-")[2])
        if plan is not None:
            if plan.count != count:
                raise self._cannot(f"it was sent in {count} parts, not in {plan.count}")
            return self._by_composite(info, [plan])
        plans = likely_plans(self._stat.size, count, self._dialect.limits)
        if hint is not None and hint.count == count:
            plans = [hint, *(one for one in plans if one != hint)]
        return self._by_composite(info, plans[:tries])

    def by_receipt(self, info: ObjectInfo | None, receipt: ObjectReceipt) -> Identical:
        """Compare by a receipt: the object is the one it is about, and every part of the file is what was sent."""
        about, target = receipt.target, self._target
        if (about.endpoint, about.bucket, about.key) != (target.endpoint, target.bucket, target.key):
            raise self._cannot(f"the receipt is about {about} at {about.endpoint}")
        info = self._same_size(info)
        versions = {receipt.version_id, info.version_id}
        is_another = info.etag.lower() != receipt.etag.lower() or info.size != receipt.size
        if is_another or (None not in versions and len(versions) > 1):
            raise DataMismatch(
                f"the object {target} is not the one of the receipt",
                f"the receipt says ETag {receipt.etag}, version {receipt.version_id}; "
                f"the store has ETag {info.etag}, version {info.version_id}",
                f"another upload has replaced it: look at the object, or {self._upload}",
            )
        offset = 0
        for one in receipt.receipts:
            if one.md5 is None and one.crc64 is None:
                raise self._cannot("the receipt has no digests (--digest none)")
            digest = PartDigest(md5=one.md5 is not None, crc64=one.crc64 is not None)
            hash_part(self._path, Part(one.number, offset, one.size), digest, self._gate)
            offset += one.size
            if (digest.md5, digest.crc64) != (one.md5, one.crc64):
                raise self._differs(f"part {one.number} is not what was sent", info)
        self._check_unchanged()
        return Identical(info, "receipt", receipt.part_size, len(receipt.receipts))

    def _same_size(self, info: ObjectInfo | None) -> ObjectInfo:
        if info is None:
            raise DataMismatch(
                f"there is no object {self._target}",
                "the store answers that it has none under this key",
                self._upload,
            )
        if info.size != self._stat.size:
            raise self._differs(f"the file has {self._stat.size} bytes, the object {info.size}", info)
        return info

    def _is_opaque(self, info: ObjectInfo) -> bool:
        return self._has_customer_key or (info.sse or "AES256").upper() != "AES256"

    def _by_crc64(self, info: ObjectInfo, crc64: int) -> Identical:
        digest = PartDigest(crc64=True)
        hash_part(self._path, self._whole, digest, self._gate)
        self._check_unchanged()
        if digest.crc64 != crc64:
            raise self._differs(f"the file has the CRC-64 {digest.crc64}, the object {crc64}", info)
        return Identical(info, "crc64", self._stat.size, 1)

    def _by_md5(self, info: ObjectInfo) -> Identical:
        digest = PartDigest(md5=True)
        hash_part(self._path, self._whole, digest, self._gate)
        self._check_unchanged()
        if digest.md5 != info.etag.lower():
            raise self._differs(f"the file has the MD5 {digest.md5}, the object the ETag {info.etag}", info)
        return Identical(info, "etag", self._stat.size, 1)

    def _by_composite(self, info: ObjectInfo, plans: Sequence[Plan]) -> Identical:
        for batch in _in_batches(plans):
            for found in self._digests(batch):
                if found.etag == info.etag.lower():
                    return Identical(info, "etag", found.plan.part_size, found.plan.count)
        of_which = "this plan" if len(plans) == 1 else f"any of {len(plans)} likely plans"
        raise self._differs(
            f"the object's ETag {info.etag} is not that of the file in {of_which}",
            info,
            unless="where it was sent in parts of an unusual size, name that with --part-size; else ",
        )

    def _digests(self, plans: Sequence[Plan]) -> list[PlanDigest]:
        """Return the digests of *plans*, in one pass over the file."""
        digests = [PlanDigest(plan) for plan in plans]
        body = PartBody(self._path, self._whole, gate=self._gate)
        try:
            while block := body.read():
                for digest in digests:
                    digest.update(block)
        finally:
            body.close()
        self._check_unchanged()
        return digests

    @property
    def _whole(self) -> Part:
        return Part(1, 0, self._stat.size)

    def _check_unchanged(self) -> None:
        found = changes(self._stat, stat_source(self._path))
        if found:
            raise SourceChanged(
                f"{quoted(self._path)} changed while it was compared",
                f"what changed: {', '.join(found)}",
                "run the same command again once it is at rest",
            )

    def _differs(self, why: str, info: ObjectInfo, *, unless: str = "") -> DataMismatch:
        return DataMismatch(
            f"{quoted(self._path)} and the object {self._target} differ",
            f"{why} (last modified {info.last_modified or 'unknown'}; request id {info.request_id or 'none'})",
            unless + self._upload,
        )

    @property
    def _upload(self) -> str:
        return "upload it: " + shell_line(["obsup", "upload", self._path, self._target.name])

    def _cannot(self, why: str) -> CannotCompare:
        return CannotCompare(
            f"{quoted(self._path)} and the object {self._target} cannot be compared",
            why,
            "name the receipt that its upload wrote with --receipt, or the part size with --part-size",
        )


def find_identical(context: UploadContext, stat: SourceStat, plan: Plan) -> Identical | None:
    """Return the object that is there already with the source's content, None where there is none to be shown.

    *plan* is how the source would be sent. Few plans are tried: to send it may cost less than to guess.
    """
    info = context.store.head_object(context.request.target)
    if info is None or info.size != stat.size:
        return None
    comparison = Comparison(
        context.request.target,
        context.source,
        stat,
        dialect=context.dialect,
        gate=context.read_gate,
        encrypted_by_customer=context.request.encrypted_by_customer,
    )
    try:
        return comparison.by_object(info, hint=plan, tries=BATCHES[0] + BATCHES[1])
    except (DataMismatch, CannotCompare):
        return None


def _in_batches(plans: Sequence[Plan]) -> Iterable[Sequence[Plan]]:
    begin = 0
    for size in BATCHES:
        if begin < len(plans):
            yield plans[begin : begin + size]
        begin += size


def result_of_identical(request: UploadRequest, tally: ProgressTally, identical: Identical) -> Result:
    """Return the result of *request* where nothing was to be sent: the object was there already."""
    info = identical.info
    return Result(
        target=request.target,
        upload_id=info.upload_id,
        etag=info.etag,
        verified=identical.by,
        size=info.size,
        part_size=identical.part_size,
        parts=identical.parts,
        sent_parts=0,
        sent_bytes=0,
        seconds=tally.seconds,
        request_id=info.request_id,
        version_id=info.version_id,
    )

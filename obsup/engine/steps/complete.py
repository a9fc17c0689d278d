"""Complete an upload whose parts any machine may have sent: check the store's list, assemble, verify the object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Result
from obsup.engine.plan.file_plan import recorded_plan
from obsup.engine.proof.object_proof import Verified, composite_etag, looks_like_md5
from obsup.engine.proof.part_list import ExpectedParts, check_parts, parts_are
from obsup.engine.proof.part_proof import matches
from obsup.engine.steps.lookup import (
    FoundUpload,
    UploadSelector,
    find_completed_upload,
    find_upload,
    require_upload,
)
from obsup.engine.upload.complete import Completer, PartsRejected
from obsup.engine.verify.object_probe import FoundObject, find_object_of, probe_of
from obsup.errors import DataMismatch, NextStep, UploadGone, WrongUsage, run_again
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import hash_part
from obsup.local.source.identity import check_same_file, stat_source
from obsup.local.state import started_uploads
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import Part, Receipt, SourceStat, Stored, StoredPart, Upload
from obsup.store.answers.failure_table import as_error
from obsup.text import quoted
from obsup.value import Value


class CompletionChecks(Value):
    """What the user requires of the parts before they are assembled.

    ``count`` parts with a total of ``size`` bytes, with these ``etags`` by part number and no others.
    ``verify_source``: compare every part with the source, not only those that the checkpoint does not record.
    """

    count: int | None = None
    size: int | None = None
    etags: Mapping[int, str] | None = None
    verify_source: bool = False


class ManualCompletion:
    """Completes one upload. Raises DataMismatch, with the upload unchanged, if a check fails."""

    def __init__(self, context: UploadContext, selector: UploadSelector, checks: CompletionChecks) -> None:
        self._context = context
        self._selector = selector
        self._checks = checks

    def complete(self) -> Result:
        """Check the list of parts, assemble it, verify the object, and forget the upload.

        An upload that is already completed is a success if the object shows that this upload made it.
        """
        self._headers(None)  # invalid options fail before anything is sent
        with self._context.lock():
            selected = find_upload(self._selector)
            if selected is None:
                return self._completed_before() or self._complete(require_upload(self._selector))
            return self._complete(selected)

    def _complete(self, selected: FoundUpload) -> Result:
        selected.check_of_file()
        stat = self._stat_source(selected)
        try:
            listed = list(self._context.store.list_parts(selected.upload))
        except UploadGone:
            result = self._completed_before() or self._find_object(
                selected, self._known_etags(selected), self._known_size(selected)
            )
            if result is None:
                raise
            selected.forget()
            return result
        parts = check_parts(listed, self._expected_parts(selected, stat))
        return self._assemble(selected, self._receipts_for(selected, parts))

    def _stat_source(self, selected: FoundUpload) -> SourceStat | None:
        """Return the identity of the source. Raises SourceChanged if it differs from the checkpoint."""
        if self._selector.source is None:
            return None
        stat = stat_source(self._selector.source)
        if selected.checkpoint is not None:
            check_same_file(self._selector.source, selected.checkpoint.stat, stat)
        return stat

    def _expected_parts(self, selected: FoundUpload, stat: SourceStat | None) -> ExpectedParts:
        checkpoint, checks = selected.checkpoint, self._checks
        if stat is not None and checks.size not in (None, stat.size):
            raise DataMismatch(
                f"{quoted(str(self._selector.source))} has {stat.size} bytes",
                f"--expect-size is {checks.size}",
                NextStep("correct --expect-size, or the source"),
            )
        recorded = {one.number: one.etag for one in checkpoint.receipts.values()} if checkpoint else {}
        return ExpectedParts(
            plan=recorded_plan(checkpoint) if checkpoint else None,
            count=checks.count,
            size=stat.size if stat is not None else checks.size,
            etags=recorded if checks.etags is None else checks.etags,
            is_list=checks.etags is not None,
        )

    def _receipts_for(self, selected: FoundUpload, parts: Sequence[StoredPart]) -> list[Receipt]:
        """Return receipts for *parts*: the recorded ones, and those whose content matches the source.

        With neither checkpoint nor --verify-source the store's list is used as it is.
        """
        checkpoint, source = selected.checkpoint, self._selector.source
        recorded = checkpoint.receipts if checkpoint and not self._checks.verify_source else {}
        is_compared = checkpoint is not None or self._checks.verify_source
        receipts: list[Receipt] = []
        differing: list[int] = []
        for part, stored in _windows(parts):
            receipt = recorded.get(stored.number)
            if receipt is None and source is not None and is_compared:
                receipt = self._compare(source, part, stored)
            elif receipt is None:
                # The ETag is the store's; no MD5 was computed here.
                receipt = Receipt(stored.number, stored.size, stored.etag, None, stored.crc64)
            if receipt is None:
                differing.append(stored.number)
            else:
                receipts.append(receipt)
        if differing:
            raise DataMismatch(
                f"{parts_are(differing, 'does', 'do')} not match {quoted(str(source))}",
                "Their digests are not those of its bytes; the upload is unchanged",
                run_again("send these parts again"),
            )
        return receipts

    def _compare(self, source: Path, part: Part, stored: StoredPart) -> Receipt | None:
        digest = PartDigest(md5=True, crc64=stored.crc64 is not None)
        hash_part(source, part, digest, self._context.gate)
        shown = Stored(status=200, etag=stored.etag, crc64=stored.crc64)
        if matches(shown, digest, self._context.digests) is not True:
            return None
        return Receipt(stored.number, stored.size, stored.etag, digest.md5, digest.crc64)

    def _assemble(self, selected: FoundUpload, receipts: list[Receipt]) -> Result:
        context, upload = self._context, selected.upload
        size, etags = sum(one.size for one in receipts), [one.etag for one in receipts]
        completer = Completer(context, upload, probe_of(context, upload, receipts))
        parts = [(one.number, one.etag) for one in receipts]
        try:
            finished = completer.complete(parts, self._headers(selected.checkpoint), look_first=True)
        except PartsRejected as exc:
            raise as_error(exc.failure, doing=f"completing {upload.target}") from exc
        except UploadGone:
            result = self._find_object(selected, etags, size)
            if result is None:
                raise
        else:
            is_etag = finished.verified == "size" and finished.stored.etag.lower() == _etag_of(etags)
            verified: Verified = "etag" if is_etag else finished.verified
            result = Result.of(
                finished.stored,
                target=upload.target,
                upload_id=upload.upload_id,
                verified=verified,
                size=size,
                part_size=receipts[0].size,
                parts=len(receipts),
            )
        self._forget(selected, result)
        return result

    def _headers(self, checkpoint: Checkpoint | None) -> dict[str, str]:
        """Return the headers of Complete: those recorded when it was initiated, and those given now.

        Raises WrongUsage.
        """
        context = self._context
        if context.request.options.acl is not None and not context.dialect.acl_on_complete:
            raise WrongUsage(
                f"{context.dialect.title} does not accept --acl on complete",
                "It takes the ACL when an upload is initiated",
                run_again("leave it out here, and give it to obsup init", drop=("--acl",)),
            )
        recorded = checkpoint.completing if checkpoint is not None else {}
        return {**recorded, **context.headers("complete")}

    def _forget(self, selected: FoundUpload, result: Result) -> None:
        """Record which upload made the object, and forget the upload."""
        source = str(self._selector.source.absolute()) if self._selector.source is not None else None
        etag = result.etag.lower() or None
        started_uploads.finish(
            started_uploads.StartedUpload(
                selected.upload, source, None, self._context.clock(), etag, result.size
            )
        )
        selected.forget()

    def _completed_before(self) -> Result | None:
        """Return the object if this machine completed the selected upload before."""
        one = find_completed_upload(self._selector)
        if one is None:
            return None
        found = find_object_of(self._context.store, one.upload, size=one.size, etag=one.etag)
        return _result_of(one.upload, found)

    def _find_object(self, selected: FoundUpload, etags: Sequence[str], size: int | None) -> Result | None:
        """Return the object if this upload made it of parts with these *etags*."""
        etag = _etag_of(etags) if self._context.dialect.etag_is_composite else None
        found = find_object_of(self._context.store, selected.upload, size=size, etag=etag)
        return _result_of(selected.upload, found)

    def _known_size(self, selected: FoundUpload) -> int | None:
        return selected.checkpoint.stat.size if selected.checkpoint is not None else self._checks.size

    def _known_etags(self, selected: FoundUpload) -> list[str]:
        """Return the ETags of all parts that were confirmed when they were sent; none if not all are known."""
        checkpoint = selected.checkpoint
        if self._checks.etags is not None:
            return [etag for _, etag in sorted(self._checks.etags.items())]
        if checkpoint is None or len(checkpoint.receipts) < recorded_plan(checkpoint).count:
            return []
        return [one.etag for _, one in sorted(checkpoint.receipts.items())]


def _etag_of(etags: Sequence[str]) -> str | None:
    """Return the ETag that a store makes of these parts' ETags, None if they are not MD5s."""
    if not etags or not all(looks_like_md5(one) for one in etags):
        return None
    return composite_etag([one.lower() for one in etags])


def _result_of(upload: Upload, found: FoundObject | None) -> Result | None:
    """Return the result for an object that *upload* made before. Its ETag may show the number of parts."""
    if found is None:
        return None
    suffix = found.info.etag.rpartition("-")[2] if "-" in found.info.etag else ""
    count = int(suffix) if suffix.isascii() and suffix.isdigit() and int(suffix) else 1
    return Result.of(
        found.finished().stored,
        target=upload.target,
        upload_id=upload.upload_id,
        verified=found.verified,
        size=found.info.size,
        part_size=-(-found.info.size // count),
        parts=count,
    )


def _windows(parts: Sequence[StoredPart]) -> Iterator[tuple[Part, StoredPart]]:
    """Yield each stored part with its window on the source."""
    offset = 0
    for stored in parts:
        yield Part(stored.number, offset, stored.size), stored
        offset += stored.size

"""Completing an upload whose parts were sent by whomever: the store's list, proved whole, becomes the object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Finished, Result
from obsup.engine.plan.file_plan import FilePlan
from obsup.engine.proof.object_proof import Expected
from obsup.engine.proof.part_list import ExpectedParts, check_parts, parts_are
from obsup.engine.proof.part_proof import matches
from obsup.engine.steps.earlier_object import etag_of_parts, find_object_of, finished_from_here
from obsup.engine.steps.lookup import FoundUpload, UploadSelector, find_upload, require_upload
from obsup.engine.upload.complete import Completer, PartsRejected, expected_object
from obsup.errors import DataMismatch, UploadGone, WrongUsage
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import check_same_file, hash_part, stat_source
from obsup.local.state import started_uploads
from obsup.local.state.checkpoint import Checkpoint
from obsup.local.state.lock import UploadLock
from obsup.model import Part, Receipt, SourceStat, Stored, StoredPart, Upload
from obsup.store.answers.failure_table import as_error
from obsup.text import quoted
from obsup.value import Value


class CompletionChecks(Value):
    """What the user demands of the parts before they are assembled.

    ``count`` parts, together ``size`` bytes, with these ``etags`` by part number and no others. ``verify_source``:
    every part is compared with the source, not only those that the checkpoint does not vouch for.
    """

    count: int | None = None
    size: int | None = None
    etags: Mapping[int, str] | None = None
    verify_source: bool = False


class ManualCompletion:
    """Completes one upload. Raises DataMismatch, with the upload untouched, where the parts are not whole."""

    def __init__(self, context: UploadContext, selector: UploadSelector, checks: CompletionChecks) -> None:
        self._context = context
        self._selector = selector
        self._checks = checks

    def complete(self) -> Result:
        """Prove the list of parts, assemble it, prove the object, and forget the upload.

        An upload that is completed already is success where the object shows that it is this upload's.
        """
        request, stop = self._context.request, self._context.stop
        self._headers(None)  # what cannot be is said before anything is sent
        may_wait = request.if_running == "wait"
        with UploadLock(request.target, wait=may_wait, is_stopped=lambda: stop.reason is not None):
            found_upload = find_upload(self._selector)
            if found_upload is None:
                return self._earlier() or self._complete(require_upload(self._selector))
            return self._complete(found_upload)

    def _complete(self, found_upload: FoundUpload) -> Result:
        found_upload.check_of_file()
        stat = self._look_at_source(found_upload)
        try:
            listed = list(self._context.store.list_parts(found_upload.upload))
        except UploadGone:
            found = self._earlier() or self._look(
                found_upload, self._known_etags(found_upload), self._known_size(found_upload)
            )
            if found is None:
                raise
            found_upload.forget()
            return found
        parts = check_parts(listed, self._wanted(found_upload, stat))
        receipts = self._vouch(found_upload, parts)
        return self._assemble(found_upload, receipts)

    def _look_at_source(self, found_upload: FoundUpload) -> SourceStat | None:
        """Return the identity of the source. Raises SourceChanged where it is not the checkpoint's."""
        if self._selector.source is None:
            return None
        stat = stat_source(self._selector.source)
        if found_upload.checkpoint is not None:
            check_same_file(self._selector.source, found_upload.checkpoint.stat, stat)
        return stat

    def _wanted(self, found_upload: FoundUpload, stat: SourceStat | None) -> ExpectedParts:
        found, checks = found_upload.checkpoint, self._checks
        if stat is not None and checks.size not in (None, stat.size):
            raise DataMismatch(
                f"{quoted(str(self._selector.source))} has {stat.size} bytes",
                f"--expect-size says {checks.size}",
                "correct --expect-size, or the source",
            )
        recorded = {one.number: one.etag for one in found.receipts.values()} if found else {}
        return ExpectedParts(
            plan=FilePlan(found.stat.size, found.part_size) if found else None,
            count=checks.count,
            size=stat.size if stat is not None else checks.size,
            etags=recorded if checks.etags is None else checks.etags,
            is_list=checks.etags is not None,
        )

    def _vouch(self, found_upload: FoundUpload, parts: Sequence[StoredPart]) -> list[Receipt]:
        """Return receipts for *parts*: the recorded ones, and those that are found to be the source's.

        Where there is neither checkpoint nor --verify-source, the store's own list has to do.
        """
        found, source = found_upload.checkpoint, self._selector.source
        recorded = found.receipts if found is not None and not self._checks.verify_source else {}
        is_compared = found is not None or self._checks.verify_source
        receipts: list[Receipt] = []
        differing: list[int] = []
        for part, stored in _windows(parts):
            receipt = recorded.get(stored.number)
            if receipt is None and source is not None and is_compared:
                receipt = self._compare(source, part, stored)
            elif receipt is None:
                # The ETag is the store's word, not an MD5 of ours.
                receipt = Receipt(stored.number, stored.size, stored.etag, None, stored.crc64)
            if receipt is None:
                differing.append(stored.number)
            else:
                receipts.append(receipt)
        if differing:
            raise DataMismatch(
                f"{parts_are(differing)} not shown to be of {quoted(str(source))}",
                "their digests are not those of its bytes; the upload is left as it is",
                "send these parts again, then run the same command again",
            )
        return receipts

    def _compare(self, source: Path, part: Part, stored: StoredPart) -> Receipt | None:
        digest = PartDigest(md5=True, crc64=stored.crc64 is not None)
        hash_part(source, part, digest, self._context.gate)
        answer = Stored(status=200, etag=stored.etag, crc64=stored.crc64)
        if matches(answer, digest, self._context.digests) is not True:
            return None
        return Receipt(stored.number, stored.size, stored.etag, digest.md5, digest.crc64)

    def _assemble(self, found_upload: FoundUpload, receipts: list[Receipt]) -> Result:
        context, upload, found = self._context, found_upload.upload, found_upload.checkpoint
        size, etags = sum(one.size for one in receipts), [one.etag for one in receipts]
        expected = self._expect(upload, receipts, size)
        attempts = context.connection.attempts()
        completer = Completer(context.store, upload, expected, attempts, observe=context.observe)
        try:
            parts = [(one.number, one.etag) for one in receipts]
            finished = completer.complete(parts, self._headers(found), looks_first=True)
        except PartsRejected as exc:
            raise as_error(exc.failure, doing=f"completing {upload.target}") from exc
        except UploadGone:
            result = self._look(found_upload, etags, size)
            if result is None:
                raise
        else:
            result = self._result(upload, finished, receipts, size)
        self._close(found_upload, result)
        return result

    def _headers(self, found: Checkpoint | None) -> dict[str, str]:
        """Return what Complete carries: as the upload was begun, and as the user says now. Raises WrongUsage."""
        context = self._context
        if context.request.options.acl is not None and not context.dialect.acl_on_complete:
            raise WrongUsage(
                f"--acl comes too late for {context.dialect.title}",
                "it takes the ACL when an upload is initiated",
                "give --acl to obsup init",
            )
        return {**(found.completing if found is not None else {}), **context.headers("complete")}

    def _expect(self, upload: Upload, receipts: list[Receipt], size: int) -> Expected:
        context = self._context
        return expected_object(
            receipts, FilePlan(size, max(1, size)), upload, dialect=context.dialect, digests=context.digests
        )

    def _result(self, upload: Upload, finished: Finished, receipts: list[Receipt], size: int) -> Result:
        etag = etag_of_parts([one.etag for one in receipts])
        is_told = finished.verified == "size" and finished.stored.etag.lower() == etag
        return Result.of(
            finished.stored,
            target=upload.target,
            upload_id=upload.upload_id,
            verified="etag" if is_told else finished.verified,
            size=size,
            part_size=receipts[0].size,
            parts=len(receipts),
        )

    def _close(self, found_upload: FoundUpload, result: Result) -> None:
        """Remember which upload made the object, and forget the rest."""
        source = str(self._selector.source.absolute()) if self._selector.source is not None else None
        etag = result.etag.lower() or None
        started_uploads.finish(
            started_uploads.StartedUpload(
                found_upload.upload, source, None, self._context.clock(), etag, result.size
            )
        )
        found_upload.forget()

    def _earlier(self) -> Result | None:
        """Return the object where the upload that is meant was completed from this machine before."""
        done = finished_from_here(self._selector)
        return (
            find_object_of(self._context.store, done.upload, size=done.size, etag=done.etag) if done else None
        )

    def _look(self, found_upload: FoundUpload, etags: Sequence[str], size: int | None) -> Result | None:
        """Return the object where it is the one that this upload has made of parts with these *etags*."""
        etag = etag_of_parts(etags) if self._context.dialect.etag_is_composite else None
        return find_object_of(self._context.store, found_upload.upload, size=size, etag=etag)

    def _known_size(self, found_upload: FoundUpload) -> int | None:
        return found_upload.checkpoint.stat.size if found_upload.checkpoint is not None else self._checks.size

    def _known_etags(self, found_upload: FoundUpload) -> list[str]:
        """Return the ETags of all parts as they were confirmed when they were sent; none where not all are known."""
        found = found_upload.checkpoint
        if self._checks.etags is not None:
            return [etag for _, etag in sorted(self._checks.etags.items())]
        if found is None or len(found.receipts) < FilePlan(found.stat.size, found.part_size).count:
            return []
        return [one.etag for _, one in sorted(found.receipts.items())]


def _windows(parts: Sequence[StoredPart]) -> Iterator[tuple[Part, StoredPart]]:
    """Yield each stored part with the window on the source that it must be."""
    offset = 0
    for stored in parts:
        yield Part(stored.number, offset, stored.size), stored
        offset += stored.size

"""Completing an upload whose parts were sent by whomever: the store's list, proved whole, becomes the object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from obsup.engine.job.context import Task
from obsup.engine.job.result import Finished, Result
from obsup.engine.plan.file_plan import Plan
from obsup.engine.proof.object_proof import Expected
from obsup.engine.proof.part_list import Wanted, check_parts, parts_are
from obsup.engine.proof.part_proof import confirms
from obsup.engine.steps.earlier_object import etag_of_parts, finished_from_here, look
from obsup.engine.steps.lookup import Mention, Recalled, demand, recall
from obsup.engine.upload.complete import Finisher, PartsUnfit, expect
from obsup.errors import DataMismatch, UploadGone, WrongUsage
from obsup.frozen import frozen
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import check_same_file, hash_part, stat_source
from obsup.local.state import started_uploads
from obsup.local.state.checkpoint import Checkpoint
from obsup.local.state.lock import UploadLock
from obsup.model import Part, Receipt, SourceStat, Stored, StoredPart, Upload
from obsup.store.answers.failure_table import explain
from obsup.text import quoted


@frozen
class Demands:
    """What the user demands of the parts before they are assembled.

    ``count`` parts, together ``size`` bytes, with these ``etags`` by part number and no others. ``verify_source``:
    every part is compared with the source, not only those that the checkpoint does not vouch for.
    """

    count: int | None = None
    size: int | None = None
    etags: Mapping[int, str] | None = None
    verify_source: bool = False


class Assembly:
    """Completes one upload. Raises DataMismatch, with the upload untouched, where the parts are not whole."""

    def __init__(self, task: Task, mention: Mention, demands: Demands) -> None:
        self._task = task
        self._mention = mention
        self._demands = demands

    def complete(self) -> Result:
        """Prove the list of parts, assemble it, prove the object, and forget the upload.

        An upload that is completed already is success where the object shows that it is this upload's.
        """
        order, stop = self._task.order, self._task.stop
        self._headers(None)  # what cannot be is said before anything is sent
        is_patient = order.if_running == "wait"
        with UploadLock(order.target, wait=is_patient, stopped=lambda: stop.reason is not None):
            recalled = recall(self._mention)
            if recalled is None:
                return self._earlier() or self._complete(demand(self._mention))
            return self._complete(recalled)

    def _complete(self, recalled: Recalled) -> Result:
        recalled.check_of_file()
        stat = self._look_at_source(recalled)
        try:
            listed = list(self._task.store.list_parts(recalled.upload))
        except UploadGone:
            found = self._earlier() or self._look(
                recalled, self._known_etags(recalled), self._known_size(recalled)
            )
            if found is None:
                raise
            recalled.forget()
            return found
        parts = check_parts(listed, self._wanted(recalled, stat))
        receipts = self._vouch(recalled, parts)
        return self._assemble(recalled, receipts)

    def _look_at_source(self, recalled: Recalled) -> SourceStat | None:
        """Return the identity of the source. Raises SourceChanged where it is not the checkpoint's."""
        if self._mention.source is None:
            return None
        stat = stat_source(self._mention.source)
        if recalled.checkpoint is not None:
            check_same_file(self._mention.source, recalled.checkpoint.stat, stat)
        return stat

    def _wanted(self, recalled: Recalled, stat: SourceStat | None) -> Wanted:
        found, demands = recalled.checkpoint, self._demands
        if stat is not None and demands.size not in (None, stat.size):
            raise DataMismatch(
                f"{quoted(str(self._mention.source))} has {stat.size} bytes",
                f"--expect-size says {demands.size}",
                "correct --expect-size, or the source",
            )
        recorded = {one.number: one.etag for one in found.receipts.values()} if found else {}
        return Wanted(
            plan=Plan(found.stat.size, found.part_size) if found else None,
            count=demands.count,
            size=stat.size if stat is not None else demands.size,
            etags=recorded if demands.etags is None else demands.etags,
            is_list=demands.etags is not None,
        )

    def _vouch(self, recalled: Recalled, parts: Sequence[StoredPart]) -> list[Receipt]:
        """Return receipts for *parts*: the recorded ones, and those that are found to be the source's.

        Where there is neither checkpoint nor --verify-source, the store's own list has to do.
        """
        found, source = recalled.checkpoint, self._mention.source
        recorded = found.receipts if found is not None and not self._demands.verify_source else {}
        is_compared = found is not None or self._demands.verify_source
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
        hash_part(source, part, digest, self._task.gate)
        answer = Stored(status=200, etag=stored.etag, crc64=stored.crc64)
        if confirms(answer, digest, self._task.proving) is not True:
            return None
        return Receipt(stored.number, stored.size, stored.etag, digest.md5, digest.crc64)

    def _assemble(self, recalled: Recalled, receipts: list[Receipt]) -> Result:
        task, upload, found = self._task, recalled.upload, recalled.checkpoint
        size, etags = sum(one.size for one in receipts), [one.etag for one in receipts]
        expected = self._expect(upload, receipts, size)
        attempts = task.connection.attempts()
        finisher = Finisher(task.store, upload, expected, attempts, observe=task.observe)
        try:
            parts = [(one.number, one.etag) for one in receipts]
            finished = finisher.complete(parts, self._headers(found), looks_first=True)
        except PartsUnfit as exc:
            raise explain(exc.failure, doing=f"completing {upload.target}") from exc
        except UploadGone:
            result = self._look(recalled, etags, size)
            if result is None:
                raise
        else:
            result = self._result(upload, finished, receipts, size)
        self._close(recalled, result)
        return result

    def _headers(self, found: Checkpoint | None) -> dict[str, str]:
        """Return what Complete carries: as the upload was begun, and as the user says now. Raises WrongUsage."""
        task = self._task
        if task.order.options.acl is not None and not task.dialect.acl_on_complete:
            raise WrongUsage(
                f"--acl comes too late for {task.dialect.title}",
                "it takes the ACL when an upload is initiated",
                "give --acl to obsup init",
            )
        return {**(found.completing if found is not None else {}), **task.headers("complete")}

    def _expect(self, upload: Upload, receipts: list[Receipt], size: int) -> Expected:
        task = self._task
        return expect(receipts, Plan(size, max(1, size)), upload, dialect=task.dialect, proving=task.proving)

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
            sent_parts=0,
            sent_bytes=0,
            seconds=0.0,
        )

    def _close(self, recalled: Recalled, result: Result) -> None:
        """Remember which upload made the object, and forget the rest."""
        source = str(self._mention.source.absolute()) if self._mention.source is not None else None
        etag = result.etag.lower() or None
        started_uploads.finish(
            started_uploads.Entry(recalled.upload, source, None, self._task.clock(), etag, result.size)
        )
        recalled.forget()

    def _earlier(self) -> Result | None:
        """Return the object where the upload that is meant was completed from this machine before."""
        done = finished_from_here(self._mention)
        return look(self._task.store, done.upload, size=done.size, etag=done.etag) if done else None

    def _look(self, recalled: Recalled, etags: Sequence[str], size: int | None) -> Result | None:
        """Return the object where it is the one that this upload has made of parts with these *etags*."""
        etag = etag_of_parts(etags) if self._task.dialect.etag_is_composite else None
        return look(self._task.store, recalled.upload, size=size, etag=etag)

    def _known_size(self, recalled: Recalled) -> int | None:
        return recalled.checkpoint.stat.size if recalled.checkpoint is not None else self._demands.size

    def _known_etags(self, recalled: Recalled) -> list[str]:
        """Return the ETags of all parts as they were confirmed when they were sent; none where not all are known."""
        found = recalled.checkpoint
        if self._demands.etags is not None:
            return [etag for _, etag in sorted(self._demands.etags.items())]
        if found is None or len(found.receipts) < Plan(found.stat.size, found.part_size).count:
            return []
        return [one.etag for _, one in sorted(found.receipts.items())]


def _windows(parts: Sequence[StoredPart]) -> Iterator[tuple[Part, StoredPart]]:
    """Yield each stored part with the window on the source that it must be."""
    offset = 0
    for stored in parts:
        yield Part(stored.number, offset, stored.size), stored
        offset += stored.size

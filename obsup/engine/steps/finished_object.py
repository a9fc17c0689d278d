"""The object of an upload that is completed already: it must pass the same checks as an upload that is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Result, response_fields
from obsup.engine.plan.file_plan import FilePlan, recorded_plan
from obsup.engine.proof.object_proof import Verified, etag_of, is_composite, lacks_mark, mark_of
from obsup.engine.proof.part_list import WrongParts
from obsup.engine.steps.completion_checks import CompletionChecks, PartsCheck
from obsup.engine.verify.comparison import CannotCompare, Comparison
from obsup.engine.verify.made_object import find_object_of
from obsup.engine.verify.object_probe import FoundObject, probe_of
from obsup.errors import DataMismatch, NextStep
from obsup.local.state.checkpoint import Checkpoint
from obsup.local.state.started_uploads import StartedUpload
from obsup.model import ObjectInfo, Receipt, Upload
from obsup.text import quoted
from obsup.units import counted
from obsup.value import Value


class FinishedObject(Value):
    """Finds the object that *upload* made, and applies *checks* to it.

    *finished* is this machine's record of the completed upload, *checkpoint* that of an interrupted Complete; both may
    be missing. They have the list of parts. Without it the object itself must show what is required.
    """

    context: UploadContext
    upload: Upload
    finished: StartedUpload | None
    checkpoint: Checkpoint | None

    def check(self, parts_check: PartsCheck, checks: CompletionChecks) -> Result | None:
        """Return the object if it is this upload's and passes all checks, None if it is not shown to be this upload's.

        Raises DataMismatch if a check fails or, for an object of this upload, cannot be made.
        """
        finished, receipts = self.finished, self.receipts
        if finished is not None and finished.parts:
            found = self._find(finished.size, finished.etag)
        elif receipts:
            probe = probe_of(self.context, self.upload, receipts, parts_check.stat)
            found = probe.find(by_mark=self.checkpoint is not None and self.checkpoint.is_complete_sent)
        else:
            return self._check_by_object(parts_check, checks)
        if found is None:
            return None
        try:
            listed = [one.listed for one in receipts]
            parts_check.receipts(listed, self.checkpoint, own={one.number: one for one in receipts})
        except DataMismatch as exc:
            raise self._does_not_pass(exc.faults if isinstance(exc, WrongParts) else [exc.what]) from exc
        if None not in (parts_check.crc64, found.info.crc64):
            if parts_check.crc64 != found.info.crc64:
                raise self._does_not_pass(
                    [f"its CRC-64 is {found.info.crc64}, that of SOURCE {parts_check.crc64}"]
                )
            parts_check.doubt = ""
        return result_of(self.upload, found)

    @property
    def receipts(self) -> Sequence[Receipt]:
        """The parts that are recorded, in order; empty if one is missing."""
        if self.finished is not None and self.finished.parts:
            return self.finished.parts
        checkpoint = self.checkpoint
        if checkpoint is None or len(checkpoint.receipts) < recorded_plan(checkpoint).count:
            return ()
        return [receipt for _, receipt in sorted(checkpoint.receipts.items())]

    def _find(self, size: int | None, etag: str | None) -> FoundObject | None:
        return find_object_of(self.context.store, self.upload, size=size, etag=etag)

    def _check_by_object(self, parts_check: PartsCheck, checks: CompletionChecks) -> Result | None:
        """Check the object without a list of its parts: its size, its number of parts, its ETag and its content."""
        recorded = self.finished.etag if self.finished is not None else None
        etags = [etag for _, etag in sorted((checks.etags or {}).items())]
        listed = etag_of(etags) if self.context.dialect.etag_is_composite else None
        found = self._find(None, recorded) or self._find(parts_check.size, listed)
        info = found.info if found is not None else self.context.store.head_object(self.upload.target)
        if info is None or (found is None and lacks_mark(mark_of(self.upload), info)):
            return None
        faults = [*_size_faults(info, parts_check.size), *_count_faults(info, checks)]
        faults += _etag_faults(info, checks.etags, listed)
        by = self._compare(info, parts_check, checks, faults)
        if found is None and (by is None or faults):
            return None
        if faults:
            raise self._does_not_pass(faults)
        if found is None and by is not None:
            found = FoundObject(info, by, is_marked=False)
        return result_of(self.upload, found)

    def _does_not_pass(self, faults: Sequence[str]) -> DataMismatch:
        return DataMismatch(
            f"the object of the completed upload {self.upload.upload_id} fails a check: {'; '.join(faults)}",
            "The object of a completed upload must pass the same checks as the parts of an open one",
            NextStep("check the object, SOURCE and the options; nothing was changed"),
        )

    def _compare(
        self, info: ObjectInfo, parts_check: PartsCheck, checks: CompletionChecks, faults: list[str]
    ) -> Verified | None:
        """Return what verifies that the content is that of the source, None without one; a difference is a fault."""
        source, stat = parts_check.source, parts_check.stat
        if source is None or stat is None or faults:
            return None
        context = self.context
        comparison = Comparison(
            context.request, source, stat, dialect=context.dialect, gate=context.read_gate
        )
        count = checks.count or _part_count(info)
        hint = FilePlan(stat.size, -(-stat.size // count)) if count and stat.size else None
        try:
            return comparison.by_object(info, hint=hint).by
        except DataMismatch as exc:
            is_guess = info.crc64 is None and info.checksum is None and is_composite(info.etag)
            likely = f"its ETag {info.etag} is not that of {quoted(str(source))} in any likely part size"
            faults.append(likely if is_guess and info.size == stat.size else exc.what)
        except CannotCompare as exc:
            if checks.verify_source:
                faults.append(exc.what)
            else:
                parts_check.doubt_unless_listed(f"{exc}; its size is right")
        return None


def result_of(upload: Upload, found: FoundObject | None) -> Result | None:
    """Return the result for an object that *upload* made before. Its ETag may show the number of parts."""
    if found is None:
        return None
    count = _part_count(found.info) or 1
    return Result(
        target=upload.target,
        upload_id=upload.upload_id,
        verified=found.verified,
        size=found.info.size,
        part_size=-(-found.info.size // count),
        parts=count,
        lock=found.info.lock,
        **response_fields(found.finished().stored),
    )


def _part_count(info: ObjectInfo) -> int | None:
    """Return the number of parts that the ETag shows, None if it shows none."""
    suffix = info.etag.rpartition("-")[2] if "-" in info.etag else ""
    return int(suffix) if suffix.isascii() and suffix.isdigit() and len(suffix) < 6 and int(suffix) else None


def _size_faults(info: ObjectInfo, size: int | None) -> list[str]:
    return [] if size in (None, info.size) else [f"it has {counted(info.size, 'byte')}, not {size}"]


def _count_faults(info: ObjectInfo, checks: CompletionChecks) -> list[str]:
    counts = {checks.count, len(checks.etags) if checks.etags is not None else None} - {None}
    shown = _part_count(info)
    if not counts:
        return []
    if shown is None:
        return ["the store does not show its number of parts"]
    return [f"it has {counted(shown, 'part')}, not {count}" for count in counts if count != shown]


def _etag_faults(info: ObjectInfo, etags: Mapping[int, str] | None, expected: str | None) -> list[str]:
    if etags is None or (expected is not None and info.etag.lower() == expected):
        return []
    if expected is None:
        return ["its ETag is not made of the ETags of its parts, so the given list cannot be compared"]
    return ["its ETag is not that of the given list of parts"]

"""Send the missing parts of a file, complete the upload, and send parts again that were rejected or have changed."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.context import UploadContext
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.result import Finished, report_start
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE, FilePlan, Plan, fit_part_size
from obsup.engine.send.part import PartToSend
from obsup.engine.send.sender import PartSender
from obsup.engine.upload.complete import PartsRejected, complete
from obsup.engine.upload.progress_record import ProgressRecord
from obsup.engine.upload.resume import reconcile, resume
from obsup.engine.verify.object_probe import find_completed
from obsup.errors import UNAVAILABLE, SourceChanged, SourceUnreadable, UploadGone
from obsup.local.source.identity import CHANGE_TIME, changes, check_unchanged, stat_source, stat_when_stable
from obsup.model import Part
from obsup.store.answers.failure_table import as_error

# How often Complete may reject parts, and a source may change, before the upload fails.
MAX_ROUNDS = 3

# No store is known that accepts fewer.
MAX_PARTS_EVERYWHERE = 1000


class SendLoop:
    """Sends the parts of one upload with *sender*, in as many rounds as needed."""

    def __init__(self, context: UploadContext, tally: ProgressTally, sender: PartSender) -> None:
        self._context = context
        self._tally = tally
        self._sender = sender

    def run(self, record: ProgressRecord, plan: Plan) -> tuple[Finished, Plan]:
        """Send what is missing, and complete; again if parts are rejected, or if the source changes and may do so.

        Returns the object and its final plan; the record has the identity of the source that was sent. Raises as
        ``Uploader.run`` does.
        """
        for left in reversed(range(MAX_ROUNDS)):
            try:
                self._send_missing(record, plan)
                check_unchanged(self._context.source, record.checkpoint.stat)
                return complete(self._context, record.upload, record.receipts, plan), plan
            except PartsRejected as exc:
                plan = self._repair(record, plan, exc, is_last=not left)
            except SourceChanged:
                if not left or not self._may_follow(record):
                    raise
                plan = self._follow_source(record)
            except UploadGone:
                # Another process completed or aborted it.
                stat = stat_source(self._context.source)
                finished = find_completed(self._context, record.checkpoint, stat)
                if finished is None:
                    raise
                record.replace_checkpoint(replace(record.checkpoint, stat=stat))
                return finished, plan
        raise AssertionError("the last round returns or raises")

    def _repair(self, record: ProgressRecord, plan: Plan, rejected: PartsRejected, *, is_last: bool) -> Plan:
        """Remove the receipts of parts that must be sent again. Raises DataMismatch if that was done before."""
        larger = fit_part_size(plan.size, DEFAULT_PART_SIZE, self._context.dialect.limits)
        if is_last or (rejected.are_too_small and plan.part_size >= larger):
            target = self._context.request.target
            raise as_error(rejected.failure, doing=f"completing {target}") from rejected
        checkpoint = record.checkpoint
        if not rejected.are_too_small:
            try:
                record.receipts = reconcile(self._context, checkpoint, checkpoint.stat, plan, must_list=True)
            except UNAVAILABLE:
                record.receipts = {}  # nothing shows which part is wrong
            return plan
        self._tally(
            events.Noted(
                f"this bucket requires larger parts: sending everything again in parts of {larger} bytes"
            )
        )
        record.replace_checkpoint(
            replace(checkpoint, part_size=larger, receipts={}, enlarged_from=plan.part_size)
        )
        record.write()
        plan = FilePlan(plan.size, larger)
        report_start(self._tally, plan, {})
        return plan

    def _may_follow(self, record: ProgressRecord) -> bool:
        """Return whether to continue with a source that changed: if requested, or if only its change time differs.

        A rename of a link or a chmod changes that too: the comparison with the stored parts decides.
        """
        try:
            stat = stat_source(self._context.source)
        except SourceUnreadable:
            return False
        is_requested = self._context.request.on_change == "resend"
        return is_requested or changes(record.checkpoint.stat, stat) == [CHANGE_TIME]

    def _follow_source(self, record: ProgressRecord) -> Plan:
        """Continue with the source as it is now: keep the stored parts that still match it."""
        stat = stat_when_stable(self._context.source)
        self._context = self._context.read_source(stat)
        fresh, plan = resume(self._context, record.checkpoint, stat, None)
        record.replace_checkpoint(fresh.checkpoint)
        report_start(self._tally, plan, record.receipts)
        return plan

    def _send_missing(self, record: ProgressRecord, plan: Plan) -> None:
        missing = self._missing_parts(record, plan)
        try:
            self._sender.send_parts(self._context, self._tally, missing, record.add)
        finally:
            record.flush()

    def _missing_parts(self, record: ProgressRecord, plan: Plan) -> Iterator[PartToSend]:
        stat, source = record.checkpoint.stat, str(self._context.source)
        digests, content_md5 = self._context.digests, self._context.request.content_md5
        for part in _in_order(plan):
            if part.number not in record.receipts:
                yield PartToSend(record.upload, part, source, stat, digests, content_md5)


def _in_order(plan: Plan) -> Iterator[Part]:
    """Yield the parts of *plan*; of many, the last comes first: a store with a lower part limit rejects it at once."""
    if plan.count <= MAX_PARTS_EVERYWHERE:
        yield from plan.parts()
        return
    yield plan.part(plan.count)
    for number in range(1, plan.count):
        yield plan.part(number)

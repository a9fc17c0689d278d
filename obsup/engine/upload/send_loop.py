"""The upload of a file in parts, once it stands: send what is missing, complete, and mend what turns out unfit."""

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
from obsup.engine.upload.starting_point import find_finished
from obsup.errors import SourceChanged, SourceUnreadable, UploadGone
from obsup.local.source.file import CHANGE_TIME, changes, check_unchanged, stat_source, stat_when_stable
from obsup.store.answers.failure_table import as_error

# How often Complete may find parts unfit, and how often a source may change, before that is the result.
MAX_ROUNDS = 3


class SendLoop:
    """Sends the parts of *context* through *sender*, in as many rounds as it takes."""

    def __init__(self, context: UploadContext, tally: ProgressTally, sender: PartSender) -> None:
        self._context = context
        self._tally = tally
        self._sender = sender

    def run(self, record: ProgressRecord, plan: Plan) -> tuple[Finished, Plan]:
        """Send what is missing, and complete; again where parts turn out unfit or the source may change.

        Returns the object with the plan that it has in the end. Raises as ``Uploader.run`` does.
        """
        for left in reversed(range(MAX_ROUNDS)):
            try:
                self._send_missing(record, plan)
                return self._finish(record, plan), plan
            except PartsRejected as exc:
                plan = self._mend(record, plan, exc, is_last=not left)
            except SourceChanged:
                if not left or not self._may_follow(record):
                    raise
                plan = self._follow_source(record)
            except UploadGone:
                # Somebody else completed it, or it was aborted.
                found = find_finished(self._context, record.checkpoint, stat_source(self._context.source))
                if found is None:
                    raise
                return found, plan
        raise AssertionError("the last round returns or raises")

    def _mend(self, record: ProgressRecord, plan: Plan, unfit: PartsRejected, *, is_last: bool) -> Plan:
        """Have the parts sent again that Complete found unfit. Raises DataMismatch where that was done already."""
        larger = fit_part_size(plan.size, DEFAULT_PART_SIZE, self._context.dialect.limits)
        if is_last or (unfit.are_too_small and plan.part_size >= larger):
            raise as_error(unfit.failure, doing=f"completing {self._context.request.target}") from unfit
        checkpoint = record.checkpoint
        if not unfit.are_too_small:
            record.receipts = reconcile(self._context, checkpoint, checkpoint.stat, plan)
            return plan
        self._tally(
            events.Noted(f"this bucket wants larger parts: all is sent again in parts of {larger} bytes")
        )
        record.replace_checkpoint(
            replace(checkpoint, part_size=larger, receipts={}, enlarged_from=plan.part_size)
        )
        record.write()
        plan = FilePlan(plan.size, larger)
        report_start(self._tally, plan, {})
        return plan

    def _may_follow(self, record: ProgressRecord) -> bool:
        """Return whether to go on with a source that changed: asked for, or only its change time tells of it.

        A rename of a link or a chmod moves that as well as a write: what is stored is compared, and decides.
        """
        try:
            now = stat_source(self._context.source)
        except SourceUnreadable:
            return False
        return self._context.request.on_change == "resend" or changes(record.checkpoint.stat, now) == [
            CHANGE_TIME
        ]

    def _follow_source(self, record: ProgressRecord) -> Plan:
        """Take the source as it is now: what is stored and still the same stays, the rest is to be sent again."""
        stat = stat_when_stable(self._context.source)
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
        for part in plan.parts():
            if part.number not in record.receipts:
                yield PartToSend(
                    record.upload,
                    part,
                    source,
                    stat,
                    self._context.digests,
                    self._context.request.content_md5,
                )

    def _finish(self, record: ProgressRecord, plan: Plan) -> Finished:
        check_unchanged(self._context.source, record.checkpoint.stat)
        return complete(self._context, record.upload, record.receipts, plan)

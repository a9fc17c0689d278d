"""Send the missing parts of a file, complete the upload, and send parts again that were rejected."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from obsup.engine.job.context import UploadContext
from obsup.engine.job.executor_spec import LOCAL_EXECUTORS
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.result import Finished, report_start
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE, FilePlan, Plan, fit_part_size
from obsup.engine.send.part import PartToSend
from obsup.engine.send.sender import PartSender
from obsup.engine.upload.complete import PartsRejected, complete
from obsup.engine.upload.other_sender import sent_here
from obsup.engine.upload.progress_record import ProgressRecord
from obsup.engine.upload.resume import reconcile
from obsup.engine.verify.earlier_object import find_completed
from obsup.errors import UNAVAILABLE, UploadGone
from obsup.local.source.file import check_sent
from obsup.local.source.identity import check_unchanged, ignores_times, stat_source
from obsup.local.source.part_md5s import in_groups
from obsup.model import Part
from obsup.store.answers.failure_table import as_error
from obsup.units import exact_size

# How often Complete may reject parts before the upload fails.
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
        """Send what is missing, and complete; again if parts are rejected.

        Returns the object and its final plan; the record has the identity of the source that was sent. Raises as
        ``Uploader.run`` does.
        """
        self._context.connection.learned.add(sent_here(record.upload))
        try:
            return self._run_rounds(record, plan)
        finally:
            record.flush()

    def _run_rounds(self, record: ProgressRecord, plan: Plan) -> tuple[Finished, Plan]:
        for left in reversed(range(MAX_ROUNDS)):
            try:
                self._send_missing(record, plan)
                self._check_source(record, plan)
                return complete(self._context, record, plan, stat=record.checkpoint.stat), plan
            except PartsRejected as exc:
                plan = self._repair(record, plan, exc, is_last=not left)
            except UploadGone:
                # Another process completed or aborted it.
                stat = stat_source(self._context.source, self._context.request.link_free)
                finished = find_completed(self._context, record.checkpoint, stat, by_mark=False)
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
        self._context.note(
            f"this bucket requires larger parts: sending everything again in parts of {exact_size(larger)}"
        )
        record.replace_checkpoint(
            replace(checkpoint, part_size=larger, receipts={}, enlarged_from=plan.part_size)
        )
        record.write()
        plan = FilePlan(plan.size, larger)
        report_start(self._tally, plan, {})
        return plan

    def _check_source(self, record: ProgressRecord, plan: Plan) -> None:
        """Raise SourceChanged if the source is not the one whose parts were sent."""
        context, stat = self._context, self._context.planned(record.checkpoint.stat)
        check_unchanged(context.source, stat)
        if not ignores_times(stat):
            return
        sent = [(plan.part(number), receipt) for number, receipt in sorted(record.receipts.items())]
        check_sent(context.source, stat, sent, context.read_gate)

    def _send_missing(self, record: ProgressRecord, plan: Plan) -> None:
        """Send what is missing. The checkpoint is written later: ``complete`` does that in any case."""
        missing = self._missing_parts(record, plan)
        with record.kept_current():
            self._sender.send_parts(self._context, self._tally, missing, record.add)

    def _missing_parts(self, record: ProgressRecord, plan: Plan) -> Iterator[PartToSend]:
        stat, source = self._context.planned(record.checkpoint.stat), str(self._context.source)
        context, request = self._context, self._context.request
        parts = (part for part in _in_order(plan) if part.number not in record.receipts)
        # Workers elsewhere hash what they send.
        is_grouped = request.executor in LOCAL_EXECUTORS and context.digests.of_upload(record.upload).md5
        for part, group in in_groups(context.source, stat, parts, context.read_gate, is_on=is_grouped):
            yield PartToSend(
                record.upload,
                part,
                source,
                stat,
                context.digests,
                request.content_md5,
                request.link_free,
                context.encryption_of_parts,
                group,
            )


def _in_order(plan: Plan) -> Iterator[Part]:
    """Yield the parts of *plan*; of many, the last comes first: a store with a lower part limit rejects it at once."""
    if plan.count <= MAX_PARTS_EVERYWHERE:
        yield from plan.parts()
        return
    yield plan.part(plan.count)
    for number in range(1, plan.count):
        yield plan.part(number)

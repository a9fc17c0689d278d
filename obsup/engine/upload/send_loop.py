"""The upload of a file in parts, once it stands: send what is missing, complete, and mend what turns out unfit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from obsup import events
from obsup.engine.job.context import Task
from obsup.engine.job.progress import Tally
from obsup.engine.job.result import Finished, announce
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE, Plan, fit_part_size
from obsup.engine.send.part import PartJob
from obsup.engine.send.sender import Sender
from obsup.engine.upload.complete import PartsUnfit, complete
from obsup.engine.upload.progress_record import Ledger
from obsup.engine.upload.resume import reconcile, resume
from obsup.engine.upload.starting_point import find_finished
from obsup.errors import SourceChanged, SourceUnreadable, UploadGone
from obsup.local.source.file import CHANGE_TIME, changes, check_unchanged, stat_at_rest, stat_source
from obsup.store.answers.failure_table import explain

# How often Complete may find parts unfit, and how often a source may change, before that is the result.
ROUNDS = 3


class Rounds:
    """Sends the parts of *task* through *sender*, in as many rounds as it takes."""

    def __init__(self, task: Task, tally: Tally, sender: Sender) -> None:
        self._task = task
        self._tally = tally
        self._sender = sender

    def run(self, ledger: Ledger, plan: Plan) -> tuple[Finished, Plan]:
        """Send what is missing, and complete; again where parts turn out unfit or the source may change.

        Returns the object with the plan that it has in the end. Raises as ``Uploader.run`` does.
        """
        for left in reversed(range(ROUNDS)):
            try:
                self._send_missing(ledger, plan)
                return self._finish(ledger, plan), plan
            except PartsUnfit as exc:
                plan = self._mend(ledger, plan, exc, is_last=not left)
            except SourceChanged:
                if not left or not self._may_follow(ledger):
                    raise
                plan = self._follow_source(ledger)
            except UploadGone:
                # Somebody else completed it, or it was aborted.
                found = find_finished(self._task, ledger.checkpoint, stat_source(self._task.source))
                if found is None:
                    raise
                return found, plan
        raise AssertionError("the last round returns or raises")

    def _mend(self, ledger: Ledger, plan: Plan, unfit: PartsUnfit, *, is_last: bool) -> Plan:
        """Have the parts sent again that Complete found unfit. Raises DataMismatch where that was done already."""
        larger = fit_part_size(plan.size, DEFAULT_PART_SIZE, self._task.dialect.limits)
        if is_last or (unfit.are_too_small and plan.part_size >= larger):
            raise explain(unfit.failure, doing=f"completing {self._task.order.target}") from unfit
        checkpoint = ledger.checkpoint
        if not unfit.are_too_small:
            ledger.receipts = reconcile(self._task, checkpoint, checkpoint.stat, plan)
            return plan
        self._tally(
            events.Noted(f"this bucket wants larger parts: all is sent again in parts of {larger} bytes")
        )
        ledger.rebase(replace(checkpoint, part_size=larger, receipts={}, enlarged_from=plan.part_size))
        ledger.write()
        plan = Plan(plan.size, larger)
        announce(self._tally, plan, {})
        return plan

    def _may_follow(self, ledger: Ledger) -> bool:
        """Return whether to go on with a source that changed: asked for, or only its change time tells of it.

        A rename of a link or a chmod moves that as well as a write: what is stored is compared, and decides.
        """
        try:
            now = stat_source(self._task.source)
        except SourceUnreadable:
            return False
        return self._task.order.on_change == "resend" or changes(ledger.checkpoint.stat, now) == [CHANGE_TIME]

    def _follow_source(self, ledger: Ledger) -> Plan:
        """Take the source as it is now: what is stored and still the same stays, the rest is to be sent again."""
        stat = stat_at_rest(self._task.source)
        fresh, plan = resume(self._task, ledger.checkpoint, stat, None)
        ledger.rebase(fresh.checkpoint)
        announce(self._tally, plan, ledger.receipts)
        return plan

    def _send_missing(self, ledger: Ledger, plan: Plan) -> None:
        missing = self._missing_parts(ledger, plan)
        try:
            self._sender.send_parts(self._task, self._tally, missing, ledger.add)
        finally:
            ledger.settle()

    def _missing_parts(self, ledger: Ledger, plan: Plan) -> Iterator[PartJob]:
        stat, source = ledger.checkpoint.stat, str(self._task.source)
        for part in plan.parts():
            if part.number not in ledger.receipts:
                yield PartJob(
                    ledger.upload, part, source, stat, self._task.proving, self._task.order.content_md5
                )

    def _finish(self, ledger: Ledger, plan: Plan) -> Finished:
        check_unchanged(self._task.source, ledger.checkpoint.stat)
        return complete(self._task, ledger.upload, ledger.receipts, plan)

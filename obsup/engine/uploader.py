"""One upload from beginning to end: lock, plan, initiate or resume, send, complete, prove."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from obsup import events
from obsup.engine.connect import Connection
from obsup.engine.crew import check_crew
from obsup.engine.finish import Finished, PartsUnfit, complete
from obsup.engine.ground import find_finished, is_split_asked, stand
from obsup.engine.ledger import Ledger, check_place, load_checkpoint
from obsup.engine.order import Order, Result
from obsup.engine.outcome import outcome, outcome_of_nothing
from obsup.engine.plan import DEFAULT_PART_SIZE, Plan, fit_part_size, make_plan
from obsup.engine.progress import Tally
from obsup.engine.receipt import with_receipt
from obsup.engine.resume import give_up, reconcile, resume
from obsup.engine.sender import OwnCrew, Sender
from obsup.engine.stop import StopSignal
from obsup.engine.task import Task
from obsup.engine.verify import find_identical
from obsup.engine.worker import PartJob
from obsup.errors import Busy, SourceChanged, SourceUnreadable, Stopped, UploadGone
from obsup.local.checkpoint import Checkpoint
from obsup.local.lock import UploadLock
from obsup.local.source import (
    CHANGE_TIME,
    Gate,
    changes,
    check_readable,
    check_unchanged,
    stat_at_rest,
    stat_source,
)
from obsup.model import Receipt, SourceStat, Upload
from obsup.store.verdicts import explain

T = TypeVar("T")

# How often Complete may find parts unfit, and how often a source may change, before that is the result.
ROUNDS = 3


class Uploader:
    """Carries out one Order at an open store. Raises ObsupError; whatever it raises, progress is kept.

    *limit* is asked, before bytes are sent, how many of so many may go now (a rate limit). *sender* sends them: a crew
    of the upload's own, or one that several share.
    """

    def __init__(
        self,
        connection: Connection,
        order: Order,
        *,
        tally: Tally | None = None,
        stop: StopSignal | None = None,
        limit: Gate | None = None,
        sender: Sender | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._order = order
        self._tally = tally or Tally(None)
        self._stop = stop or StopSignal()
        self._sender = sender or OwnCrew()
        self._task = Task(connection, order, self._tally, self._stop, limit, clock)

    def run(self) -> Result:
        """Upload, and return once the object is in place and proved."""
        return with_receipt(self._order, self._tally, lambda: self._hold(self._run_locked))

    def initiate(self) -> tuple[Checkpoint, Plan]:
        """Begin the upload, or find it where it was begun, and return its checkpoint and its plan; send nothing."""
        return self._hold(self._initiate_locked)

    def _hold(self, work: Callable[[SourceStat, Plan], T]) -> T:
        """Return what *work* returns, called with the source's identity and its plan while the upload is held."""
        task, order, stop = self._task, self._order, self._stop
        try:
            check_place(order)
            stat = stat_at_rest(order.source)
            check_readable(order.source)
            plan = make_plan(stat.size, task.dialect.limits, parts=order.parts, part_size=order.part_size)
            task.headers("initiate")  # what cannot be is said before anything is sent
            check_crew(task)
            is_patient = order.if_running == "wait"
            with UploadLock(order.target, wait=is_patient, stopped=lambda: stop.reason is not None):
                return work(stat, plan)
        except (Stopped, Busy):
            stop.check()  # a wait that was cut short is not why the work ends
            raise

    def _initiate_locked(self, stat: SourceStat, plan: Plan) -> tuple[Checkpoint, Plan]:
        ground = stand(self._task, self._found(), stat, plan)
        return ground.ledger.checkpoint, ground.plan

    def _found(self) -> Checkpoint | None:
        """Return the checkpoint to go on with; with --restart its upload is given up instead."""
        found = load_checkpoint(self._task)
        if found is not None and self._order.restart:
            give_up(self._task, found)
            return None
        return found

    def _run_locked(self, stat: SourceStat, plan: Plan) -> Result:
        self._order.expect.check_file(self._task.source, stat, self._task.read_gate)
        identical = find_identical(self._task, stat, plan) if self._order.skip_identical else None
        if identical is not None:
            return outcome_of_nothing(self._order, self._tally, identical)
        found = self._found()
        if found is None and self._fits_one_request(plan):
            return self._put(stat)
        ground = stand(self._task, found, stat, plan)
        ledger, plan, finished = ground.ledger, ground.plan, ground.finished
        self._announce(plan, ledger.receipts)
        if finished is None:
            finished, plan = self._send_and_finish(ledger, plan)
        ledger.remove()
        return self._result(ledger.upload, plan, finished)

    def _put(self, stat: SourceStat) -> Result:
        """Send the source in one request; again where it changed meanwhile and the order says so."""
        for left in reversed(range(ROUNDS)):
            plan = Plan(stat.size, max(stat.size, DEFAULT_PART_SIZE))
            self._announce(plan, {})
            try:
                return self._result(None, plan, self._sender.put_file(self._task, stat))
            except SourceChanged:
                if not left or self._order.on_change == "fail":
                    raise
                stat = stat_at_rest(self._task.source)
        raise AssertionError("the last round returns or raises")

    def _fits_one_request(self, plan: Plan) -> bool:
        """Return whether a single PutObject does: three calls for one part are not worth it."""
        return plan.count == 1 and plan.size <= DEFAULT_PART_SIZE and not is_split_asked(self._order)

    def _announce(self, plan: Plan, kept: Mapping[int, Receipt]) -> None:
        resumed = sum(one.size for one in kept.values())
        self._tally(events.Begun(plan.size, plan.count, resumed, len(kept)))

    def _send_and_finish(self, ledger: Ledger, plan: Plan) -> tuple[Finished, Plan]:
        """Send what is missing, and complete; again where parts turn out unfit or the source may change."""
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
            raise explain(unfit.failure, doing=f"completing {self._order.target}") from unfit
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
        self._announce(plan, {})
        return plan

    def _may_follow(self, ledger: Ledger) -> bool:
        """Return whether to go on with a source that changed: asked for, or only its change time tells of it.

        A rename of a link or a chmod moves that as well as a write: what is stored is compared, and decides.
        """
        try:
            now = stat_source(self._task.source)
        except SourceUnreadable:
            return False
        return self._order.on_change == "resend" or changes(ledger.checkpoint.stat, now) == [CHANGE_TIME]

    def _follow_source(self, ledger: Ledger) -> Plan:
        """Take the source as it is now: what is stored and still the same stays, the rest is to be sent again."""
        stat = stat_at_rest(self._task.source)
        fresh, plan = resume(self._task, ledger.checkpoint, stat, None)
        ledger.rebase(fresh.checkpoint)
        self._announce(plan, ledger.receipts)
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
                yield PartJob(ledger.upload, part, source, stat, self._task.proving, self._order.content_md5)

    def _finish(self, ledger: Ledger, plan: Plan) -> Finished:
        check_unchanged(self._task.source, ledger.checkpoint.stat)
        return complete(self._task, ledger.upload, ledger.receipts, plan)

    def _result(self, upload: Upload | None, plan: Plan, finished: Finished) -> Result:
        return outcome(self._order, self._tally, upload=upload, plan=plan, finished=finished)

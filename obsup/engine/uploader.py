"""One upload from beginning to end: lock, plan, initiate or resume, send, complete, prove."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from obsup import events
from obsup.engine.begin import begin, open_uploads
from obsup.engine.connect import Connection
from obsup.engine.crew import open_crew
from obsup.engine.dispatch import dispatch
from obsup.engine.finish import Finished, PartsUnfit, complete, finisher_of
from obsup.engine.flight import Flight
from obsup.engine.ledger import Ledger, check_place, load_checkpoint, open_ledger
from obsup.engine.order import Order, Result
from obsup.engine.outcome import outcome, outcome_of_nothing
from obsup.engine.plan import DEFAULT_PART_SIZE, Plan, make_plan
from obsup.engine.progress import Tally
from obsup.engine.receipt import with_receipt
from obsup.engine.resume import give_up, reconcile, recover, resume, resume_begun
from obsup.engine.single import put_whole
from obsup.engine.stop import StopSignal
from obsup.engine.task import Task
from obsup.engine.verify import find_identical
from obsup.engine.worker import PartJob
from obsup.errors import Busy, SourceChanged, Stopped, UploadGone
from obsup.local.checkpoint import Checkpoint
from obsup.local.lock import UploadLock
from obsup.local.source import FileWindow, Gate, changes, check_readable, check_unchanged, stat_source
from obsup.model import Part, Receipt, SourceStat, Upload
from obsup.store.verdicts import explain

T = TypeVar("T")

# How often Complete may find parts unfit, and how often a source may change, before that is the result.
ROUNDS = 3


class Uploader:
    """Carries out one Order at an open store. Raises ObsupError; whatever it raises, progress is kept.

    *limit* is asked, before bytes are sent, how many of so many may go now (a rate limit).
    """

    def __init__(
        self,
        connection: Connection,
        order: Order,
        *,
        tally: Tally | None = None,
        stop: StopSignal | None = None,
        limit: Gate | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._order = order
        self._tally = tally or Tally(None)
        self._stop = stop or StopSignal()
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
            stat = stat_source(order.source)
            check_readable(order.source)
            plan = make_plan(stat.size, task.dialect.limits, parts=order.parts, part_size=order.part_size)
            task.headers("initiate")  # what the dialect lacks is said before anything is sent
            is_patient = order.if_running == "wait"
            with UploadLock(order.target, wait=is_patient, stopped=lambda: stop.reason is not None):
                return work(stat, plan)
        except (Stopped, Busy):
            stop.check()  # a wait that was cut short is not why the work ends
            raise

    def _initiate_locked(self, stat: SourceStat, plan: Plan) -> tuple[Checkpoint, Plan]:
        ledger, plan = self._stand(self._found(), stat, plan)
        return ledger.checkpoint, plan

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
        ledger, plan = self._stand(found, stat, plan)
        self._announce(plan, ledger.receipts)
        finished, plan = self._send_and_finish(ledger, plan)
        ledger.remove()
        return self._result(ledger.upload, plan, finished)

    def _put(self, stat: SourceStat) -> Result:
        """Send the source in one request; again where it changed meanwhile and the order says so."""
        for left in reversed(range(ROUNDS)):
            plan = Plan(stat.size, max(stat.size, DEFAULT_PART_SIZE))
            content = FileWindow(self._task.source, Part(1, 0, stat.size), stat)
            self._announce(plan, {})
            try:
                return self._result(None, plan, put_whole(self._task, content))
            except SourceChanged:
                if not left or self._order.on_change == "fail":
                    raise
                stat = stat_source(self._task.source)
        raise AssertionError("the last round returns or raises")

    @property
    def _is_split_asked(self) -> bool:
        return self._order.parts is not None or self._order.part_size is not None

    def _fits_one_request(self, plan: Plan) -> bool:
        """Return whether a single PutObject does: three calls for one part are not worth it."""
        return plan.count == 1 and plan.size <= DEFAULT_PART_SIZE and not self._is_split_asked

    def _stand(self, found: Checkpoint | None, stat: SourceStat, plan: Plan) -> tuple[Ledger, Plan]:
        """Return the record to go on with: of the upload that was begun, or of a new one."""
        task = self._task
        if found is not None and not found.upload.upload_id:
            ledger = resume_begun(task, found, stat, plan)
            return ledger or begin(task, stat, plan, before=frozenset(found.open_before)), plan
        if found is not None:
            try:
                return resume(task, found, stat, plan if self._is_split_asked else None)
            except UploadGone:
                return self._stand_without(found, stat, plan)
        listed = [] if self._order.restart else open_uploads(task)
        recovered = recover(task, listed, stat, plan, split_asked=self._is_split_asked)
        return recovered or (begin(task, stat, plan, before=frozenset(one.upload_id for one in listed)), plan)

    def _stand_without(self, found: Checkpoint, stat: SourceStat, plan: Plan) -> tuple[Ledger, Plan]:
        """The store knows the upload no more: it was completed by the run before, or nothing of it is left."""
        recorded = Plan(found.stat.size, found.part_size)
        is_whole = len(found.receipts) == recorded.count and not changes(found.stat, stat)
        if is_whole and finisher_of(self._task, found.upload, found.receipts, recorded).look() is not None:
            return open_ledger(self._task, found), recorded
        self._tally(
            events.Noted(
                f"the store no longer knows upload {found.upload.upload_id}: it was aborted or has expired; "
                "beginning again"
            )
        )
        return begin(self._task, stat, plan, before=frozenset()), plan

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
                if not left:
                    raise explain(exc.failure, doing=f"completing {self._order.target}") from exc
                ledger.receipts = reconcile(self._task, ledger.checkpoint, ledger.checkpoint.stat, plan)
            except SourceChanged:
                if not left or self._order.on_change == "fail":
                    raise
                plan = self._follow_source(ledger)
        raise AssertionError("the last round returns or raises")

    def _follow_source(self, ledger: Ledger) -> Plan:
        """Take the source as it is now: what is stored and still the same stays, the rest is to be sent again."""
        stat = stat_source(self._task.source)
        fresh, plan = resume(self._task, ledger.checkpoint, stat, None)
        ledger.rebase(fresh.checkpoint)
        self._announce(plan, ledger.receipts)
        return plan

    def _send_missing(self, ledger: Ledger, plan: Plan) -> None:
        crew = open_crew(self._task)
        try:
            flight = Flight(crew.size)
            with self._tally.heard_by(flight):
                dispatch(
                    self._missing_parts(ledger, plan),
                    crew.send,
                    window=lambda: flight.window,
                    stop=self._stop,
                    keep=ledger.add,
                )
        finally:
            crew.leave(wait=not self._stop.is_over)
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

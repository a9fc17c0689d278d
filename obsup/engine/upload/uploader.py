"""One upload from beginning to end: lock, plan, initiate or resume, send, complete, prove."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from obsup import events
from obsup.engine.job.connection import Connection
from obsup.engine.job.context import UploadContext
from obsup.engine.job.executor_spec import LOCAL_EXECUTORS
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.result import Finished, Result, report_start, result_of_upload
from obsup.engine.job.stop import StopSignal
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE, FilePlan, Plan, make_plan
from obsup.engine.send.sender import DedicatedSender, PartSender
from obsup.engine.upload.progress_record import check_checkpoint_path, load_checkpoint, read_checkpoint
from obsup.engine.upload.receipt import with_receipt
from obsup.engine.verify.comparison import result_of_identical
from obsup.errors import Busy, SourceChanged, Stopped, UploadGone
from obsup.local.source.file import Gate, check_readable, stat_when_stable
from obsup.local.state.checkpoint import Checkpoint
from obsup.local.state.lock import UploadLock
from obsup.model import SourceStat, Upload

T = TypeVar("T")

# How often the source may change while it is sent in one request before that is the result.
ROUNDS = 3


class Uploader:
    """Carries out one UploadRequest at an open store. Raises ObsupError; whatever it raises, progress is kept.

    *limit* is asked, before bytes are sent, how many of so many may go now (a rate limit). *sender* sends them: a crew
    of the upload's own, or one that several share.
    """

    def __init__(
        self,
        connection: Connection,
        request: UploadRequest,
        *,
        tally: ProgressTally | None = None,
        stop: StopSignal | None = None,
        limit: Gate | None = None,
        sender: PartSender | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._request = request
        self._tally = tally or ProgressTally(None)
        self._stop = stop or StopSignal()
        self._sender = sender or DedicatedSender()
        self._context = UploadContext(connection, request, self._tally, self._stop, limit, clock)
        self._seen: Checkpoint | None = None

    def run(self) -> Result:
        """Upload, and return once the object is in place and proved."""
        return with_receipt(self._request, self._tally, lambda: self._hold(self._run_locked, may_put=True))

    def initiate(self) -> tuple[Checkpoint, Plan]:
        """Begin the upload, or find it where it was begun, and return its checkpoint and its plan; send nothing."""
        return self._hold(self._initiate_locked)

    def _hold(self, work: Callable[[SourceStat, Plan], T], *, may_put: bool = False) -> T:
        """Return what *work* returns, called with the source's identity and its plan while the upload is held.

        *may_put*: *work* sends in one request what fits it.
        """
        context, request, stop = self._context, self._request, self._stop
        try:
            check_checkpoint_path(request)
            _, plan = self._look()
            # What cannot be is said before anything is sent.
            context.headers("put" if may_put and self._fits_one_request(plan) else "initiate")
            if request.executor not in LOCAL_EXECUTORS:
                from obsup.engine.send.workers import check_workers

                check_workers(context)
            may_wait = request.if_running == "wait"
            self._seen = read_checkpoint(context) if may_wait else None
            lock = UploadLock(
                request.target,
                wait=may_wait,
                is_stopped=lambda: stop.reason is not None,
                on_wait=lambda: self._tally(
                    events.Noted(f"another obsup is at work on {request.target}: waiting")
                ),
            )
            with lock:
                return work(*self._look())
        except (Stopped, Busy):
            stop.check()  # a wait that was cut short is not why the work ends
            raise

    def _look(self) -> tuple[SourceStat, Plan]:
        """Return the source's identity now, and its plan. Raises SourceUnreadable, WrongUsage."""
        request = self._request
        stat = stat_when_stable(request.source)
        check_readable(request.source)
        limits = self._context.dialect.limits
        return stat, make_plan(stat.size, limits, parts=request.parts, part_size=request.part_size)

    def _initiate_locked(self, stat: SourceStat, plan: Plan) -> tuple[Checkpoint, Plan]:
        from obsup.engine.upload.starting_point import find_starting_point

        start = find_starting_point(self._context, self._found(), stat, plan)
        return start.record.checkpoint, start.plan

    def _found(self) -> Checkpoint | None:
        """Return the checkpoint to go on with; with --restart its upload is given up instead."""
        found = load_checkpoint(self._context)
        if found is not None and self._request.restart:
            from obsup.engine.upload.abort import abort_recorded

            abort_recorded(self._context, found)
            return None
        return found

    def _run_locked(self, stat: SourceStat, plan: Plan) -> Result:
        self._request.expect.check_file(self._context.source, stat, self._context.read_gate)
        found = self._found()
        # Who waited for a run of the same upload finds it done.
        was_sent_meanwhile = self._seen is not None and found is None and not self._request.restart
        if self._request.skip_identical or was_sent_meanwhile:
            from obsup.engine.verify.comparison import find_identical

            identical = find_identical(self._context, stat, plan)
            if identical is not None:
                return result_of_identical(self._request, self._tally, identical)
        if found is None and self._fits_one_request(plan):
            return self._put(stat)
        return self._send_in_parts(found, stat, plan)

    def _put(self, stat: SourceStat) -> Result:
        """Send the source in one request; again where it changed meanwhile and the request says so."""
        for left in reversed(range(ROUNDS)):
            plan = FilePlan(stat.size, max(stat.size, DEFAULT_PART_SIZE))
            report_start(self._tally, plan, {})
            try:
                return self._result(None, plan, self._sender.put_file(self._context, stat))
            except SourceChanged:
                if not left or self._request.on_change == "fail":
                    raise
                stat = stat_when_stable(self._context.source)
        raise AssertionError("the last round returns or raises")

    def _send_in_parts(
        self, found: Checkpoint | None, stat: SourceStat, plan: Plan, *, is_again: bool = False
    ) -> Result:
        # Here, and not above: what fits one request need not wait for it.
        from obsup.engine.upload.send_loop import SendLoop
        from obsup.engine.upload.starting_point import find_starting_point

        start = find_starting_point(self._context, found, stat, plan)
        record, plan, finished = start.record, start.plan, start.finished
        report_start(self._tally, plan, record.receipts)
        try:
            if finished is None:
                finished, plan = SendLoop(self._context, self._tally, self._sender).run(record, plan)
        except UploadGone:
            # Some stores forget a whole upload after one bad part: it is begun again, but once.
            if is_again:
                raise
            return self._send_in_parts(record.checkpoint, stat, plan, is_again=True)
        record.remove()
        return self._result(record.upload, plan, finished)

    def _fits_one_request(self, plan: Plan) -> bool:
        """Return whether a single PutObject does: three calls for one part are not worth it."""
        return plan.count == 1 and plan.size <= DEFAULT_PART_SIZE and not self._request.is_split_asked

    def _result(self, upload: Upload | None, plan: Plan, finished: Finished) -> Result:
        return result_of_upload(self._request, self._tally, upload=upload, plan=plan, finished=finished)

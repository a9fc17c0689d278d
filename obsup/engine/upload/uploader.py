"""One upload from start to end: lock, plan, initiate or resume, send, complete, verify."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from obsup.engine.job.connection import Connection
from obsup.engine.job.context import UploadContext
from obsup.engine.job.executor_spec import LOCAL_EXECUTORS
from obsup.engine.job.job_limit import within_limits
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.result import Finished, Result, report_start, result_of_upload
from obsup.engine.job.stop import StopSignal
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE, FilePlan, Plan, make_plan
from obsup.engine.send.sender import OwnWorkers, PartSender
from obsup.engine.upload.progress_record import check_checkpoint_path, load_checkpoint, read_checkpoint
from obsup.engine.upload.receipt import with_receipt
from obsup.engine.verify.object_lock import locks_later
from obsup.engine.verify.option_check import check_encryption, check_options, with_info
from obsup.errors import Busy, SourceChanged, SourceTouched, Stopped, UploadGone
from obsup.local.files.existing import exists
from obsup.local.source.digest import Gate
from obsup.local.source.identity import MAX_ROUNDS, check_readable, stat_when_stable
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import SourceStat, Upload
from obsup.text import operand

T = TypeVar("T")


class Uploader:
    """Carries out one UploadRequest. Raises ObsupError; progress is always kept.

    *limit* is called before bytes are sent, and returns how many of them may be sent now (a rate limit). *sender* sends
    the parts: with its own workers, or with workers that several uploads share. *on_complete* is called with the result
    of an upload in parts before its checkpoint is removed, so that a kill in between leaves one of the two records.
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
        on_complete: Callable[[Result], None] = lambda _result: None,
    ) -> None:
        self._on_complete = on_complete
        self._tally = tally or ProgressTally(None)
        self._request = request = within_limits(request, self._tally) if sender is None else request
        self._stop = stop or StopSignal()
        self._workers = OwnWorkers()
        self._has_own_workers = sender is None
        self._sender = sender or PartSender(self._workers.send_parts)
        self._context = UploadContext(
            connection, request, self._tally, self._stop, limit, clock, since_s=clock()
        )
        self._before_waiting: Checkpoint | None = None
        self._interrupted: Checkpoint | None = None

    def run(self) -> Result:
        """Upload, and return once the object is complete and verified."""
        try:
            return with_receipt(
                self._request, self._tally, lambda: self._locked(self._run_locked, may_put=True)
            )
        finally:
            self._workers.release()

    def initiate(self) -> tuple[Checkpoint, Plan]:
        """Initiate the upload, or find the existing one; return its checkpoint and its plan. Sends no parts."""
        return self._locked(self._initiate_locked)

    def _locked(self, work: Callable[[SourceStat, Plan], T], *, may_put: bool = False) -> T:
        """Return the result of *work*, called with the source's identity and its plan while the upload is locked.

        *may_put*: *work* sends the source in one request if it fits.
        """
        context, request, stop = self._context, self._request, self._stop
        try:
            check_checkpoint_path(request)
            _, plan = self._stat_and_plan()
            # Invalid options fail before anything is sent.
            context.headers("put" if may_put and self._fits_one_request(plan) else "initiate")
            if request.executor not in LOCAL_EXECUTORS:
                from obsup.engine.send.workers import check_workers

                check_workers(context)
            self._before_waiting = read_checkpoint(context) if request.if_running == "wait" else None
            with context.lock(has_checkpoint=not self._fits_one_request(plan)):
                return self._until_unchanged(work)
        except (Stopped, Busy):
            stop.check()  # if a stop interrupted the wait, raise its reason instead
            raise

    def _until_unchanged(self, work: Callable[[SourceStat, Plan], T]) -> T:
        """Return the result of *work*; again, with the source as it is now, if it changes during that and may do so.

        If only its times change, the content decides. The last time, they are ignored.
        """
        for left in reversed(range(MAX_ROUNDS)):
            try:
                return work(*self._stat_and_plan())
            except SourceChanged as exc:
                is_touched = isinstance(exc, SourceTouched)
                may_follow = is_touched or self._request.on_change == "resend"
                if not left or not may_follow or not exists(self._request.source):
                    raise
                self._context = replace(self._context, is_touched=is_touched and left == 1)
        raise AssertionError("the last round returns or raises")

    def _stat_and_plan(self) -> tuple[SourceStat, Plan]:
        """Return the source's current identity, and its plan. Raises SourceUnreadable, WrongUsage."""
        request = self._request
        stat = stat_when_stable(request.source, request.link_free)
        check_readable(request.source)
        limits = self._context.dialect.limits
        return stat, make_plan(stat.size, limits, parts=request.parts, part_size=request.part_size)

    def _initiate_locked(self, stat: SourceStat, plan: Plan) -> tuple[Checkpoint, Plan]:
        from obsup.engine.upload.starting_point import find_starting_point

        context = replace(self._context.read_source(stat), sends_parts=False)
        start = find_starting_point(context, self._load(), stat, plan)
        return start.record.checkpoint, start.plan

    def _load(self) -> Checkpoint | None:
        """Return the checkpoint to resume from. With --restart, abort its upload instead."""
        if self._interrupted is not None:
            return self._interrupted
        checkpoint = load_checkpoint(self._context)
        if checkpoint is not None and self._request.restart:
            from obsup.engine.upload.abort import abort_recorded

            abort_recorded(self._context, checkpoint)
            return None
        return checkpoint

    def _run_locked(self, stat: SourceStat, plan: Plan) -> Result:
        self._context = self._context.read_source(stat).begun_now()
        checkpoint = self._load()
        # A run that waited for another run of the same upload finds the object complete.
        was_completed = self._before_waiting is not None and checkpoint is None and not self._request.restart
        if was_completed and self._before_waiting is not None:
            self._context = replace(self._context, since_s=self._before_waiting.created)
        may_be_identical = self._request.skip_identical or was_completed
        may_be_unlocked = checkpoint is None and not self._request.restart and locks_later(self._context)
        if may_be_identical or may_be_unlocked:
            from obsup.engine.verify.earlier_object import find_identical

            identical = find_identical(self._context, stat, plan, only_unlocked=not may_be_identical)
            if identical is not None:
                self._note_open_upload(checkpoint)
                return identical.result(self._request, self._tally, source=stat)
        if checkpoint is None and self._fits_one_request(plan):
            return self._put(stat)
        return self._send_in_parts(checkpoint, stat, plan)

    def _note_open_upload(self, checkpoint: Checkpoint | None) -> None:
        """Note that the upload of an earlier run stays open, although the object is identical."""
        if checkpoint is None:
            return
        request = self._request
        path = () if request.checkpoint is None else ("--checkpoint", str(request.checkpoint))
        command = ("obsup", "abort", *path, operand(request.source), request.target.name)
        text = f"the upload {checkpoint.upload.upload_id} of an earlier run stays open; discard it with"
        self._context.note(text, command=command)

    def _put(self, stat: SourceStat) -> Result:
        """Send the source in one request."""
        if self._context.encryption is not None:
            from obsup.engine.upload.preconditions import require_encryption

            require_encryption(self._context)
        plan = FilePlan(stat.size, max(stat.size, DEFAULT_PART_SIZE))
        report_start(self._tally, plan, {})
        return self._result(None, plan, self._sender.put_file(self._context, stat), stat)

    def _send_in_parts(
        self, checkpoint: Checkpoint | None, stat: SourceStat, plan: Plan, *, is_second: bool = False
    ) -> Result:
        # Imported here, because an upload in one request does not need them.
        from obsup.engine.upload.send_loop import SendLoop
        from obsup.engine.upload.starting_point import find_starting_point

        context = self._context
        start = find_starting_point(
            context,
            checkpoint,
            stat,
            plan,
            is_gone=is_second,
            before_initiate=self._open_workers,
        )
        record, plan, finished = start.record, start.plan, start.finished
        self._context = replace(self._context, since_s=record.checkpoint.created)
        report_start(self._tally, plan, record.receipts)
        try:
            if finished is None:
                finished, plan = SendLoop(self._context, self._tally, self._sender).run(record, plan)
                stat = record.checkpoint.stat
        except UploadGone:
            # Some stores lose a whole upload after one bad part: start over, but only once.
            if is_second:
                raise
            return self._send_in_parts(record.checkpoint, stat, plan, is_second=True)
        except SourceChanged:
            self._interrupted = record.checkpoint
            raise
        finished = with_info(self._context, finished)
        try:
            check_encryption(self._context, finished)
            result = self._result(record.upload, plan, finished, stat)
            self._on_complete(result)
        finally:
            record.remove()
        return result

    def _open_workers(self) -> None:
        if self._has_own_workers:
            self._workers.prepare(self._context)

    def _fits_one_request(self, plan: Plan) -> bool:
        """Return whether to use a single PutObject instead of three requests for one part."""
        return plan.count == 1 and plan.size <= DEFAULT_PART_SIZE and not self._request.is_split_requested

    def _result(self, upload: Upload | None, plan: Plan, finished: Finished, source: SourceStat) -> Result:
        finished = with_info(self._context, finished)
        check_options(self._context, finished)
        return result_of_upload(
            self._request, self._tally, upload=upload, plan=plan, finished=finished, source=source
        )

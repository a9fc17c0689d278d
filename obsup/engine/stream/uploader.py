"""A stream from beginning to end: read, cut, sent from memory, and published only if all of it came."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.connection import Connection
from obsup.engine.job.context import UploadContext
from obsup.engine.job.executor_spec import LOCAL_EXECUTORS
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.result import Result, result_of_upload
from obsup.engine.job.stop import StopSignal
from obsup.engine.plan.file_plan import Growth
from obsup.engine.plan.stream_plan import StreamPlan, StreamSizes, growing, make_stream_sizes
from obsup.engine.send.concurrency import ConcurrencyLimit
from obsup.engine.send.dispatcher import POLL_S
from obsup.engine.send.executors import open_executor
from obsup.engine.send.part import send_content
from obsup.engine.send.whole_object import put_whole
from obsup.engine.stream.pipeline import StreamPipeline
from obsup.engine.stream.replay import ReplayCheck, comparable
from obsup.engine.upload.abort import abort_fully, abort_recorded
from obsup.engine.upload.complete import PartsRejected, complete
from obsup.engine.upload.initiate import initiate_recorded, open_uploads
from obsup.engine.upload.progress_record import ProgressRecord
from obsup.engine.upload.receipt import with_receipt
from obsup.engine.upload.resume import check_same_request, resume_initiated
from obsup.errors import Busy, CommandFailed, DataMismatch, ObsupError, Stopped, UploadGone, WrongUsage
from obsup.local.source.digest import PartDigest
from obsup.local.source.file import Gate
from obsup.local.source.memory_part import MemoryPart
from obsup.local.source.stream import ByteSource
from obsup.local.source.stream_parts import PartReader
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state.checkpoint import Checkpoint, CheckpointDamaged
from obsup.local.state.lock import UploadLock
from obsup.model import Receipt, SourceStat, Upload
from obsup.store.answers.failure_table import as_error
from obsup.text import shell_line, shell_word
from obsup.units import exact_size, format_size

# In the checkpoint of a stream, which has no identity.
NO_STAT = SourceStat(0, 0, 0, 0, 0)


class StreamUploader:
    """Carries out one UploadRequest whose source is a stream. Raises ObsupError; the store keeps what it has.

    The stream is started once the target is ours, read once, and closed. ``name`` and ``is_repeatable`` are those
    of UploadContext, *limit* is that of Uploader.
    """

    def __init__(
        self,
        connection: Connection,
        order: UploadRequest,
        source: ByteSource,
        *,
        name: str = "-",
        is_repeatable: bool = False,
        tally: ProgressTally | None = None,
        stop: StopSignal | None = None,
        limit: Gate | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._order = order
        self._source = source
        self._tally = tally or ProgressTally(None)
        self._stop = stop or StopSignal()
        self._task = UploadContext(
            connection, order, self._tally, self._stop, limit, clock, name, is_repeatable
        )
        self._record: ProgressRecord | None = None
        self._replay = ReplayCheck({})
        self._meter = order.expect.meter()
        self._sizes = self._make_schedule()

    def run(self) -> Result:
        """Upload, and return once the object is in place and proved."""
        try:
            return with_receipt(self._order, self._tally, self._run)
        except (Stopped, Busy):
            self._stop.check()  # a wait that was cut short is not why the work ends
            raise

    def _run(self) -> Result:
        order = self._order
        self._task.headers("initiate")  # what the dialect lacks is said before anything is read
        with UploadLock(
            order.target, wait=order.if_running == "wait", is_stopped=lambda: self._stop.reason is not None
        ):
            try:
                return self._run_locked()
            except Exception:
                self._leave()
                raise

    def _make_schedule(self) -> StreamSizes:
        order = self._order
        check_stream_request(order)
        return make_stream_sizes(
            self._task.dialect.limits,
            parts=order.parts,
            part_size=order.part_size,
            expected=order.expect.size,
        )

    def _run_locked(self) -> Result:
        self._resume()
        jobs = self._order.initial_jobs  # more would take more memory than was promised
        concurrency = ConcurrencyLimit(jobs)
        pipeline = StreamPipeline(
            PartReader(self._source, self._meter, self._digest),
            self._source,
            self._sizes,
            executor=open_executor(self._order.executor, jobs),
            concurrency=concurrency,
            stop=self._stop,
        )
        try:
            self._stop.check()
            self._source.start()
            with self._tally.observed_by(concurrency):
                return self._carry(pipeline)
        finally:
            pipeline.close()
            if self._record is not None:
                self._record.flush()

    def _resume(self) -> None:
        """Find what an earlier run of the same stream stored."""
        found = self._load()
        if found is None:
            return
        self._check_same_stream(found)
        if self._order.restart:
            abort_recorded(self._task, found)
            return
        asked = StreamPlan(0, self._sizes)
        if not found.upload.upload_id:
            self._record = resume_initiated(self._task, found, NO_STAT, asked)
            return
        check_same_request(self._task, found, asked if self._order.part_size is not None else None)
        try:
            listed = list(self._task.store.list_parts(found.upload))
        except UploadGone:
            self._note(
                f"the store no longer knows upload {found.upload.upload_id}: it was completed, aborted or has "
                "expired; beginning again"
            )
            return
        self._sizes = replace(
            self._sizes, start=found.part_size, growth=Growth(*found.growth) if found.growth else None
        )
        self._replay = ReplayCheck(comparable(listed, found.receipts, self._task.digests))
        self._record = ProgressRecord(
            replace(found, receipts=self._replay.stored),
            self._task.checkpoint_path,
            observe=self._tally,
        )

    def _load(self) -> Checkpoint | None:
        path = self._task.checkpoint_path
        try:
            return checkpoints.load(path) if path is not None else None
        except CheckpointDamaged as exc:
            raise CheckpointDamaged(
                f"the checkpoint {path} is of no use: {exc.what}",
                "without it nothing tells which parts of the stream are stored",
                "remove it, or name another file with --checkpoint",
            ) from exc

    def _check_same_stream(self, found: Checkpoint) -> None:
        if found.source != self._task.source_name or found.upload.target != self._order.target:
            raise WrongUsage(
                f"the checkpoint {self._task.checkpoint_path} is about another source or target",
                f"it is about {found.upload.target}",
                "name another file with --checkpoint",
            )

    def _digest(self) -> PartDigest:
        digests, stored = self._task.digests, self._replay.stored.values()
        compares_md5 = any(one.crc64 is None for one in stored) or bool(stored and not digests.crc64)
        return PartDigest(md5=digests.md5 or self._order.content_md5 or compares_md5, crc64=digests.crc64)

    def _carry(self, pipeline: StreamPipeline) -> Result:
        self._announce()
        part = pipeline.next()
        if part.is_last:
            self._approve(pipeline)
            if self._record is None:
                return self._put(part)
        record = self._record = self._record or self._begin()
        while not part.is_last:
            self._check_limit(part)
            self._place(pipeline, record, part)
            part = pipeline.next()
            if part.is_last:
                self._approve(pipeline)
        self._place(pipeline, record, part)
        pipeline.drain()
        return self._complete(record)

    def _begin(self) -> ProgressRecord:
        before = frozenset(one.upload_id for one in open_uploads(self._task))
        return initiate_recorded(self._task, NO_STAT, StreamPlan(0, self._sizes), before=before)

    def _approve(self, pipeline: StreamPipeline) -> None:
        """Return once it is known that the end of the stream is its true end, and the stream what was expected."""
        try:
            while not self._source.is_finished(POLL_S):
                pipeline.wait_a_little()
            self._meter.check(self._source.name)
        except (CommandFailed, DataMismatch) as exc:
            pipeline.fail(exc)
        pipeline.check()

    def _put(self, part: MemoryPart) -> Result:
        """Send a stream that ended within its first part in one request."""
        plan = StreamPlan(part.part.size, self._sizes)
        finished = put_whole(self._task, part, has_md5=True)
        return result_of_upload(self._order, self._tally, upload=None, plan=plan, finished=finished)

    def _place(self, pipeline: StreamPipeline, record: ProgressRecord, part: MemoryPart) -> None:
        """Send the part, unless it is stored already; keep it where that is not to be known yet."""
        replay = self._replay
        if replay.confirms(part, self._task.read_gate):
            pipeline.drop(part)
            self._announce()
        else:
            replay.waiting.append(part)
        if replay.waiting and replay.last > part.part.number:
            if pipeline.can_go_on:
                return
            # More is missing between stored parts than fits into memory: what follows is sent again.
            replay.give_up()
            record.receipts = dict(replay.confirmed)
        upload, store, send_options = record.upload, self._task.store, self._task.send_options

        def send(part: MemoryPart) -> Receipt:
            return send_content(part, upload, store, send_options)[1]

        for one in replay.waiting:
            pipeline.send(one, send, record.add)
        replay.waiting.clear()

    def _check_limit(self, part: MemoryPart) -> None:
        """Raise DataMismatch where the last possible part is not the last of the stream."""
        sizes, limits = self._sizes, self._task.dialect.limits
        if part.part.number < sizes.max_parts:
            return
        what = f"{self._source.name} is longer than {format_size(sizes.reach)}"
        why = f"{sizes.max_parts} parts of {exact_size(sizes.start)} hold no more"
        if sizes.growth is not None or sizes.start == limits.max_part:
            raise DataMismatch(what, "the store holds no larger object", "split the stream")
        larger = min(2 * sizes.start, limits.max_part)
        raise DataMismatch(
            what,
            why,
            f"leave out --part-size: parts then grow until {format_size(growing(limits).reach)} fit; or use "
            f"--part-size {exact_size(larger)}",
        )

    def _complete(self, record: ProgressRecord) -> Result:
        plan = StreamPlan(self._meter.size, self._sizes)
        record.flush()
        was_stored = self._replay.confirmed.keys() == record.receipts.keys()
        try:
            finished = complete(self._task, record.upload, record.receipts, plan, look_first=was_stored)
        except PartsRejected as exc:
            raise as_error(exc.failure, doing=f"completing {self._order.target}") from exc
        record.remove()
        return result_of_upload(self._order, self._tally, upload=record.upload, plan=plan, finished=finished)

    def _announce(self) -> None:
        expected, confirmed = self._order.expect.size, self._replay.confirmed.values()
        parts = self._sizes.count_of(expected) if expected is not None else None
        self._tally(events.Begun(expected, parts, sum(one.size for one in confirmed), len(confirmed)))

    def _leave(self) -> None:
        """After a failure: abort the upload where the order says so; otherwise say where it is."""
        if self._record is None:
            return
        upload = self._record.upload
        if self._order.abort_on_failure:
            self._abort(self._record, upload)
        elif self._task.checkpoint_path is None:
            command = shell_line(["obsup", "abort", upload.target.name, "--upload-id", upload.upload_id])
            self._note(
                f"without a checkpoint no later run goes on with what is stored: {command} gives it up, "
                "--abort-on-failure does so at once"
            )

    def _abort(self, record: ProgressRecord, upload: Upload) -> None:
        try:
            abort_fully(self._task.store, upload, self._stop.sleep)
            record.remove()
        except ObsupError as exc:
            self._note(f"upload {upload.upload_id} of {upload.target} could not be aborted: {exc.what}")
        else:
            self._note(f"upload {upload.upload_id} of {upload.target} was aborted")

    def _note(self, text: str) -> None:
        self._tally(events.Noted(text))


def check_stream_request(order: UploadRequest) -> None:
    """Raise WrongUsage for what cannot be done with a stream."""
    if order.target.key.endswith("/"):
        raise WrongUsage(
            f"{order.target} ends in /, and a stream has no file name to put there",
            "a stream is known by its target alone",
            f"name the whole key: {shell_word(f'{order.target.name}NAME')}",
        )
    if order.executor not in LOCAL_EXECUTORS:
        raise WrongUsage(
            f"--executor {order.executor} cannot send a stream",
            "its parts are in the memory of this process",
            f"use --executor {LOCAL_EXECUTORS[0]}, or write the data to a file that all workers see",
        )
    if order.skip_identical:
        raise WrongUsage(
            "--skip-identical cannot be asked for a stream",
            "what it holds is known only once it has been read",
            "leave out --skip-identical",
        )

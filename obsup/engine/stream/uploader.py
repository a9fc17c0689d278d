"""Upload a stream: read it once, send its parts from memory, and publish the object only if the stream is complete."""

from __future__ import annotations

from msgspec.structs import replace

from obsup import events
from obsup.engine.job.connection import Connection
from obsup.engine.job.context import UploadContext
from obsup.engine.job.executor_spec import LOCAL_EXECUTORS
from obsup.engine.job.job_limit import memory_size, within_limits
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.result import Result, result_of_upload
from obsup.engine.job.stop import StopSignal
from obsup.engine.plan.concurrency import ConcurrencyLimit
from obsup.engine.plan.stream_plan import StreamPlan, make_stream_sizes
from obsup.engine.send.dispatcher import POLL_S
from obsup.engine.send.part import digests_of, send_content
from obsup.engine.send.whole_object import put_whole
from obsup.engine.stream.memory import check_memory, fitting_jobs
from obsup.engine.stream.pipeline import StreamPipeline
from obsup.engine.stream.replay import ReplayCheck
from obsup.engine.stream.resume import NO_STAT, find_stream_start
from obsup.engine.upload.abort import abort_fully, abort_incomplete
from obsup.engine.upload.adoption import open_uploads
from obsup.engine.upload.complete import PartsRejected, complete
from obsup.engine.upload.initiate import initiate_recorded
from obsup.engine.upload.preconditions import check_target, require_encryption
from obsup.engine.upload.progress_record import ProgressRecord
from obsup.engine.upload.receipt import with_receipt
from obsup.engine.verify.option_check import check_encryption, check_options, with_info
from obsup.errors import (
    CommandFailed,
    DataMismatch,
    NextStep,
    ObsupError,
    WrongUsage,
    run_again,
)
from obsup.local.processes.executors import open_executor
from obsup.local.source.digest import Gate, PartDigest
from obsup.local.source.memory_part import MemoryPart
from obsup.local.source.stream import ByteSource
from obsup.local.source.stream_parts import PartReader
from obsup.model import Receipt
from obsup.store.answers.failure_table import as_error
from obsup.text import shell_word
from obsup.units import exact_size, format_size


class StreamUploader:
    """Carries out one UploadRequest whose source is a stream. After a failure, the store keeps the stored parts.

    The stream is started when the upload is locked, read once, and closed. *name* and *is_repeatable* are described in
    UploadContext, *limit* in Uploader.
    """

    def __init__(
        self,
        connection: Connection,
        request: UploadRequest,
        source: ByteSource,
        *,
        name: str = "-",
        is_repeatable: bool = False,
        tally: ProgressTally | None = None,
        stop: StopSignal | None = None,
        limit: Gate | None = None,
    ) -> None:
        check_stream_request(request)
        self._request = request
        self._source = source
        self._tally = tally or ProgressTally(None)
        self._stop = stop or StopSignal()
        self._context = UploadContext(
            connection,
            request,
            self._tally,
            self._stop,
            limit,
            stream_name=name,
            is_repeatable=is_repeatable,
        )
        self._record: ProgressRecord | None = None
        self._may_be_completed = False
        self._replay = ReplayCheck({})
        self._meter = request.expect.meter()
        self._sizes = make_stream_sizes(
            self._context.dialect.limits,
            parts=request.parts,
            part_size=request.part_size,
            expected=request.expect.size,
        )

    def run(self) -> Result:
        """Upload the stream, and return after verifying the object. Raises ObsupError."""
        return with_receipt(self._request, self._tally, self._run)

    def _run(self) -> Result:
        self._context.headers("initiate")  # check the options before anything is read
        with self._context.lock():
            try:
                return self._run_locked()
            except Exception:
                self._clean_up()
                raise

    def _run_locked(self) -> Result:
        require_encryption(self._context)
        start = find_stream_start(self._context, self._sizes)
        self._sizes, self._replay, self._record = start.sizes, start.replay, start.record
        self._may_be_completed = start.record is not None
        if start.record is not None:
            check_target(self._context, start.record.upload)
        limits = self._context.dialect.limits
        check_memory(self._request, limits, self._sizes, memory_size())
        # Fixed: more parts in flight would exceed the memory budget.
        limited = within_limits(self._request, self._tally, bytes_per_job=self._sizes.start)
        jobs = fitting_jobs(self._request, limits, self._sizes, most=limited.initial_jobs)
        concurrency = ConcurrencyLimit(jobs)
        pipeline = StreamPipeline(
            PartReader(self._source, self._meter, self._digest),
            self._source,
            self._sizes,
            executor=open_executor(self._request.executor, jobs),
            concurrency=concurrency,
            stop=self._stop,
        )
        try:
            self._stop.check()
            pipeline.start()
            with self._tally.observed_by(concurrency):
                return self._upload(pipeline)
        finally:
            pipeline.close()
            if self._record is not None:
                self._record.flush()

    def _digest(self) -> PartDigest:
        digests = self._context.digests
        if self._record is not None:
            digests = digests_of(self._record.upload, digests, self._context.connection.learned)
        stored = [one for one in self._replay.stored.values() if one.checksum is None]
        compares_md5 = any(one.crc64 is None for one in stored)
        return PartDigest(
            md5=digests.md5 or self._request.content_md5 or compares_md5,
            crc64=digests.crc64 or any(one.crc64 is not None for one in stored),
        )

    def _upload(self, pipeline: StreamPipeline) -> Result:
        self._report_start()
        part = pipeline.next()
        if part.is_last:
            self._check_end(pipeline)
            if self._record is None:
                return self._put(part)
        record = self._record = self._record or self._initiate()
        self._context = replace(self._context, since_s=record.checkpoint.created)
        while not part.is_last:
            if part.part.number == self._sizes.max_parts:
                pipeline.fail(self._too_long())
            self._send_if_missing(pipeline, record, part)
            part = pipeline.next()
            if part.is_last:
                self._check_end(pipeline)
        self._send_if_missing(pipeline, record, part)
        pipeline.drain()
        return self._complete(record)

    def _initiate(self) -> ProgressRecord:
        check_target(self._context)
        plan = StreamPlan(0, self._sizes)
        return initiate_recorded(self._context, NO_STAT, plan, left=open_uploads(self._context))

    def _check_end(self, pipeline: StreamPipeline) -> None:
        """Wait until the source has finished successfully, and check that the stream is the expected one."""
        try:
            while not self._source.is_finished(POLL_S):
                pipeline.update()
            self._meter.check(self._source.name)
        except (CommandFailed, DataMismatch) as exc:
            pipeline.fail(exc)
        pipeline.check()

    def _put(self, part: MemoryPart) -> Result:
        """Send a stream that fits its first part in one request."""
        plan = StreamPlan(part.part.size, self._sizes)
        if not part.part.size:
            self._context.note("the stream was empty, and so is the object")
        require_encryption(self._context)
        self._context = self._context.begun_now()
        finished = with_info(self._context, put_whole(self._context, part))
        check_options(self._context, finished)
        return result_of_upload(self._request, self._tally, upload=None, plan=plan, finished=finished)

    def _send_if_missing(self, pipeline: StreamPipeline, record: ProgressRecord, part: MemoryPart) -> None:
        """Discard the part if it is stored; otherwise send it, or hold it back while stored parts follow."""
        replay = self._replay
        if replay.confirm(part, self._context.read_gate):
            pipeline.discard(part)
            self._report_start()
        else:
            replay.held_back.append(part)
        if replay.held_back and replay.last > part.part.number:
            if pipeline.has_room:
                return
            # The parts missing between stored ones fill the memory: send all that follow again.
            replay.stored, record.receipts = dict(replay.confirmed), dict(replay.confirmed)
        upload, store, send_options = record.upload, self._context.store, self._context.send_options

        def send(part: MemoryPart) -> Receipt:
            return send_content(part, upload, store, send_options)[1]

        for missing in replay.held_back:
            pipeline.send(missing, send, record.add)
        replay.held_back.clear()

    def _too_long(self) -> DataMismatch:
        """Return the error of a stream that does not end with the highest part number."""
        sizes, limits = self._sizes, self._context.dialect.limits
        what = f"{self._source.name} is longer than {format_size(sizes.reach)}"
        largest = make_stream_sizes(limits).reach
        if sizes.reach >= largest:
            return DataMismatch(what, "The store accepts no larger object", NextStep("split the stream"))
        # The part size of an upload cannot change.
        restart = ("--restart",) if self._context.checkpoint_path is not None else ()
        return DataMismatch(
            what,
            f"A stream can have {sizes.max_parts} parts of {exact_size(sizes.start)}",
            run_again(
                f"leave out --part-size, so that {format_size(largest)} fit, or use larger parts",
                add=("--part-size", exact_size(min(2 * sizes.start, limits.max_part)), *restart),
            ),
        )

    def _complete(self, record: ProgressRecord) -> Result:
        plan = StreamPlan(self._meter.size, self._sizes)
        self._may_be_completed = True
        was_stored = self._replay.confirmed.keys() == record.receipts.keys()
        try:
            finished = complete(self._context, record, plan, look_first=was_stored)
        except PartsRejected as exc:
            raise as_error(exc.failure, doing=f"completing {self._request.target}") from exc
        self._record = None  # it is completed: whatever follows, the upload must not be aborted
        finished = with_info(self._context, finished)
        record.remove()
        check_encryption(self._context, finished)
        check_options(self._context, finished)
        return result_of_upload(
            self._request, self._tally, upload=record.upload, plan=plan, finished=finished
        )

    def _report_start(self) -> None:
        expected, confirmed = self._request.expect.size, self._replay.confirmed.values()
        parts = self._sizes.count_of(expected) if expected is not None else None
        self._tally(events.Begun(expected, parts, sum(one.size for one in confirmed), len(confirmed)))

    def _clean_up(self) -> None:
        """After a failure, abort the upload with --abort-on-failure; otherwise note how, if no checkpoint exists."""
        if self._record is None:
            return
        upload = self._record.upload
        if self._request.abort_on_failure and not upload.is_found:
            self._abort(self._record)
        elif self._request.abort_on_failure:
            self._context.note(
                f"upload {upload.upload_id} of {upload.target} is not aborted: the response to Initiate was lost, "
                "and it may be that of another client; if it is yours, abort it with",
                command=upload.abort_command,
            )
        elif self._context.checkpoint_path is None:
            self._context.note(
                "without a checkpoint the stored parts cannot be resumed; discard them with "
                "--abort-on-failure, or now with",
                command=upload.abort_command,
            )

    def _abort(self, record: ProgressRecord) -> None:
        upload = record.upload
        try:
            if not self._may_be_completed:
                abort_fully(self._context.store, upload, self._stop.sleep)
            elif not abort_incomplete(self._context, upload):
                return
            record.withdraw()
        except ObsupError as exc:
            self._context.note(
                f"upload {upload.upload_id} of {upload.target} could not be aborted: {exc.what}"
            )
        else:
            self._tally(events.Begun(self._tally.total, self._tally.parts))  # no part is stored any longer
            self._context.note(f"upload {upload.upload_id} of {upload.target} was aborted")


def check_stream_request(request: UploadRequest) -> None:
    """Raise WrongUsage for options that do not apply to a stream."""
    if request.target.key.endswith("/"):
        example = shell_word(f"{request.target.name}NAME")
        raise WrongUsage(
            f"the target {request.target} ends in /, and a stream has no file name to append",
            "A stream needs the whole key",
            NextStep(f"add a name: {example}"),
        )
    if request.executor not in LOCAL_EXECUTORS:
        raise WrongUsage(
            f"--executor {request.executor} cannot send a stream",
            "The parts of a stream are in the memory of this process",
            run_again(
                "use threads, or write the data to a file that all workers can read",
                add=("--executor", "threads"),
            ),
        )
    if request.skip_identical:
        raise WrongUsage(
            "--skip-identical does not apply to a stream",
            "The content of a stream is known only after it has been read",
            run_again("leave out --skip-identical", drop=("--skip-identical",)),
        )

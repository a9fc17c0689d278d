"""One upload from beginning to end: lock, plan, initiate or resume, send, complete, prove."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from obsup import events
from obsup.dialects.object_headers import object_headers
from obsup.engine.connect import Connection
from obsup.engine.dispatch import dispatch
from obsup.engine.executors import open_executor
from obsup.engine.finish import Finished, Finisher, PartsUnfit, expect, guard
from obsup.engine.ledger import Ledger
from obsup.engine.order import Order, Result
from obsup.engine.plan import DEFAULT_PART_SIZE, Plan, make_plan
from obsup.engine.progress import Tally
from obsup.engine.proof import TOKEN_NAME
from obsup.engine.resume import check_same_order, compare_with_file, keep_valid, refuse_changed
from obsup.engine.single import put_whole
from obsup.engine.stop import StopSignal
from obsup.engine.worker import PartJob, choose_proving, send_part
from obsup.errors import UploadGone
from obsup.local import checkpoint as checkpoints
from obsup.local.checkpoint import Checkpoint, CheckpointDamaged
from obsup.local.lock import UploadLock
from obsup.local.source import changes, check_readable, check_unchanged, stat_source
from obsup.model import Receipt, SourceStat, Upload
from obsup.store.verdicts import explain

REPAIRS = 2


class Uploader:
    """Carries out one Order at an open store. Raises ObsupError; whatever it raises, progress is kept.

    *gate* is called with the size of each block before it is read (a rate limit).
    """

    def __init__(
        self,
        connection: Connection,
        order: Order,
        *,
        tally: Tally | None = None,
        stop: StopSignal | None = None,
        gate: Callable[[int], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._store = connection.store
        self._order = order
        self._tally = tally or Tally(None)
        self._stop = stop or StopSignal()
        self._limit = gate
        self._clock = clock
        self._source = Path(order.source).absolute()
        self._proving = choose_proving(order.digest, connection.store.dialect, encrypted=order.encrypted)

    def run(self) -> Result:
        """Upload, and return once the object is in place and proved."""
        stat = stat_source(self._source)
        check_readable(self._source)
        plan = make_plan(
            stat.size,
            self._store.dialect.limits,
            parts=self._order.parts,
            part_size=self._order.part_size,
        )
        with UploadLock(
            self._order.target,
            wait=self._order.if_running == "wait",
            stopped=lambda: self._stop.reason is not None,
        ):
            return self._run_locked(stat, plan)

    def _run_locked(self, stat: SourceStat, plan: Plan) -> Result:
        path = self._checkpoint_path()
        found = self._load(path)
        if found is not None and self._order.restart:
            self._store.abort(found.upload)
            checkpoints.remove(path)
            found = None
        if found is None and self._fits_one_request(plan):
            return self._put_whole(stat, plan)
        ledger, plan = self._resume(found, path, stat, plan) if found else self._begin(path, stat, plan)
        finished = self._send_and_finish(ledger, plan, stat)
        ledger.remove()
        return self._result(ledger.checkpoint.upload, plan, finished)

    def _fits_one_request(self, plan: Plan) -> bool:
        """Return whether a single PutObject does: three calls for one part are not worth it."""
        return (
            plan.count == 1
            and plan.size <= DEFAULT_PART_SIZE
            and self._order.parts is None
            and self._order.part_size is None
        )

    def _checkpoint_path(self) -> Path:
        return self._order.checkpoint or checkpoints.default_path(self._source, self._order.target)

    def _load(self, path: Path) -> Checkpoint | None:
        if not self._order.keep_checkpoint:
            return None
        try:
            return checkpoints.load(path)
        except CheckpointDamaged as exc:
            self._tally(events.Noted(f"the checkpoint {path} is of no use: {exc}"))
            return None

    def _begin(self, path: Path, stat: SourceStat, plan: Plan) -> tuple[Ledger, Plan]:
        """Initiate an upload and write its checkpoint."""
        dialect = self._store.dialect
        headers = object_headers(dialect, self._order.options, "initiate", key=self._order.target.key)
        token = secrets.token_hex(16) if self._order.use_token and dialect.headers.upload_id is None else None
        if token is not None:
            headers[dialect.headers.meta + TOKEN_NAME] = token
        upload_id = self._store.initiate(self._order.target, headers)
        checkpoint = Checkpoint(
            source=str(self._source),
            stat=stat,
            upload=Upload(self._order.target, upload_id, token),
            part_size=plan.part_size,
            receipts={},
            created=self._clock(),
            headers_digest=self._order.headers_digest,
        )
        ledger = Ledger(checkpoint, path if self._order.keep_checkpoint else None, observe=self._tally)
        ledger.write()
        self._announce(plan, {})
        return ledger, plan

    def _resume(self, found: Checkpoint, path: Path, stat: SourceStat, plan: Plan) -> tuple[Ledger, Plan]:
        """Go on with the upload of the checkpoint: keep what the store holds and the file still says."""
        asked = plan if self._order.parts is not None or self._order.part_size is not None else None
        check_same_order(found, self._order.target, asked, self._order.headers_digest, path=path)
        if stat.size != found.stat.size:
            raise refuse_changed(self._source, found.stat, stat, [])
        plan = Plan(stat.size, found.part_size)
        try:
            receipts = self._reconcile(found, stat, plan)
        except UploadGone:
            return self._resume_gone(found, path, stat, plan)
        checkpoint = replace(found, stat=stat, receipts=receipts)
        ledger = Ledger(checkpoint, path, observe=self._tally)
        ledger.write()
        self._announce(plan, receipts)
        return ledger, plan

    def _resume_gone(
        self, found: Checkpoint, path: Path, stat: SourceStat, plan: Plan
    ) -> tuple[Ledger, Plan]:
        """The store knows the upload no more: it was completed by the run before, or nothing of it is left."""
        unchanged = not changes(found.stat, stat)
        if unchanged and len(found.receipts) == plan.count and self._finisher(found, plan).look() is not None:
            self._announce(plan, found.receipts)
            return Ledger(found, path, observe=self._tally), plan
        self._tally(
            events.Noted(
                f"the store no longer knows upload {found.upload.upload_id}: it was aborted or expired; "
                "beginning again"
            )
        )
        return self._begin(path, stat, plan)

    def _reconcile(self, found: Checkpoint, stat: SourceStat, plan: Plan) -> dict[int, Receipt]:
        trusted = not changes(found.stat, stat) and not self._order.verify_source
        receipts, differing = keep_valid(
            self._store.list_parts(found.upload),
            found.receipts,
            plan,
            trusted=trusted,
            check=lambda stored: compare_with_file(stored, self._source, plan, self._proving, self._stop.cut),
        )
        if differing:
            raise refuse_changed(self._source, found.stat, stat, differing)
        return receipts

    def _announce(self, plan: Plan, kept: Mapping[int, Receipt]) -> None:
        resumed = sum(one.size for one in kept.values())
        self._tally(events.Begun(plan.size, plan.count, resumed, len(kept)))

    def _send_and_finish(self, ledger: Ledger, plan: Plan, stat: SourceStat) -> Finished:
        for repair in range(1 + REPAIRS):
            self._send_missing(ledger, plan, stat)
            try:
                return self._finish(ledger, plan, stat)
            except PartsUnfit as exc:
                if repair == REPAIRS:
                    raise explain(exc.failure, doing=f"completing {self._order.target}") from exc
                ledger.receipts = self._reconcile(ledger.checkpoint, stat, plan)
        raise AssertionError("unreachable")

    def _send_missing(self, ledger: Ledger, plan: Plan, stat: SourceStat) -> None:
        upload = ledger.checkpoint.upload

        def jobs() -> Iterator[PartJob]:
            for part in plan.parts():
                if part.number not in ledger.receipts:
                    yield PartJob(
                        upload, part, str(self._source), stat, self._proving, self._order.content_md5
                    )

        executor = open_executor(self._order.executor, self._order.jobs)
        try:
            dispatch(
                jobs(),
                partial(send_part, store=self._store, observe=self._tally, gate=self._gate),
                executor,
                window=2 * self._order.jobs,
                stop=self._stop,
                keep=ledger.add,
            )
        finally:
            executor.shutdown(wait=not self._stop.is_over, cancel_futures=True)
            ledger.settle()

    def _gate(self, size: int) -> None:
        self._stop.cut()
        if self._limit is not None:
            self._limit(size)

    def _finisher(self, checkpoint: Checkpoint, plan: Plan) -> Finisher:
        receipts = guard(checkpoint.receipts, plan)
        expected = expect(
            receipts, plan, checkpoint.upload, dialect=self._store.dialect, proving=self._proving
        )
        return Finisher(self._store, checkpoint.upload, expected, self._connection.attempts())

    def _finish(self, ledger: Ledger, plan: Plan, stat: SourceStat) -> Finished:
        check_unchanged(self._source, stat)
        finisher = self._finisher(ledger.checkpoint, plan)
        headers = object_headers(
            self._store.dialect, self._order.options, "complete", key=self._order.target.key
        )
        parts = [(one.number, one.etag) for one in guard(ledger.receipts, plan)]
        return finisher.complete(parts, headers)

    def _put_whole(self, stat: SourceStat, plan: Plan) -> Result:
        headers = object_headers(self._store.dialect, self._order.options, "put", key=self._order.target.key)
        self._announce(plan, {})
        finished = put_whole(
            self._store,
            self._order,
            stat,
            headers,
            proving=self._proving,
            observe=self._tally,
            gate=self._gate,
        )
        return self._result(None, plan, finished)

    def _result(self, upload: Upload | None, plan: Plan, finished: Finished) -> Result:
        stored = finished.stored
        return Result(
            target=self._order.target,
            upload_id=upload.upload_id if upload else None,
            etag=stored.etag,
            verified=finished.verified,  # type: ignore[arg-type]
            size=plan.size,
            part_size=plan.part_size,
            parts=plan.count,
            sent_parts=self._tally.sent_parts,
            sent_bytes=self._tally.sent_bytes,
            seconds=self._tally.seconds,
            status=stored.status,
            request_id=stored.request_id,
            host_id=stored.host_id,
            version_id=stored.version_id,
            location=stored.location,
            sse_kms=stored.sse_kms,
            sse_kms_key=stored.sse_kms_key,
            sse_c=stored.sse_c,
            sse_c_key_md5=stored.sse_c_key_md5,
        )

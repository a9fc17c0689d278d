"""Many files through the same engine: one pool for all their parts, one journal, one outcome a file."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from msgspec.structs import replace

from obsup import events
from obsup.engine.batch.file_upload import FileUploader
from obsup.engine.batch.known_files import open_known_files
from obsup.engine.batch.loop import BatchLoop, Report
from obsup.engine.batch.outcome import BatchSummary
from obsup.engine.batch.pool import open_pool
from obsup.engine.batch.process_pool import ProcessPool
from obsup.engine.batch.request import BatchRequest
from obsup.engine.job.connection import Connection
from obsup.engine.job.context import UploadContext
from obsup.engine.job.stop import StopSignal
from obsup.local.source.file import Gate
from obsup.local.state.lock import UploadLock


class BatchUploader:
    """Carries out one BatchRequest at an open store. *limit* is that of Uploader; *observe* hears of every file."""

    def __init__(
        self,
        connection: Connection,
        order: BatchRequest,
        *,
        observe: events.Observer = events.ignore,
        stop: StopSignal | None = None,
        limit: Gate | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._order = order
        self._observe = observe
        self._stop = stop or StopSignal()
        self._limit = limit
        self._clock = clock

    def run(self, report: Report) -> BatchSummary:
        """Upload all; *report* hears of each file as it ends. Return what came of all.

        Raises ObsupError for what stands against all of them, before anything is sent.
        """
        begun, order, stop = time.monotonic(), self._order, self._stop
        with ExitStack() as held:
            held.enter_context(
                UploadLock(
                    replace(order.place, key=f"{order.place.key} ({order.stands_for})"),
                    wait=order.each.if_running == "wait",
                    is_stopped=lambda: stop.reason is not None,
                )
            )
            records = held.enter_context(open_known_files(order, self._connection, self._observe))
            pool = open_pool(
                UploadContext(self._connection, order.each, self._observe, stop, self._limit, self._clock)
            )
            held.callback(lambda: pool.close(wait=not stop.is_over))
            beside = ProcessPool(
                order,
                self._connection.settings,
                stop,
                is_limited=self._limit is not None,
                observe=self._hear_and(pool.concurrency),
            )
            held.callback(lambda: beside.close(wait=not stop.is_over))
            file_uploader = FileUploader(
                self._connection,
                order.common,
                concurrency=pool.concurrency,
                observe=self._observe,
                stop=stop,
                limit=self._limit,
                clock=self._clock,
            )
            summary = BatchLoop(
                order, file_uploader, records, pool, beside, stop=stop, observe=self._observe, report=report
            ).drive()
        summary.seconds = time.monotonic() - begun
        return summary

    def _hear_and(self, concurrency: events.Observer) -> events.Observer:
        """Return who hears what other interpreters tell: the number in flight is that of all."""

        def hear(event: events.Event) -> None:
            inner = events.of_one(event)
            if isinstance(inner, events.Retried):
                concurrency(replace(inner, number=None))
            if inner is not event or not isinstance(inner, events.Retried):
                self._observe(event)

        return hear

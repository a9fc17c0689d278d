"""Upload or compare many files through one worker pool, with one outcome per file."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial

from msgspec.structs import replace

from obsup import events
from obsup.engine.batch.bucket_index import empty_index
from obsup.engine.batch.file_groups import FileGroups, open_groups
from obsup.engine.batch.file_upload import FileUploader, compare_file
from obsup.engine.batch.known_files import KnownFiles, open_known_files
from obsup.engine.batch.loop import BatchLoop, Report
from obsup.engine.batch.outcome import BatchSummary, IncompleteFiles
from obsup.engine.batch.pool import Pool, open_pool
from obsup.engine.batch.request import BatchRequest
from obsup.engine.job.connection import Connection
from obsup.engine.job.context import UploadContext
from obsup.engine.job.job_limit import within_limits
from obsup.engine.job.stop import StopSignal
from obsup.local.source.digest import Gate
from obsup.local.state.lock import UploadLock
from obsup.local.walk.batch_id import lock_target

# Comparing waits for one HeadObject per small file, and for the disk.
COMPARED_AT_ONCE = 16


class BatchUploader:
    """Carries out one BatchRequest on an open store. *limit* is as for Uploader; *observe* receives all events."""

    def __init__(
        self,
        connection: Connection,
        request: BatchRequest,
        *,
        observe: events.Observer = events.ignore,
        stop: StopSignal | None = None,
        limit: Gate | None = None,
    ) -> None:
        self._connection = connection
        template = within_limits(request.shared.template, observe)
        self._request = replace(request, shared=replace(request.shared, template=template))
        self._observe = observe
        self._stop = stop or StopSignal()
        self._limit = limit

    def run(self, report: Report) -> BatchSummary:
        """Upload all files and return the summary; *report* is called with the outcome of each file.

        Raises ObsupError, before anything is sent, if no file could be uploaded.
        """
        started, request, stop = time.monotonic(), self._request, self._stop
        # An invalid option would fail for every file.
        request.shared.template.object_headers(self._connection.settings.dialect, "put", since_s=time.time())
        with ExitStack() as resources:
            resources.enter_context(self._lock())
            known_files = resources.enter_context(open_known_files(request, self._connection, self._observe))
            template = request.shared.template
            incomplete = IncompleteFiles(self._observe)
            context = UploadContext(self._connection, template, incomplete.observe, stop, self._limit)
            pool = open_pool(context)
            resources.callback(lambda: pool.close(wait=not stop.is_over))
            groups = open_groups(context, request, pool, self._group_observer(pool), resources)
            file_uploader = FileUploader(context, request.shared, concurrency=pool.concurrency)
            loop = BatchLoop(context, request, report, file_uploader.upload, known_files, pool, groups)
            summary = loop.run()
        incomplete.add_to(summary)
        summary.seconds = time.monotonic() - started
        return summary

    def _lock(self) -> UploadLock:
        """Return the lock of this batch."""
        request, stop = self._request, self._stop
        return UploadLock(
            lock_target(request.shared.prefix, request.batch_id),
            wait=request.shared.template.if_running == "wait",
            is_stopped=lambda: stop.reason is not None,
            note=lambda text: self._connection.learned.note(text, self._observe),
        )

    def _group_observer(self, pool: Pool) -> events.Observer:
        """Return the observer of events from other processes: throttling there slows down this process, too."""

        def observe(event: events.Event) -> None:
            inner = events.of_one(event)
            if isinstance(inner, events.Retried):
                pool.concurrency(replace(inner, number=None))
            if isinstance(inner, events.Noted):
                self._connection.learned.learn(inner.text, lambda: self._observe(event))
            elif inner is not event or not isinstance(inner, events.Retried):
                self._observe(event)

        return observe


def compare_batch(
    connection: Connection,
    request: BatchRequest,
    report: Report,
    *,
    observe: events.Observer = events.ignore,
    stop: StopSignal,
) -> BatchSummary:
    """Compare each file with its object and send nothing. *report* is called with the outcome of each file."""
    started = time.monotonic()
    template = replace(request.shared.template, jobs=COMPARED_AT_ONCE, keep_checkpoint=False)
    template = within_limits(template, events.ignore)  # the user asked for no number of comparisons
    request = replace(request, shared=replace(request.shared, template=template))
    context = UploadContext(connection, template, observe, stop, None)
    with ExitStack() as resources:
        index = resources.enter_context(empty_index())
        known_files = KnownFiles(request, connection.store.dialect, index, None, observe)
        pool = open_pool(context)
        resources.callback(lambda: pool.close(wait=not stop.is_over))
        compare = partial(compare_file, context, request.shared)
        summary = BatchLoop(context, request, report, compare, known_files, pool, FileGroups(None)).run()
    summary.seconds = time.monotonic() - started
    return summary

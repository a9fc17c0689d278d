"""Upload of one file of a batch, with the same steps as a single upload; or its comparison with its object."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from msgspec.structs import replace

from obsup import events
from obsup.engine.batch.known_files import Decision, PendingFile, is_recorded
from obsup.engine.batch.outcome import ALREADY_UPLOADED, FileOutcome
from obsup.engine.batch.request import SharedRequest
from obsup.engine.batch.small_file import MAX_SMALL_FILE_BYTES, SmallFileUploader
from obsup.engine.job.context import UploadContext
from obsup.engine.job.executor_spec import LOCAL_EXECUTORS
from obsup.engine.job.progress import ProgressTally
from obsup.engine.job.request import UploadRequest
from obsup.engine.job.result import Result, response_fields
from obsup.engine.plan.file_plan import DEFAULT_PART_SIZE
from obsup.engine.proof.object_proof import Verified
from obsup.engine.send.sender import PartSender
from obsup.engine.upload.uploader import Uploader
from obsup.engine.verify.existing_object import find_readable
from obsup.engine.verify.file_check import check_object
from obsup.engine.verify.object_lock import locks_later
from obsup.engine.verify.option_check import compare_with_request
from obsup.errors import UNAVAILABLE, Busy, ObsupError
from obsup.local.state.checkpoint_path import default_path
from obsup.local.state.journal import JournalEntry
from obsup.local.walk.walk import FoundFile
from obsup.model import Stored

# More than the parts of any upload, so that the part numbers of different files do not collide.
PART_NUMBERS_PER_FILE = 1 << 14
# The object of an upload that took no longer was last modified when the response was sent, as far as dates show that.
SHORT_S = 1.0
NOT_LOOKED_UP = "HeadObject is not permitted: files whose objects cannot be listed are sent again"


class FileUploader:
    """Uploads single files of one batch from any thread. Returns an outcome for each file and raises for none.

    *context* is that of the batch. Its observer receives the events of each file; *concurrency* receives the part
    events of all files, with part numbers that are unique in the batch.
    """

    def __init__(
        self, context: UploadContext, shared: SharedRequest, *, concurrency: events.Observer
    ) -> None:
        self._context = context
        self._shared = shared
        is_local = shared.template.executor in LOCAL_EXECUTORS
        is_simple = is_local and not shared.template.verify_source and not locks_later(context)
        self._small_files = SmallFileUploader(context, shared) if is_simple else None
        self._concurrency = concurrency
        self._file_numbers = itertools.count()

    def upload(
        self,
        pending: PendingFile,
        sender: PartSender,
        record: Callable[[Sequence[FileOutcome]], None] = lambda _outcomes: None,
    ) -> FileOutcome:
        """Upload the file, unless its object is in place; *record* its outcome in the journal, and return it.

        That of an upload in parts is recorded before its checkpoint is removed.
        """
        recorded: list[Result] = []

        def on_complete(result: Result) -> None:
            recorded.append(result)
            record([self._with_date(pending, FileOutcome.of(pending.file, result=result))])

        outcome = self._upload_pending(pending, sender, on_complete)
        if not recorded:
            outcome = self._with_date(pending, outcome)
            record([outcome])
        return outcome

    def _with_date(self, pending: PendingFile, outcome: FileOutcome) -> FileOutcome:
        """Return the outcome with the last modification of the object that was sent, if the next run needs it.

        A list does not show options, so the next run must know whether the object is still this one. The date of the
        response shows that too, if the upload was short and the clocks agree: they do not if the last run was in doubt.
        """
        result, request = outcome.result, self._context.request
        if result is None or outcome.skip_reason or request.strict_options or not request.has_object_options:
            return outcome
        if pending.entry is None and result.upload_id is None and result.seconds < SHORT_S:
            return outcome
        try:
            info = find_readable(self._context.store, result.target)
        except ObsupError:
            return outcome
        if info is None or not info.last_modified or info.etag.lower() != result.etag.lower():
            return outcome
        return replace(outcome, result=replace(result, date=info.last_modified))

    def _upload_pending(
        self, pending: PendingFile, sender: PartSender, on_complete: Callable[[Result], None]
    ) -> FileOutcome:
        file = pending.file
        if pending.entry is not None:
            try:
                kept = self._find_recorded(file, pending.entry)
            except ObsupError as exc:
                return FileOutcome.of(file, error=exc)
            if kept is not None:
                return FileOutcome.of(file, result=kept, skip_reason=ALREADY_UPLOADED)
            decision: Decision = "compare" if self._shared.template.skip_identical else "send"
            pending = PendingFile(file, decision)
        return self._upload(pending, sender, on_complete)

    def _find_recorded(self, file: FoundFile, entry: JournalEntry) -> Result | None:
        """Return the object that the journal recorded, if HeadObject shows it with the options of the request."""
        context, target = self._context, self._shared.prefix.below(file.name)
        try:
            info = find_readable(context.store, target)
        except UNAVAILABLE:
            context.note_once(NOT_LOOKED_UP)
            return None
        if info is None or (info.size, info.etag.lower()) != (file.stat.size, entry.etag.lower()):
            return None
        is_replaced = not is_recorded(info.last_modified, entry)
        is_new = context.request.strict_options and not is_replaced
        # The lock of the recorded object was confirmed. The duration of a retention counts from its upload.
        options = compare_with_request(context, info, is_new=is_new, without_lock=not is_replaced)
        if options.differ or (options.unknown and is_replaced):
            return None
        stored = Stored(200, info.etag, info.request_id, version_id=info.version_id, date=info.last_modified)
        return Result(
            target=target,
            upload_id=info.upload_id,
            verified=cast(Verified, entry.verified),
            size=info.size,
            part_size=DEFAULT_PART_SIZE,
            parts=1,
            # Only a new entry for an object that was replaced: the existing one stays as it is.
            source=file.stat if is_replaced else None,
            lock=info.lock,
            **response_fields(stored),
        )

    def _upload(
        self, pending: PendingFile, sender: PartSender, on_complete: Callable[[Result], None]
    ) -> FileOutcome:
        file, decision, _entry = pending
        first_number = next(self._file_numbers) * PART_NUMBERS_PER_FILE
        observe = _file_observer(file, first_number, self._concurrency, self._context.observe)
        if (
            self._small_files is not None
            and decision == "send"
            and file.stat.size <= MAX_SMALL_FILE_BYTES
            and self._shared.fits_one_request(file.stat.size)
            and (outcome := self._small_files.upload(file, observe)) is not None
        ):
            return outcome
        try:
            result = self._uploader_for(pending, sender, observe, on_complete).run()
        except ObsupError as exc:
            if isinstance(exc, Busy) and self._shared.template.if_running == "skip":
                return FileOutcome.of(file, skip_reason="another obsup is uploading it")
            return FileOutcome.of(file, error=exc)
        is_identical = decision == "compare" and not result.sent_parts
        skip_reason = "identical" if is_identical else ""
        return FileOutcome.of(file, result=result, skip_reason=skip_reason)

    def _uploader_for(
        self,
        pending: PendingFile,
        sender: PartSender,
        observe: events.Observer,
        on_complete: Callable[[Result], None],
    ) -> Uploader:
        context, tally = self._context, ProgressTally(None, observe)
        return Uploader(
            context.connection.observed_by(tally),
            self._request_for(pending.file, skip_identical=pending.decision == "compare"),
            tally=tally,
            stop=context.stop,
            limit=context.limit,
            sender=sender,
            clock=context.clock,
            on_complete=on_complete,
        )

    def _request_for(self, file: FoundFile, *, skip_identical: bool) -> UploadRequest:
        shared = self._shared
        source, target = Path(file.path), shared.prefix.below(file.name)
        folder = shared.checkpoint_folder
        return replace(
            shared.template,
            source=source,
            target=target,
            checkpoint=default_path(source, target, folder) if folder is not None else None,
            part_size=None if shared.fits_one_request(file.stat.size) else shared.template.part_size,
            skip_identical=skip_identical,
            link_free=file.link_free,
        )


def compare_file(
    context: UploadContext, shared: SharedRequest, pending: PendingFile, *_not_sent: object
) -> FileOutcome:
    """Compare one file with its object; the error of the outcome is that of ``check_object``. For any thread."""
    file = pending.file
    source, target = Path(file.path), shared.prefix.below(file.name)
    request = replace(shared.template, source=source, target=target, link_free=file.link_free)
    try:
        identical = check_object(replace(context, request=request), is_plan_given=False)
    except ObsupError as exc:
        return FileOutcome.of(file, error=exc)
    tally = ProgressTally(None, events.ignore)
    return FileOutcome.of(file, result=identical.result(request, tally, source=file.stat))


def _file_observer(
    file: FoundFile, first_number: int, concurrency: events.Observer, observe: events.Observer
) -> events.Observer:
    """Return an observer that forwards the events of one upload to *observe*, with the name of its file."""

    def forward(event: events.Event) -> None:
        if isinstance(event, events.PartSent):
            concurrency(events.PartSent(first_number + event.number, event.sent))
        elif isinstance(event, events.PartStored):
            concurrency(events.PartStored(first_number + event.number, event.size))
        elif isinstance(event, events.Retried):
            number = None if event.number is None else first_number + event.number
            concurrency(replace(event, number=number))
        is_progress = isinstance(event, events.PartSent | events.PartStored)
        if is_progress and file.stat.size <= MAX_SMALL_FILE_BYTES:
            return  # too short-lived to display
        if isinstance(event, events.OneFile):
            observe(events.OfFile(file.name, file.stat.size, event))

    return forward

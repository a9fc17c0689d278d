"""Complete an upload exactly once, and verify the object. If the outcome is unclear, the store is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from obsup.dialects.objects.object_headers import forbids_overwrite
from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Finished
from obsup.engine.job.send_options import CONFIRMS_CRC64
from obsup.engine.plan.file_plan import Plan
from obsup.engine.proof.object_proof import combined_crc64, sent_checksums, sent_crc64
from obsup.engine.proof.part_list import check_receipts
from obsup.engine.upload.adoption import not_listed
from obsup.engine.upload.progress_record import ProgressRecord
from obsup.engine.verify.existing_object import find_existing, object_exists
from obsup.engine.verify.object_probe import FoundObject, ObjectProbe, find_ours, probe_of
from obsup.errors import UNAVAILABLE, NetworkError, ObjectExists, ObsupError, StoreError, UploadGone
from obsup.local.source.digest import CRC64
from obsup.local.source.identity import content_changed
from obsup.model import Receipt, SourceStat, Stored, Upload
from obsup.store.answers.checksums import rejects_checksums
from obsup.store.answers.failure_rule import Action, FailureRule
from obsup.store.answers.failure_table import classify


class PartsRejected(Exception):
    """Complete rejected the stored parts: list them again, and send those again that do not fit.

    ``are_too_small``: the bucket requires larger parts.
    """

    def __init__(self, failure: StoreError | NetworkError, *, are_too_small: bool = False) -> None:
        super().__init__(failure)
        self.failure = failure
        self.are_too_small = are_too_small


# The codes of stores that confirmed checksums, but compute others, or do not know them in Complete.
_REJECTING_CHECKSUMS = frozenset(
    {"BadDigest", "InvalidRequest", "InvalidArgument", "InvalidPart", "MalformedXML"}
)


class Completer:
    """Completes one upload and verifies the object with *probe*."""

    def __init__(
        self,
        context: UploadContext,
        upload: Upload,
        probe: ObjectProbe,
        receipts: Sequence[Receipt],
        *,
        may_be_completed: bool,
    ) -> None:
        """*may_be_completed*: a Complete with these parts may have been executed.

        Otherwise, and as long as every Complete is rejected, another machine with a copy of the checkpoint may have
        completed it, perhaps of another file: then the mark of the object does not count.
        """
        self._context = context
        self._upload = upload
        self._probe = probe
        self.may_be_completed = may_be_completed
        self._parts = [(one.number, one.etag) for one in receipts]
        self._checksums = sent_checksums(receipts, upload)
        # Unless the source is hashed for a comparison, only a CRC-64 that the store returned is known.
        is_returned = context.connection.learned.has(CONFIRMS_CRC64) or not context.digests.crc64
        if context.digests.checksum == CRC64 and is_returned:
            self._checksums = sent_crc64(receipts)

    def complete(self, headers: Mapping[str, str], *, look_first: bool = False) -> Finished:
        """Assemble the parts, and return once the object is verified.

        *look_first*: an earlier run may have completed the upload, although the store still lists it.
        If a failure may hide a success (no response, 5xx, <Error> in a 200, upload gone), HeadObject decides. Raises
        PartsRejected if parts must be sent again, UploadGone if the upload is gone and the object is not ours,
        DataMismatch if the object is not the source.
        """
        found = self._probe.find_marked(by_mark=self.may_be_completed) if look_first else None
        if found is not None:
            report_if_listed(self._context, self._upload)
            return found.finished()

        must_look = forbids_overwrite(self._context.dialect, headers)

        def once() -> Finished:
            made = self._find_made_or_absent() if must_look else None
            if made is not None:
                return made
            before, self.may_be_completed = self.may_be_completed, True
            try:
                stored = self._assemble(headers)
            except (StoreError, NetworkError) as exc:
                self.may_be_completed = before or not _is_rejected(exc)
                return self._settle(exc)
            finished = self._probe.confirm(stored)
            if finished.note:
                self._context.note_once(finished.note)
            return finished

        return self._context.connection.attempts().run(once, doing=f"completing {self._upload.target}")

    def _assemble(self, headers: Mapping[str, str]) -> Stored:
        """Send Complete. If the store rejects it because of checksums, its ETag decides once the object is made."""
        store, checksums = self._context.store, self._checksums
        try:
            return store.complete(self._upload, self._parts, headers, checksums=checksums)
        except StoreError as exc:
            is_rejected = exc.refusal.code in _REJECTING_CHECKSUMS or rejects_checksums(exc.refusal)
            if checksums is None or not is_rejected:
                raise
        self._checksums = None
        return store.complete(self._upload, self._parts, headers)

    def _find_made_or_absent(self) -> Finished | None:
        """Return the object if this very upload made it, None if none exists. Raises ObjectExists for any other.

        Many stores ignore the condition in Complete.
        """
        info = find_existing(self._context.store, self._upload.target)
        if info is None:
            return None
        found = self._probe.check(info, by_mark=self.may_be_completed)
        if found is None or not found.is_marked:
            raise object_exists(self._upload.target, self._upload)
        report_if_listed(self._context, self._upload)
        return found.finished()

    def _settle(self, failure: StoreError | NetworkError) -> Finished:
        """Return the verified object if the failure hid a success; otherwise raise what it means."""
        rule = classify(failure)
        if rule.action in (Action.RELOAD_CREDENTIALS, Action.SET_CLOCK):
            raise failure
        found = self._find_ours(rule, failure)
        if found is not None and found.is_marked:
            report_if_listed(self._context, self._upload)
            return found.finished()
        # Without a mark, an object with the same content may be an older one.
        if found is not None and self._is_gone(rule):
            return found.finished()
        if rule.action in (Action.REPAIR, Action.ENLARGE):
            raise PartsRejected(failure, are_too_small=rule.action is Action.ENLARGE) from failure
        if rule.action is Action.RETRY and isinstance(failure, StoreError):
            # Ceph returns 500 to every Complete of an upload that it does not know.
            made = self._find_if_gone()
            if made is not None:
                return made
        if rule.error is ObjectExists and isinstance(failure, StoreError):
            raise object_exists(self._upload.target, self._upload, failure.refusal) from failure
        raise failure

    def _find_ours(self, rule: FailureRule, failure: StoreError | NetworkError) -> FoundObject | None:
        """Return the object that this upload made, or None. Raises *failure* if it cannot be shown."""
        try:
            return find_ours(self._context, self._probe, by_mark=self.may_be_completed)
        except UNAVAILABLE:
            # Credentials without HeadObject permission can still complete; only a gone upload needs HeadObject.
            if rule.error is UploadGone:
                raise
            raise failure from None

    def _is_gone(self, rule: FailureRule) -> bool:
        """Return whether the upload is gone. If parts cannot be listed, the failure of Complete decides."""
        try:
            return find_gone(self._context, self._upload) is not None
        except UNAVAILABLE:
            return rule.error is UploadGone

    def _find_if_gone(self) -> Finished | None:
        """Return the object if the upload is gone and made it; None if the upload exists.

        Raises UploadGone if neither exists.
        """
        try:
            gone = find_gone(self._context, self._upload)
        except UNAVAILABLE:
            return None
        if gone is None:
            return None
        found = find_ours(self._context, self._probe, by_mark=self.may_be_completed)
        if found is None:
            raise gone
        return found.finished()


def _is_rejected(failure: StoreError | NetworkError) -> bool:
    """Return whether *failure* shows that the store did not execute Complete."""
    if isinstance(failure, NetworkError):
        return not failure.sent
    return 400 <= failure.refusal.status < 500


def find_gone(context: UploadContext, upload: Upload) -> UploadGone | None:
    """Return the error if *upload*, which had parts, no longer exists; None if it does."""
    try:
        is_empty = not list(context.store.list_parts(upload))
    except UploadGone as exc:
        return exc
    # SeaweedFS returns an empty list.
    return not_listed(upload) if is_empty else None


def report_if_listed(context: UploadContext, upload: Upload) -> None:
    """Report if the store still lists *upload*, which made its object. Ceph does if its gateway died in between.

    It is neither completed again nor aborted: its parts are the object's, and the store could delete them.
    """
    try:
        gone = find_gone(context, upload)
    except ObsupError:
        return
    if gone is None:
        context.note(
            f"the object is in place, but the store still lists upload {upload.upload_id}, which made it; "
            "do not abort it: its parts may belong to the object"
        )


def complete(
    context: UploadContext,
    record: ProgressRecord,
    plan: Plan,
    *,
    stat: SourceStat | None = None,
    look_first: bool = False,
) -> Finished:
    """Assemble the upload of *record*, and return once the object is verified. Raises as ``Completer.complete``.

    *stat* is the identity of the source file; None for a stream. *look_first* is as there. As long as the outcome is
    unknown, the checkpoint records that Complete is sent: later, the mark of the object counts only then.

    Raises SourceChanged if the parts are not the file that was hashed at the start.
    """
    ordered = check_receipts(record.receipts, plan)
    digests = context.source_digests
    if digests is not None and combined_crc64(ordered) != digests.crc64:
        raise content_changed(context.source)
    probe = probe_of(context, record.upload, ordered, stat)
    was_sent = record.set_complete_sent(True)
    completer = Completer(context, record.upload, probe, ordered, may_be_completed=was_sent)
    try:
        finished = completer.complete(context.headers("complete"), look_first=look_first)
    except BaseException:
        record.set_complete_sent(completer.may_be_completed)
        raise
    return replace(finished, receipts=tuple(ordered))

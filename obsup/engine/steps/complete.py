"""Complete an upload whose parts any machine may have sent: check the store's list, assemble, verify the object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from msgspec.structs import replace

from obsup.engine.job.context import UploadContext
from obsup.engine.job.result import Finished, Result, response_fields
from obsup.engine.proof.object_options import lock_headers
from obsup.engine.proof.object_proof import (
    BY_CONTENT,
    Expected,
    Verified,
    contradicts,
    etag_of,
    with_listed_checksum,
)
from obsup.engine.steps.completion_checks import CompletionChecks, PartsCheck
from obsup.engine.steps.copy_part import check_copied_parts
from obsup.engine.steps.finished_object import FinishedObject, result_of
from obsup.engine.steps.lookup import (
    FoundUpload,
    UploadSelector,
    find_completed_upload,
    find_upload,
    require_upload,
)
from obsup.engine.upload.adoption import agreed_checksum, list_open_parts
from obsup.engine.upload.complete import Completer, PartsRejected
from obsup.engine.verify.etag_trial import has_opaque_etags
from obsup.engine.verify.existing_object import is_seen
from obsup.engine.verify.made_object import find_object_of
from obsup.engine.verify.object_lock import confirm_lock
from obsup.engine.verify.object_probe import probe_of
from obsup.engine.verify.option_check import check_customer_key, check_headers, look_up
from obsup.errors import CheckpointUnwritable, DataMismatch, NextStep, UploadGone, WrongUsage, run_again
from obsup.local.source.identity import check_uploaded, until_untouched
from obsup.local.state import checkpoint as checkpoints
from obsup.local.state import started_uploads
from obsup.model import ObjectInfo, Receipt, SourceStat, Upload
from obsup.store.answers.failure_table import as_error


class ManualCompletion:
    """Completes one upload. Raises DataMismatch, with the upload unchanged, if a check fails."""

    def __init__(self, context: UploadContext, selector: UploadSelector, checks: CompletionChecks) -> None:
        self._context = context
        self._selector = selector
        self._checks = checks

    def complete(self) -> Result:
        """Check the list of parts, assemble it, verify the object, and forget the upload.

        An upload that is already completed is a success if the object shows that this upload made it. Raises Refused if
        the object is not encrypted with the customer key of the request, CannotCompare if nothing shows that it is the
        source.
        """
        self._headers({})  # invalid options fail before anything is sent
        with self._context.lock():
            source = self._selector.source
            if source is not None:
                check_uploaded(source)
            result = self._locked(None) if source is None else until_untouched(source, self._locked)
            check_customer_key(self._context, result)
            return result

    def _locked(self, stat: SourceStat | None) -> Result:
        parts_check = PartsCheck(self._context, self._selector.source, stat, self._checks)
        result = self._complete_or_find(parts_check)
        parts_check.require_content()
        return result

    def _complete_or_find(self, parts_check: PartsCheck) -> Result:
        selected = find_upload(self._selector)
        if selected is not None:
            return self._complete(selected, parts_check)
        result = self._check_finished(self._find_finished(None), parts_check)
        if result is None:
            return self._complete(require_upload(self._selector), parts_check)
        self._note_unrecorded(None)
        return result

    def _complete(self, selected: FoundUpload, parts_check: PartsCheck) -> Result:
        selected.check_of_file()
        try:
            checkpoint = selected.checkpoint
            recorded = checkpoint.receipts if checkpoint is not None else None
            listed = list_open_parts(self._context, selected.upload, recorded)
        except UploadGone as exc:
            found = self._find_finished(selected)
            result = self._check_finished(found, parts_check)
            if found is None or result is None:
                raise selected.gone(exc, self._selector) from exc
            parts = [_as_sent(one, one) for one in found.receipts]
            return self._confirm_and_forget(selected, result, None, parts)
        check_copied_parts(selected.upload, listed)
        size = selected.started.size if selected.started is not None else None
        receipts = parts_check.receipts(listed, selected.checkpoint, recorded_size=size)
        return self._assemble(selected, receipts, parts_check)

    def _find_finished(self, selected: FoundUpload | None) -> FinishedObject | None:
        """Return what may find the object of the selected upload, None if no upload is known."""
        finished = find_completed_upload(self._selector)
        upload = selected.upload if selected is not None else None
        if finished is not None and upload is not None and finished.upload.upload_id != upload.upload_id:
            finished = None
        upload = finished.upload if finished is not None else upload
        if upload is None:
            return None
        checkpoint = selected.checkpoint if selected is not None else None
        return FinishedObject(self._context, upload, finished=finished, checkpoint=checkpoint)

    def _check_finished(self, found: FinishedObject | None, parts_check: PartsCheck) -> Result | None:
        """Return the object if the upload is completed and its object passes all checks."""
        result = found.check(parts_check, self._checks) if found is not None else None
        if result is not None and self._context.request.options.acl is not None:
            note = "the upload was completed before: whether the object has the ACL of --acl was not checked"
            self._context.note(note)
        return result

    def _with_checksum(self, upload: Upload, receipts: Sequence[Receipt]) -> Upload:
        """Return *upload* with the checksum that its parts have; only the store knows the type of some."""
        listed = with_listed_checksum(upload, receipts)
        if listed == upload or (listed.checksum is not None and listed.checksum.is_full_object):
            return listed
        return replace(listed, checksum=agreed_checksum(self._context, upload) or listed.checksum)

    def _assemble(self, selected: FoundUpload, receipts: list[Receipt], parts_check: PartsCheck) -> Result:
        context, upload = self._context, self._with_checksum(selected.upload, receipts)
        size, etags = sum(one.size for one in receipts), [one.etag for one in receipts]
        probe = probe_of(context, upload, receipts, parts_check.stat, crc64=parts_check.crc64)
        checkpoint = selected.checkpoint
        may_be_completed = checkpoint is None or checkpoint.is_complete_sent
        completer = Completer(context, upload, probe, receipts, may_be_completed=may_be_completed)
        try:
            with self._recorded(selected, completer):
                finished = completer.complete(self._headers(_recorded_options(selected)[1]), look_first=True)
        except PartsRejected as exc:
            raise as_error(exc.failure, doing=f"completing {upload.target}") from exc
        except UploadGone as exc:
            etag = etag_of(etags) if context.dialect.etag_is_composite else None
            found = find_object_of(context.store, upload, size=size, etag=etag)
            made = result_of(upload, found) if found is not None and found.verified in BY_CONTENT else None
            # Listed parts may have been damaged at a store that does not check the checksums that it agreed to.
            if found is None or made is None or probe.is_contradicted(found.info):
                raise selected.gone(exc, self._selector) from exc
            result, info = made, None
        else:
            info = finished.info
            if finished.verified in BY_CONTENT:
                parts_check.doubt = ""
            verified = self._verified(finished, etags)
            result = Result(
                target=upload.target,
                upload_id=upload.upload_id,
                verified=verified,
                size=size,
                part_size=receipts[0].size,
                parts=len(receipts),
                **response_fields(finished.stored),
            )
        own = selected.checkpoint.receipts if selected.checkpoint is not None else {}
        parts = [_as_sent(one, own.get(one.number)) for one in receipts]
        return self._confirm_and_forget(selected, result, info, parts)

    @contextmanager
    def _recorded(self, selected: FoundUpload, completer: Completer) -> Iterator[None]:
        """Record in the checkpoint, if there is one, that Complete is sent, as long as its outcome is unknown."""
        self._record(selected, is_complete_sent=True)
        try:
            yield
        except BaseException:
            self._record(selected, is_complete_sent=completer.may_be_completed)
            raise

    def _record(self, selected: FoundUpload, *, is_complete_sent: bool) -> None:
        if selected.checkpoint is None or selected.path is None:
            return
        try:
            checkpoints.record(selected.path, selected.upload, is_complete_sent=is_complete_sent)
        except CheckpointUnwritable as exc:
            self._context.note(f"{exc}; continuing without it")

    def _verified(self, finished: Finished, etags: Sequence[str]) -> Verified:
        """Return what verified the object that was made of the listed parts with these *etags*.

        Raises DataMismatch if its ETag is that of other parts: a store may assemble a part that replaced a listed one,
        and another upload may have replaced the object. The ETags of encrypted parts are not compared, and none if the
        content is verified.
        """
        stored, expected = finished.stored, etag_of(etags)
        is_opaque = (
            self._context.digests.opaque_etags or finished.is_encrypted or finished.verified in BY_CONTENT
        )
        if expected is None or is_opaque or not self._context.dialect.etag_is_composite:
            return finished.verified
        listed = Expected(None, expected, None, None, None)
        if contradicts(listed, stored.etag, None, ours=True) and not has_opaque_etags(self._context):
            raise DataMismatch(
                f"the object {self._context.request.target} is not made of the parts that were listed",
                f"Its ETag is {stored.etag}, that of the listed parts is {expected}",
                NextStep("check the object; another upload, or a part sent in between, may have replaced it"),
            )
        is_shown = finished.verified == "size" and stored.etag.lower() == expected
        return "etag" if is_shown else finished.verified

    def _requested(self, selected: FoundUpload) -> Mapping[str, str]:
        """Return the headers of the options that the object must have, as far as they are known here."""
        return {**_recorded_options(selected)[0], **self._context.headers("complete")}

    def _confirm_and_forget(
        self, selected: FoundUpload, result: Result, info: ObjectInfo | None, parts: Sequence[Receipt]
    ) -> Result:
        """Return *result* after checking the options of the object with *info*, or with HeadObject if that is needed.

        The upload is forgotten only if the object is locked as requested. Raises Refused.
        """
        context, requested = self._context, self._requested(selected)
        if lock_headers(context.dialect, requested):
            info = confirm_lock(context, requested, info, result)
        elif context.request.strict_options and requested and not is_seen(info, result):
            info = look_up(context, result)
        self._forget(selected, result, parts)
        if info is not None and info.headers:
            check_headers(context, requested, info)
        self._note_unrecorded(selected)
        return result if info is None else replace(result, lock=info.lock)

    def _note_unrecorded(self, selected: FoundUpload | None) -> None:
        checkpoint = selected.checkpoint if selected is not None else None
        started = selected.started if selected is not None else None
        # The record of an earlier version has no options, as that of an upload without any.
        is_recorded = started is not None and bool(started.requested)
        if checkpoint is not None:
            is_recorded = checkpoint.requested is not None
        if self._context.request.strict_options and not is_recorded:
            self._context.note("the options of the object were not compared: no checkpoint here records them")

    def _headers(self, recorded: Mapping[str, str]) -> dict[str, str]:
        """Return the headers of Complete: those *recorded* when it was initiated, and those given now.

        Raises WrongUsage.
        """
        context = self._context
        if context.request.options.acl is not None and not context.dialect.acl_on_complete:
            raise WrongUsage(
                f"{context.dialect.title} does not accept --acl on complete",
                "It takes the ACL when an upload is initiated",
                run_again("leave it out here, and give it to obsup init", drop=("--acl",)),
            )
        return {**recorded, **context.headers("complete")}

    def _forget(self, selected: FoundUpload, result: Result, parts: Sequence[Receipt]) -> None:
        """Record which upload made the object of which parts, and forget the upload."""
        source = str(self._selector.source.absolute()) if self._selector.source is not None else None
        etag = result.etag.lower() or None
        started_uploads.finish(
            started_uploads.StartedUpload(
                selected.upload, source, None, self._context.clock(), etag, result.size, tuple(parts)
            )
        )
        selected.forget()


def _as_sent(receipt: Receipt, own: Receipt | None) -> Receipt:
    """Return what a later run can compare with SOURCE: our *own* receipt if it is that of the listed part."""
    if own is None or own.etag.lower() != receipt.etag.lower():
        return receipt.listed.receipt
    return replace(own, is_unproven=False)  # this run has compared it


def _recorded_options(selected: FoundUpload) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the headers that the object must show and those of Complete, as recorded when the upload was initiated."""
    if selected.checkpoint is not None:
        return selected.checkpoint.requested or {}, selected.checkpoint.completing
    started = selected.started
    return (started.requested, started.completing) if started is not None else ({}, {})

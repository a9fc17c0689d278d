"""Initiate an upload without leaking it, even if the process is killed or the response is lost.

The checkpoint is written before the request, with the uploads of this key that are open at that time. If exactly one
upload without parts was initiated since then, at about that time, it is continued; the token of the object then shows
whether it was ours.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Collection, Sequence
from enum import IntEnum

from msgspec.structs import replace

from obsup.dialects.objects.header_values import metadata_bytes
from obsup.engine.job.context import UploadContext
from obsup.engine.job.send_options import remember_rejection
from obsup.engine.plan.file_plan import Plan
from obsup.engine.proof.part_proof import CHECKSUMS
from obsup.engine.upload.adoption import (
    agreed_checksum,
    find_interrupted,
    open_uploads,
    report_left_alone,
)
from obsup.engine.upload.progress_record import ProgressRecord, new_checkpoint, open_record
from obsup.engine.verify.etag_trial import abort_unused
from obsup.errors import (
    UNAVAILABLE,
    NetworkError,
    NextStep,
    ObsupError,
    Refused,
    StoreError,
    WrongUsage,
    run_again,
)
from obsup.local.state import rejected_checksums
from obsup.model import TOKEN_NAME, Initiated, OpenUpload, SourceStat, Target, Upload
from obsup.store.answers.checksums import agreement_headers, rejects_checksums
from obsup.store.answers.failure_rule import Action
from obsup.store.answers.failure_table import classify
from obsup.store.interface import ObjectStore

ENCRYPTION_OPTIONS = ("--sse", "--sse-kms-key-id", "--sse-c-key-file")
NOT_CONFIRMED = "The store accepts the request, but does not confirm the encryption; nothing was sent"


def initiate_recorded(
    context: UploadContext, stat: SourceStat, plan: Plan, *, left: Sequence[OpenUpload]
) -> ProgressRecord:
    """Initiate an upload and write its checkpoint. *left* are the open uploads of this key, which are left alone."""
    report_left_alone(context, left)
    context = context.begun_now()
    before = frozenset(one.upload_id for one in left)
    headers, token = headers_with_token(context)
    upload = Upload(context.request.target, "", token)
    checkpoint = replace(new_checkpoint(context, upload, stat, plan), open_before=tuple(sorted(before)))
    record = open_record(context, checkpoint, is_first=True)
    is_new = context.checkpoint_path is not None and not os.path.lexists(context.checkpoint_path)
    record.write()
    # An upload that the store rejected needs no checkpoint; an older checkpoint may belong to an upload that exists.
    withdraw = record.withdraw if is_new else _keep
    initiated = initiate_once(context, headers, before, token=token, withdraw=withdraw)
    record.set_upload(initiated_upload(context, initiated, token))
    return record


def initiated_upload(context: UploadContext, initiated: Initiated, token: str | None) -> Upload:
    """Return the upload that the store *initiated*. A checksum that the user asked for and that it lacks is noted."""
    digest = context.request.digest
    if digest in CHECKSUMS and (initiated.checksum is None or initiated.checksum.algorithm != digest):
        other = "MD5" if context.digests.md5 else "CRC-64"
        context.note_once(f"the store does not confirm --digest {digest}: parts are verified by {other}")
    return Upload(context.request.target, initiated.upload_id, token, initiated.is_found, initiated.checksum)


def _keep() -> None:
    pass


def headers_with_token(context: UploadContext) -> tuple[dict[str, str], str | None]:
    """Return the headers of Initiate and the token in them; no token with --no-token.

    An upload id identifies the upload that made an object, too, but not the upload of a lost response. Raises
    WrongUsage if the metadata leaves no room for the token.
    """
    headers, dialect = context.headers("initiate"), context.dialect
    if not context.request.use_token:
        return headers, None
    token = secrets.token_hex(16)
    headers = {**headers, dialect.headers.meta + TOKEN_NAME: token}
    size, most = metadata_bytes(dialect, headers), dialect.limits.max_metadata
    if size > most:
        raise WrongUsage(
            "the metadata leaves no room for the token of the upload",
            f"{dialect.title} accepts {most} bytes of names and values; with {TOKEN_NAME} there are {size}",
            NextStep("shorten the metadata, or leave out the token with --no-token"),
        )
    return headers, token


def initiate_once(
    context: UploadContext,
    headers: dict[str, str],
    before: frozenset[str],
    *,
    token: str | None,
    withdraw: Callable[[], None] = _keep,
) -> Initiated:
    """Initiate an upload and return the store's response. If that was lost, the upload is found by listing.

    Without a *token* nothing could show later that it is ours: another one is initiated, and that one reported.
    *withdraw* is called if the store initiated no upload, or one that cannot be used: then Refused is raised. Raises as
    ``find_interrupted`` if the response was lost.
    """
    initiation = _Initiation(context, headers, before, token)
    try:
        initiated = context.connection.attempts().run(
            initiation.attempt, doing=f"initiating {context.request.target}"
        )
    except ObsupError:
        if initiation.doubt < initiation.least:
            withdraw()
        raise
    context.connection.learned.note_postponed(context.observe)
    if not initiated.is_found:
        try:
            _check_initiated(context, initiated, before)
        except Refused:
            withdraw()
            raise
    if initiation.doubt is not _Doubt.NONE:
        # A response that was lost may have left one of them behind.
        known = {*before, initiated.upload_id}
        report_left_alone(context, [one for one in open_uploads(context) if one.upload_id not in known])
    return initiated


def _check_initiated(context: UploadContext, initiated: Initiated, before: Collection[str]) -> None:
    """Raise Refused if the response names an older upload or another encryption, or no longer confirms encryption.

    A store may have several gateways, of which some ignore encryption.
    """
    target, requested = context.request.target, context.encryption
    upload = Upload(target, initiated.upload_id)
    check_is_new(upload, before)
    if requested is None:
        return
    is_missing = context.encryption_of_initiate is not None and not requested.is_confirmed_by(
        initiated.response
    )
    if is_missing or requested.is_denied_by(initiated.response):
        abort_unused(context.store, upload, context.observe)
        raise Refused(
            f"the store does not encrypt the upload of {target} as requested by {requested}",
            NOT_CONFIRMED,
            run_again("use another store, or other encryption", drop=ENCRYPTION_OPTIONS),
        )


def check_is_new(upload: Upload, before: Collection[str]) -> None:
    """Raise Refused if *upload*, which the store returned for a new one, was open *before*: it is another client's."""
    if upload.upload_id in before:
        raise Refused(
            f"the store did not initiate a new upload of {upload.target}",
            f"It returned the upload id {upload.upload_id}, which was open before; that upload is left alone",
            run_again("use another key, or abort that upload if it is no longer needed"),
        )


def _initiate(context: UploadContext, headers: dict[str, str]) -> Initiated:
    """Initiate an upload and ask for checksums; remember it if the store rejects their headers."""
    target, asked = context.request.target, context.digests.checksum
    initiated, is_rejected = ask_for_checksums(context.store, target, headers, asked)
    if is_rejected:
        remember_rejection(context.connection.learned, target)
    elif initiated.checksum is not None and context.request.digest != "auto":
        rejected_checksums.forget(target)
    return initiated


def ask_for_checksums(
    store: ObjectStore, target: Target, headers: dict[str, str], algorithm: str | None
) -> tuple[Initiated, bool]:
    """Initiate an upload with checksums of *algorithm*, without them if the store rejects their headers.

    Returns the response, with a checksum only if it is the one that was asked for, and whether they were rejected.
    """
    names = store.dialect.headers
    asked = agreement_headers(names, algorithm)
    is_given = any(name.lower().startswith(names.checksum or "-") for name in headers)
    if not asked or is_given:
        return store.initiate(target, headers), False
    try:
        initiated = store.initiate(target, headers | asked)
    except StoreError as exc:
        if not rejects_checksums(exc.refusal):
            raise
        return replace(store.initiate(target, headers), checksum=None), True
    agreed = initiated.checksum
    is_other = agreed is not None and agreed.algorithm != algorithm
    return (replace(initiated, checksum=None) if is_other else initiated), False


class _Doubt(IntEnum):
    """Whether the store has initiated an upload, although it returned no upload id."""

    NONE = 0
    FAILED = 1  # it returned an error: only a list shows one
    LOST = 2  # no response of the store itself


class _Initiation:
    """The attempts to initiate one upload. *doubt* is what failed ones leave open; up from *least*, a list decides."""

    def __init__(
        self, context: UploadContext, headers: dict[str, str], before: frozenset[str], token: str | None
    ) -> None:
        self._context = context
        self._headers = headers
        self._before = before
        self._token = token
        self._started_s = context.now_s()
        self.doubt = _Doubt.NONE
        self.least = _Doubt.FAILED

    def attempt(self) -> Initiated:
        """Return the upload that an earlier attempt left behind, or initiate one."""
        context, earlier = self._context, self.doubt
        if earlier >= self.least:
            try:
                upload_id = find_interrupted(context, self._before, self._started_s, self._token)
            except UNAVAILABLE:
                if earlier is _Doubt.LOST:
                    raise
                upload_id, self.least = None, _Doubt.LOST
            if upload_id is not None:
                checksum = agreed_checksum(context, Upload(context.request.target, upload_id))
                return Initiated(upload_id, is_found=True, checksum=checksum)
        self.doubt = _Doubt.LOST
        try:
            initiated = _initiate(context, self._headers)
        except (NetworkError, StoreError) as exc:
            self.doubt = max(earlier, _doubt_after(exc))
            raise
        self.doubt = earlier
        return initiated


def may_have_initiated(failure: NetworkError | StoreError) -> bool:
    """Return whether the store may have initiated an upload, although the request failed."""
    return _doubt_after(failure) is not _Doubt.NONE


def _doubt_after(failure: NetworkError | StoreError) -> _Doubt:
    if isinstance(failure, NetworkError):
        return _Doubt.LOST if failure.sent else _Doubt.NONE
    if 400 <= failure.refusal.status < 500 or classify(failure).action in (Action.SLOW_DOWN, Action.FAIL):
        return _Doubt.NONE
    return _Doubt.FAILED if failure.refusal.status == 500 else _Doubt.LOST

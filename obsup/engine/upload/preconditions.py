"""What must be true before the first byte is sent: --no-overwrite allows it, and the store encrypts if asked to."""

from __future__ import annotations

import hashlib
from functools import partial

from obsup.dialects.endpoints import is_vendor_host
from obsup.engine.job.context import UploadContext
from obsup.engine.job.send_options import initiate_confirms, parts_confirm
from obsup.engine.proof.encryption import RequestedEncryption
from obsup.engine.proof.object_proof import is_marked, mark_of
from obsup.engine.upload.adoption import open_uploads
from obsup.engine.upload.initiate import (
    ENCRYPTION_OPTIONS,
    NOT_CONFIRMED,
    check_is_new,
    may_have_initiated,
)
from obsup.engine.verify.etag_trial import OneByte, abort_unused, as_content_md5
from obsup.engine.verify.existing_object import find_existing, object_exists
from obsup.errors import NetworkError, ObsupError, Refused, StoreError, run_again
from obsup.local.state import started_uploads
from obsup.local.state.started_uploads import StartedUpload
from obsup.model import Initiated, Upload
from obsup.store.http.body import BodyDigests
from obsup.text import quoted
from obsup.units import counted


def check_target(context: UploadContext, upload: Upload | None = None) -> None:
    """Check the target before an upload in parts is initiated, or before the open *upload* is continued.

    Raises ObjectExists if the request forbids overwriting the object that exists, and as ``require_encryption`` does.
    """
    target = context.request.target
    if context.request.options.no_overwrite:
        info = find_existing(context.store, target)
        # The upload that made the object may still be listed.
        is_own = upload is not None and info is not None and is_marked(mark_of(upload), info)
        if info is not None and not is_own:
            raise object_exists(target, upload)
    require_encryption(context)


def require_encryption(context: UploadContext) -> None:
    """Raise Refused unless the store is known to encrypt, if the request asks for encryption.

    Some stores ignore the request. A vendor's own host is known to comply; any other is tried out once per bucket, with
    an upload that is aborted again.
    """
    requested, target = context.encryption, context.request.target
    if requested is not None and not is_vendor_host(target.endpoint):
        fact = ("encrypts", target.endpoint, target.bucket, requested)
        context.connection.learned.learn(fact, partial(_try_out, context, requested))


def _try_out(context: UploadContext, requested: RequestedEncryption) -> None:
    """Initiate an upload, and abort it. MinIO confirms the encryption only with the first part, so send one byte."""
    target = context.request.target
    before = {one.upload_id for one in open_uploads(context)}
    initiated = _initiate_trial(context, requested)
    context.connection.learned.note_postponed(context.observe)
    upload = Upload(target, initiated.upload_id)
    check_is_new(upload, before if started_uploads.find(upload) is None else {upload.upload_id})
    started_uploads.add(StartedUpload(upload, None, None, context.now_s()))
    try:
        if requested.is_confirmed_by(initiated.response):
            context.connection.learned.add(initiate_confirms(target, requested))
            return
        content = b"\0"
        md5 = as_content_md5(hashlib.md5(content, usedforsecurity=False).hexdigest())
        stored = context.store.upload_part(upload, 1, lambda: OneByte(content), BodyDigests(md5))
        if requested.is_confirmed_by(stored):
            context.connection.learned.add(parts_confirm(target, requested))
            return
    finally:
        abort_unused(context.store, upload, context.observe)
    raise Refused(
        f"the bucket {quoted(target.bucket)} does not encrypt objects as requested by {requested}",
        NOT_CONFIRMED,
        run_again("use another store, or leave out the encryption", drop=ENCRYPTION_OPTIONS),
    )


def _initiate_trial(context: UploadContext, requested: RequestedEncryption) -> Initiated:
    """Initiate an upload that will be aborted. One whose response is lost is named, not looked for.

    The list does not show whose an upload is, and that of another client must not be aborted.
    """
    target, in_doubt = context.request.target, 0
    headers = requested.headers(context.dialect.headers)

    def once() -> Initiated:
        nonlocal in_doubt
        try:
            return context.store.initiate(target, headers)
        except (NetworkError, StoreError) as exc:
            in_doubt += may_have_initiated(exc)
            raise

    try:
        return context.connection.attempts().run(once, doing=f"initiating {target}")
    except ObsupError as exc:
        # Swift has no encryption (501); SeaweedFS fails with 500 for ever if it is not configured.
        if exc.refusal is not None and exc.refusal.status in (500, 501):
            exc.next_step = run_again(f"check that the store supports {requested} and is configured for it")
        raise
    finally:
        if in_doubt:
            text = f"{counted(in_doubt, 'upload')} without parts, which tried out the encryption, may still be open; "
            context.note(f"{text}list the open ones with", command=("obsup", "uploads", target.name))

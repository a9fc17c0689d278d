"""Beginning an upload so that not even a kill in the middle, or a lost answer, leaves one that nobody knows.

What is meant is written down before the store is asked, with the uploads of this key that were open before. One
that is open later, and was not then, is ours.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable

from msgspec.structs import replace

from obsup import events
from obsup.dialects.object_headers import options_of_complete
from obsup.engine.job.context import UploadContext
from obsup.engine.plan.file_plan import Plan
from obsup.engine.proof.object_proof import TOKEN_NAME
from obsup.engine.upload.progress_record import ProgressRecord, open_record
from obsup.errors import BadConfiguration, NetworkError, ObsupError, StoreError, WrongUsage
from obsup.local.source.file import sha256_of
from obsup.local.state import started_uploads
from obsup.local.state.checkpoint import Checkpoint
from obsup.model import OpenUpload, SourceStat, StoredPart, Upload


def open_uploads(context: UploadContext) -> list[OpenUpload]:
    """Return the open uploads of the target's very key, newest first; none where listing is not permitted."""
    target = context.request.target
    try:
        listed = [
            one for one in context.store.list_uploads(target.bucket, target.key) if one.key == target.key
        ]
    except ObsupError as exc:
        if exc.retryable or (isinstance(exc, BadConfiguration) and exc.refusal is None):
            raise
        context.observe(events.Noted(f"the open uploads of {target} cannot be listed: {exc.what}"))
        return []
    return sorted(listed, key=lambda one: one.initiated, reverse=True)


def initiate_recorded(
    context: UploadContext, stat: SourceStat, plan: Plan, *, before: frozenset[str]
) -> ProgressRecord:
    """Initiate an upload and write its checkpoint. *before* holds the upload ids that were open for this key."""
    headers, token = headers_with_token(context)
    meant = Checkpoint(
        source=context.source_name,
        stat=stat,
        upload=Upload(context.request.target, "", token),
        part_size=plan.part_size,
        receipts={},
        created=context.clock(),
        headers_digest=context.request.headers_digest,
        source_sha256=requested_sha256(context),
        open_before=tuple(sorted(before)),
        growth=plan.growth,
        completing=context.headers("complete"),
    )
    record = open_record(context, meant, is_first=True)
    is_new = context.checkpoint_path is not None and not os.path.lexists(context.checkpoint_path)
    record.write()
    # What a store refused was never begun, and wants no record; an older record may be of what was.
    withdraw = record.remove if is_new else _keep
    upload = replace(meant.upload, upload_id=initiate_once(context, headers, before, withdraw=withdraw))
    record.set_upload(upload)
    return record


def _keep() -> None:
    pass


def requested_sha256(context: UploadContext) -> str | None:
    """Return the SHA-256 of the source in hex where --verify-source asks for it. Raises as reading does."""
    if not context.request.verify_source or not context.source.is_file():
        return None
    return sha256_of(context.source, context.read_gate)


def headers_with_token(context: UploadContext) -> tuple[dict[str, str], str | None]:
    """Return the headers of Initiate and the token in them, None where the store has a better mark of its own."""
    headers = context.headers("initiate")
    names = context.dialect.headers
    if not context.request.use_token or names.upload_id is not None:
        return headers, None
    token = secrets.token_hex(16)
    return {**headers, names.meta + TOKEN_NAME: token}, token


def initiate_once(
    context: UploadContext,
    headers: dict[str, str],
    before: frozenset[str],
    *,
    withdraw: Callable[[], None] = _keep,
) -> str:
    """Return the upload id of a new upload. Where an answer was lost, the upload that it was about is found.

    *withdraw* is called where the store certainly began none.
    """
    in_doubt = False

    def once() -> str:
        nonlocal in_doubt
        if in_doubt:
            found = find_own_upload(context, before)
            if found is not None:
                return found
        was_in_doubt, in_doubt = in_doubt, True
        try:
            return context.store.initiate(context.request.target, headers)
        except NetworkError as exc:
            in_doubt = was_in_doubt or exc.sent
            raise
        except StoreError as exc:
            in_doubt = was_in_doubt or not 400 <= exc.refusal.status < 500
            raise

    try:
        return context.connection.attempts().run(once, doing=f"initiating {context.request.target}")
    except ObsupError:
        if not in_doubt:
            withdraw()
        raise


def find_own_upload(context: UploadContext, before: frozenset[str]) -> str | None:
    """Return the upload id of an open upload of this key that was not open *before* and has no parts, or None."""
    fresh = (one.upload_id for one in open_uploads(context) if one.upload_id not in before)
    return next((upload_id for upload_id in fresh if parts_of(context, upload_id) == []), None)


def parts_of(context: UploadContext, upload_id: str) -> list[StoredPart] | None:
    """Return the parts of an open upload that may be ours; None where it is gone, or not ours to look into."""
    try:
        return list(context.store.list_parts(Upload(context.request.target, upload_id)))
    except ObsupError as exc:
        if exc.retryable:
            raise
        return None


def initiate(context: UploadContext) -> Upload:
    """Initiate an upload of a source that is not known yet, and remember that it is ours.

    Raises WrongUsage for what would have to be known when it is completed: nothing here remembers that.
    """
    headers, token = headers_with_token(context)
    late = options_of_complete(context.dialect, context.request.options)
    if late:
        raise WrongUsage(
            f"{' and '.join(late)} would be forgotten until the upload is completed",
            f"{context.dialect.title} takes it on Complete, and without SOURCE no checkpoint stores it",
            f"give {' and '.join(late)} to obsup complete",
        )
    before = frozenset(one.upload_id for one in open_uploads(context))
    upload = Upload(context.request.target, initiate_once(context, headers, before), token)
    started_uploads.add(started_uploads.StartedUpload(upload, None, None, context.clock()))
    return upload

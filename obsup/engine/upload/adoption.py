"""Which open uploads of the target may be continued, although no checkpoint records them.

An upload keeps the object options that it was initiated with, and no store returns them before the object exists. Only
an upload that this machine started with the options of this request is continued, or the one that an interrupted
initiation of this request left behind. Every other one is left alone and reported.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from obsup.dates import iso_date
from obsup.engine.job.context import UploadContext
from obsup.errors import (
    UNAVAILABLE,
    BadConfiguration,
    Denied,
    NotPermitted,
    ObsupError,
    Unsupported,
    UploadGone,
    run_again,
)
from obsup.local.state import started_uploads
from obsup.model import OpenUpload, Receipt, StoredPart, Upload, UploadChecksum

# Stores reject requests of a client whose clock differs by more than this: the date of an initiation by the store's
# clock differs at most so much from its date by the clock of this computer.
CLOCK_TOLERANCE_S = 900.0


def open_uploads(context: UploadContext) -> list[OpenUpload]:
    """Return the open uploads of the target's key, newest first; none if listing is not permitted."""
    try:
        return sorted(_list_uploads(context), key=lambda one: one.initiated, reverse=True)
    except ObsupError as exc:
        if exc.retryable or (isinstance(exc, BadConfiguration) and exc.refusal is None):
            raise
        text = f"cannot list the open uploads of {context.request.target}: {exc.what}"
        # A wrong key is rejected by Initiate, too, and then that error is enough.
        context.connection.learned.postpone(text)
        if not isinstance(exc, Denied) or isinstance(exc, NotPermitted):
            context.connection.learned.note_postponed(context.observe)
        return []


def _list_uploads(context: UploadContext) -> list[OpenUpload]:
    target = context.request.target
    return [one for one in context.store.list_uploads(target.bucket, target.key) if one.key == target.key]


def parts_of(context: UploadContext, upload: Upload) -> list[StoredPart] | None:
    """Return the parts of an open upload, None if it is gone or may not be listed."""
    try:
        return list(context.store.list_parts(upload))
    except ObsupError as exc:
        if exc.retryable:
            raise
        return None


def list_open_parts(
    context: UploadContext, upload: Upload, recorded: Mapping[int, Receipt] | None = None
) -> list[StoredPart]:
    """Return the stored parts of *upload*, which this machine has recorded.

    If parts cannot be listed, they are those of the receipts *recorded*; without these, raises NotPermitted or
    Unsupported. Raises UploadGone also if the store lists neither parts nor upload: SeaweedFS returns an empty list,
    and no error, for an upload that does not exist. If uploads cannot be listed, an empty list may be right.
    """
    listed, note = [], ""
    try:
        listed = list(context.store.list_parts(upload))
    except UNAVAILABLE as exc:
        if recorded is None:
            raise
        note = f"cannot list the parts of {upload.target}: {exc.what}; continuing with the recorded parts"
    if listed:
        return listed
    if not _may_be_open(context, upload):
        raise not_listed(upload)
    if not note or recorded is None:
        return []
    context.note(note)
    return [one.listed for one in recorded.values()]


def agreed_checksum(context: UploadContext, upload: Upload) -> UploadChecksum | None:
    """Return the checksum that the store agreed to for *upload*, None if it does not show one."""
    try:
        return context.store.upload_checksum(upload)
    except ObsupError as exc:
        if exc.retryable:
            raise
        return None


def _may_be_open(context: UploadContext, upload: Upload) -> bool:
    """Return whether the store lists *upload*, or lists no uploads."""
    try:
        return any(one.upload_id == upload.upload_id for one in _list_uploads(context))
    except ObsupError as exc:
        if exc.retryable:
            raise
        return True


def not_listed(upload: Upload) -> UploadGone:
    """Return the error for an upload that the store does not list."""
    return UploadGone(
        f"upload {upload.upload_id} of {upload.target} does not exist",
        "The store lists neither its parts nor the upload: it was completed or aborted, or it expired",
        run_again("start over", add=("--restart",)),
    )


def recorded_uploads(context: UploadContext, listed: Sequence[OpenUpload]) -> list[Upload]:
    """Return those of *listed* that this machine started for this source, with the object options of this request."""
    uploads = (Upload(context.request.target, one.upload_id) for one in listed)
    source, options = str(context.source), context.options_digest
    own = (started_uploads.find_own(one, source, options) for one in uploads)
    return [one for one in own if one is not None]


def find_interrupted(
    context: UploadContext, before: Collection[str], since_s: float, token: str | None
) -> str | None:
    """Return the id of the upload that an initiation at *since_s* left behind; None if that is uncertain.

    Without a *token* in its headers, nothing could show later that the upload was ours. Nor would anything show that it
    is encrypted, unless the responses to parts do. Raises as ``find_candidates``.
    """
    encryption = context.encryption_of_initiate
    is_shown_later = token is not None and (encryption is None or bool(encryption.customer_key_md5))
    candidates = find_candidates(context, before, since_s)
    return candidates[0] if len(candidates) == 1 and is_shown_later else None


def find_candidates(context: UploadContext, before: Collection[str], since_s: float) -> list[str]:
    """Return the ids of the uploads that an initiation at *since_s* may have left behind.

    They were not open *before*, have no parts, and were initiated at *since_s* (seconds since the epoch). None if the
    store returns no dates. Raises NotPermitted or Unsupported if uploads, or the parts of one, cannot be listed.
    """
    try:
        return [
            one.upload_id
            for one in _list_uploads(context)
            if one.upload_id not in before
            and one.initiated_s is not None
            and abs(one.initiated_s - since_s) <= CLOCK_TOLERANCE_S
            and _is_empty(context, Upload(context.request.target, one.upload_id))
        ]
    except UNAVAILABLE as exc:
        raise _unknown_upload(context, since_s, exc) from exc


def _is_empty(context: UploadContext, upload: Upload) -> bool:
    """Return whether *upload* exists and has no parts."""
    try:
        return not list(context.store.list_parts(upload))
    except UploadGone:
        return False


def unknown_upload(context: UploadContext, since_s: float) -> str:
    """Return the text about an upload whose initiation at *since_s* was interrupted."""
    date = iso_date(since_s)
    return f"an upload of {context.request.target} may be open since {date}, and its upload id is unknown"


def _unknown_upload(
    context: UploadContext, since_s: float, unavailable: NotPermitted | Unsupported
) -> NotPermitted | Unsupported:
    """Return the error for an upload whose initiation at *since_s* was interrupted, and whose id cannot be found.

    Without a checkpoint, a new command knows nothing of it.
    """
    text = "request the permission to list uploads and parts, or leave that upload to a lifecycle rule of the bucket"
    return type(unavailable)(
        unknown_upload(context, since_s),
        f"The response to its initiation was lost, and each attempt could leave one more behind ({unavailable.what})",
        run_again(text, add=("--restart",) if context.checkpoint_path is not None else ()),
        unavailable.refusal,
    )


def report_left_alone(context: UploadContext, left: Sequence[OpenUpload]) -> None:
    """Tell the user which open uploads of the target are not continued, and how to abort the newest of them."""
    if not left:
        return
    target, newest = context.request.target, left[0]
    text = f"the open upload {newest.upload_id} of {target} (initiated {newest.initiated or 'at an unknown time'})"
    if len(left) == 1:
        text += " was left alone: it is not known to have the object options of this command; if it is"
    else:
        text += f" and {len(left) - 1} more were left alone: they are not known to have the object options of this "
        text += "command; if the first one is"
    context.note(
        f"{text} no longer needed, abort it with", command=Upload(target, newest.upload_id).abort_command
    )

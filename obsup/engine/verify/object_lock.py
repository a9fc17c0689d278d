"""Is the object locked as requested? In a store that can lock it after the upload, it is locked now if it is not."""

from __future__ import annotations

from collections.abc import Mapping

from obsup.dialects.endpoints import is_vendor_host
from obsup.engine.job.context import UploadContext
from obsup.engine.proof.object_options import compare_options, lock_headers
from obsup.engine.verify.existing_object import Made, find_made_object, is_seen
from obsup.errors import UNAVAILABLE, NextStep, ObsupError, Refused, run_again
from obsup.model import ObjectInfo, ObjectLock

# The id of an object in a bucket whose versioning is suspended.
_NO_VERSION = "null"


def locks_later(context: UploadContext) -> bool:
    """Return whether the request asks for a retention that the vendor may set only after the upload."""
    return context.dialect.locks_later and context.request.options.retention is not None


def confirm_lock(
    context: UploadContext, headers: Mapping[str, str], info: ObjectInfo | None, made: Made
) -> ObjectInfo | None:
    """Return what HeadObject shows of the object *made*, once that confirms the lock that *headers* ask for.

    *info* is what it has shown before. If the store ignored the headers of the upload (OBS, Ceph for uploads in parts),
    that version is locked now. None without the permission for HeadObject, if the store is known to comply.
    Raises Refused if the object is not locked, and as ``ObjectStore.head_object``.
    """
    target, lock = context.request.target, lock_headers(context.dialect, headers)
    if not is_seen(info, made):
        info = _look_up(context, made)
    version_id = made.version_id or (info.version_id if info is not None else None)
    if version_id == _NO_VERSION:
        version_id = None
    if info is not None and _is_locked(context, lock, info, version_id):
        return info
    is_hidden = info is None or not any(name.lower() in info.headers for name in lock)
    # Amazon's own hosts never accept the headers of a lock without effect.
    if is_vendor_host(target.endpoint) and not context.dialect.locks_later:
        is_accepted = is_hidden
    else:
        _set_lock(context, lock, version_id)
        info = _look_up(context, made)
        is_accepted = info is None or _is_locked(context, lock, info, version_id)
    if not is_accepted:
        raise Refused(
            f"the object {target} is complete and verified, but HeadObject does not show the requested lock",
            "The store ignored it, or hides it from these credentials (permissions GetObjectRetention and "
            "GetObjectLegalHold); the object stays as it is",
            run_again("use a bucket with Object Lock, or request the permissions"),
        )
    if info is None:
        note = f"whether {target} is locked was not checked: HeadObject is not permitted"
        context.note_once(note)
    return info


def _is_locked(
    context: UploadContext, lock: Mapping[str, str], info: ObjectInfo, version_id: str | None
) -> bool:
    """Return whether *info* shows the *lock*. Some stores without locks return all headers that they received.

    A bucket with Object Lock always has versions.
    """
    return version_id is not None and not compare_options(context.dialect, lock, info).differ


def _look_up(context: UploadContext, made: Made) -> ObjectInfo | None:
    """Return what HeadObject shows; None if it is not permitted, and the store is known to comply."""
    target, step = context.request.target, run_again("request the permission for HeadObject")
    try:
        return find_made_object(
            context.store, target, made, "it cannot be checked whether it is locked", step
        )
    except UNAVAILABLE:
        if is_vendor_host(target.endpoint) or context.dialect.locks_later:
            return None
        raise


def _set_lock(context: UploadContext, headers: Mapping[str, str], version_id: str | None) -> None:
    """Lock one version of the object as *headers* ask for. Raises Refused if the store rejects that."""
    target, names = context.request.target, context.dialect.headers
    what = f"the object {target} is complete and verified, but not locked"
    if version_id is None:
        # Such a store may know nothing of ?retention, and take the request for a PutObject.
        raise Refused(
            f"{what}: the bucket has no versions",
            "Objects can be locked only in a bucket with Object Lock (OBS: WORM), which always has versions",
            NextStep("use a bucket with Object Lock"),
        )
    given = {name.lower(): value for name, value in headers.items()}
    mode, until, hold = (
        given.get((name or "").lower())
        for name in (names.retention_mode, names.retain_until, names.legal_hold)
    )
    lock = ObjectLock(mode.lower() if mode is not None else None, until, hold == "ON")
    try:
        context.store.lock_object(target, version_id, lock)
    except ObsupError as exc:
        is_final = exc.refusal is not None and not exc.retryable
        raise (Refused if is_final else type(exc))(
            f"{what}: {exc.what}",
            exc.why,
            run_again("fix the cause (no part is sent again)"),
            exc.refusal,
        ) from exc

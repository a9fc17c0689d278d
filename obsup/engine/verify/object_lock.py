"""Is the object locked as requested? In a store that can lock it after the upload, it is locked now if it is not."""

from __future__ import annotations

from collections.abc import Mapping

from obsup.dates import parse_date
from obsup.dialects.endpoints import is_vendor_host
from obsup.engine.job.context import UploadContext
from obsup.engine.proof.object_options import compare_options, lock_headers
from obsup.engine.verify.existing_object import not_visible
from obsup.errors import UNAVAILABLE, NextStep, ObsupError, Refused, run_again
from obsup.model import ObjectInfo


def locks_later(context: UploadContext) -> bool:
    """Return whether the request asks for a retention that can be set after the upload."""
    return context.dialect.extends_retention and context.request.options.retention is not None


def confirm_lock(
    context: UploadContext, headers: Mapping[str, str], info: ObjectInfo | None, *, version_id: str | None
) -> ObjectInfo | None:
    """Return what HeadObject shows of the object, once that confirms the lock that *headers* ask for.

    *info* is what it has shown before. If the store ignored the headers of the upload, and can set the retention
    afterwards, that is done, and only for the version *version_id*. None without the permission for HeadObject, if the
    store is known to comply. Raises Refused if the object is not locked, and as ``ObjectStore.head_object``.
    """
    lock = lock_headers(context.dialect, headers)
    info = info if info is not None and info.headers else _look_up(context)
    if info is not None and _is_locked(context, lock, info):
        return info
    target, dialect = context.request.target, context.dialect
    if dialect.extends_retention:
        _set_retention(context, lock, version_id or (info.version_id if info is not None else None))
        info = _look_up(context)
        is_accepted = info is None
    else:
        is_hidden = info is None or not any(name.lower() in info.headers for name in lock)
        is_accepted = is_hidden and is_vendor_host(target.endpoint)
    if is_accepted:
        if info is None:
            note = f"whether {target} is locked was not checked: HeadObject is not permitted"
            context.connection.learned.note(note, context.observe)
        return info
    if info is not None and _is_locked(context, lock, info):
        return info
    raise Refused(
        f"the object {target} is complete and verified, but HeadObject does not show the requested lock",
        "The store ignored it, or hides it from these credentials (permissions GetObjectRetention and "
        "GetObjectLegalHold); the object stays as it is",
        run_again("use a bucket with Object Lock, or request the permissions"),
    )


def _is_locked(context: UploadContext, lock: Mapping[str, str], info: ObjectInfo) -> bool:
    return not compare_options(context.dialect, lock, info).differ


def _look_up(context: UploadContext) -> ObjectInfo | None:
    """Return what HeadObject shows; None if it is not permitted, and the store is known to comply."""
    target = context.request.target
    try:
        info = context.store.head_object(target)
    except UNAVAILABLE as exc:
        if context.dialect.extends_retention or is_vendor_host(target.endpoint):
            return None
        raise type(exc)(
            f"{target} is stored and verified, but it cannot be checked whether it is locked: {exc.what}",
            exc.why,
            run_again("request the permission for HeadObject"),
            exc.refusal,
        ) from exc
    if info is None:
        raise not_visible(target)
    return info


def _set_retention(context: UploadContext, lock: Mapping[str, str], version_id: str | None) -> None:
    """Set the retention of one version of the object. Raises Refused if the store rejects that."""
    target, names = context.request.target, context.dialect.headers
    what = f"the object {target} is complete and verified, but not locked"
    if version_id is None:
        # Such a store may know nothing of ?retention, and take the request for a PutObject.
        raise Refused(
            f"{what}: the bucket has no versions",
            "A bucket with WORM always has them, and only there objects can be locked",
            NextStep("use a bucket with WORM"),
        )
    given = {name.lower(): value for name, value in lock.items()}
    mode, until = (given[(name or "").lower()] for name in (names.retention_mode, names.retain_until))
    try:
        context.store.set_retention(target, version_id, mode=mode, until_s=parse_date(until) or 0.0)
    except ObsupError as exc:
        is_final = exc.refusal is not None and not exc.retryable
        raise (Refused if is_final else type(exc))(
            f"{what}: {exc.what}",
            exc.why,
            run_again("remove the cause; the same command then sets the retention, and sends nothing"),
            exc.refusal,
        ) from exc
